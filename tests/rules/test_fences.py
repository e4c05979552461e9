"""Code and output on a page come from a run: no fence holds what nobody ran."""

import re
from collections.abc import Iterator

import pytest

from tests.report import report
from tools.paths import LANGUAGES
from tools.site.pages import INCLUDE, Fence, Page, pages

KINDS = {
    "python": "an include of a snippet",
    "text": "an error text that a test names, or an include of a record",
    "sql": "a query that a test runs",
    "bash": "commands for a shell",
    "yaml": "a piece of a configuration",
    "toml": "a piece of a configuration",
}
"""The info strings in use, and what stands in such a fence."""

_RAW_FENCE = re.compile(r"^ *(~{3,}|`{4,})")
_INDENTED = re.compile(r"^ {4,}\S|^\t")
_RAW_CODE = re.compile(r"<(pre|code|samp|kbd)\b", re.IGNORECASE)
_LIST = re.compile(r"^ *([-*+]|\d+\.) ")

every_language = pytest.mark.parametrize("language", LANGUAGES)


def fences(language: str) -> Iterator[tuple[Page, Fence]]:
    """Every fence of the pages of a language."""
    for page in pages(language):
        for fence in page.fences():
            yield page, fence


@every_language
def test_a_fence_is_of_a_kind_that_we_know(language: str) -> None:
    report(
        f"{page.file}:{fence.line}: the fence says `{fence.info or 'nothing'}`; say one of "
        f"{', '.join(KINDS)} and nothing more"
        for page, fence in fences(language)
        if fence.info not in KINDS
    )


@every_language
def test_a_fence_that_includes_a_file_holds_nothing_else(language: str) -> None:
    report(
        f"{page.file}:{fence.line}: stands an include beside other lines; give each a fence"
        for page, fence in fences(language)
        if any(INCLUDE.match(line) for line in fence.lines) and len(fence.lines) != 1
    )


@every_language
def test_code_stands_in_three_backticks(language: str) -> None:
    def findings() -> Iterator[str]:
        for page in pages(language):
            before = ""
            for number, line in page.prose():
                if _RAW_FENCE.match(line):
                    yield f"{page.file}:{number}: opens a fence otherwise; write three backticks"
                elif _RAW_CODE.search(re.sub("`[^`]*`", "", line)):
                    yield f"{page.file}:{number}: holds code as HTML; write it in backticks"
                elif _INDENTED.match(line) and not before.strip() and not _in_list(page, number):
                    yield f"{page.file}:{number}: is code by its indentation; put it into a fence"
                before = line

    report(findings())


def _in_list(page: Page, number: int) -> bool:
    """Whether an indented line belongs to a list or a box above it."""
    for line in reversed(page.lines[: number - 1]):
        if _LIST.match(line) or line.startswith("!!!"):
            return True
        if line.strip() and not line.startswith(" "):
            return False
    return False
