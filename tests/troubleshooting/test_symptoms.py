"""The way in: from each symptom, questions that lead to a section; the same in both languages."""

import re
from collections.abc import Iterator
from itertools import zip_longest

import pytest

from tests.report import report
from tests.troubleshooting.symptoms import page, targets, trees
from tools.paths import LANGUAGES
from tools.site.pages import Page
from tools.site.problems import find_line
from tools.site.trees import PAGE

_NUMBER = re.compile(r"\d+")
_ID = re.compile(r"\{ *#([\w-]+) *\}")
BESIDE = {"else"}
"""Sections that are no symptom."""

every_language = pytest.mark.parametrize("language", LANGUAGES)


def test_both_languages_lead_from_the_same_questions_to_the_same_places() -> None:
    chinese, english = targets("zh"), targets("en")
    assert list(chinese) == list(english)
    report(
        f"docs/zh/{PAGE}: #{symptom} leads to {mine or 'the next question'} where docs/en leads "
        f"to {other or 'the next question'}; ask the same in both"
        for symptom in chinese
        for mine, other in zip_longest(chinese[symptom], english[symptom], fillvalue="no more")
        if mine != other
    )
    shapes = [
        [[len(question.answers) for question in tree] for tree in trees(language).values()]
        for language in LANGUAGES
    ]
    assert shapes[0] == shapes[1]


@every_language
def test_each_symptom_has_two_questions_at_least(language: str) -> None:
    symptoms = {section.id for section in page(language).sections() if section.level == 2}
    report(
        f"{page(language).file}: #{symptom} asks fewer than two questions; link its entry from the "
        "table instead"
        for symptom in sorted(symptoms - BESIDE)
        if len(trees(language).get(symptom, [])) < 2
    )


@every_language
def test_the_table_leads_to_each_symptom_in_the_order_of_the_page(language: str) -> None:
    rows = [line for _, line in page(language).sections()[0].lines if line.startswith("|")]
    linked = [found for row in rows for found in re.findall(r"\]\(#([\w-]+)\)", row)]
    assert linked == list(trees(language))


@every_language
def test_each_answer_leads_to_a_section_that_exists(language: str) -> None:
    def findings() -> Iterator[str]:
        here = page(language)
        for symptom, places in targets(language).items():
            for place in filter(None, places):
                name, _, section = place.partition("#")
                there = Page((here.path.parent / name).resolve()) if name else here
                if not there.path.is_file() or section not in ["", *_ID.findall(there.text)]:
                    yield (
                        f"{here.file}:{find_line(here.file, place)}: #{symptom} leads to {place}; "
                        "name a section that is there"
                    )

    report(findings())


@every_language
def test_an_answer_that_goes_on_names_the_next_question(language: str) -> None:
    report(
        f"{page(language).file}: #{symptom} says “{answer.words}” in question {number}; the next "
        f"one is {number + 1}"
        for symptom, questions in trees(language).items()
        for number, question in enumerate(questions, 1)
        for answer in question.answers
        if not answer.target and _NUMBER.findall(answer.words)[-1:] != [str(number + 1)]
    )
