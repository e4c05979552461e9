"""The trees of questions on the page of symptoms, as each language has them."""

from functools import cache

import markdown  # type: ignore[import-untyped]

from tools.paths import DOCS
from tools.site.pages import Page
from tools.site.trees import PAGE, Question, read_trees


def page(language: str) -> Page:
    """The page."""
    return Page(DOCS / language / PAGE)


@cache
def trees(language: str) -> dict[str, list[Question]]:
    """The questions of each symptom, by its id."""
    body = page(language).text.split("\n---\n", 1)[1]
    return read_trees(markdown.markdown(body, extensions=["attr_list", "tables"]))


def targets(language: str) -> dict[str, list[str]]:
    """Where each line of each tree leads; empty where it leads to the next question."""
    return {
        symptom: [
            target
            for question in questions
            for target in (question.look, *(answer.target for answer in question.answers))
        ]
        for symptom, questions in trees(language).items()
    }
