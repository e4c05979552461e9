"""The lines of pages that are words: what the rules about Markdown look at."""

import re
from collections.abc import Iterator

import pytest

from tests.chinese import CODE
from tools.paths import DOCS, LANGUAGES, SNIPPETS
from tools.site.pages import INCLUDE, Page, pages

every_language = pytest.mark.parametrize("language", LANGUAGES)
QUOTED = re.compile(r"(?<!`)`([^`]+)`(?!`)")
"""What a line quotes as code."""


def prose(language: str) -> Iterator[tuple[Page, int, str]]:
    """The lines outside fences, code spans left out."""
    for page in pages(language):
        for number, line in page.prose():
            yield page, number, CODE.sub("", line)


def has_words(line: tuple[int, str]) -> bool:
    """Whether a line of `Page.prose` or `Section.lines` is more than space."""
    return bool(line[1].strip())


def sql_fences(page: str, language: str) -> list[str]:
    """The SQL that a page, `pool/watching`, shows for copying: the text of each fence."""
    return [
        "\n".join(fence.lines)
        for fence in Page(DOCS / language / f"{page}.md").fences()
        if fence.language == "sql"
    ]


def read_listings(text: str) -> str:
    """The files that a text includes, one below the other; of missing ones another rule knows."""
    files = (SNIPPETS / include[2] for include in INCLUDE.finditer(text))
    return "\n".join(file.read_text("utf-8") for file in files if file.is_file())
