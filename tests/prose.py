"""The lines of pages that are words: what the rules about Markdown look at."""

from collections.abc import Iterator

import pytest

from tests.chinese import CODE
from tools.paths import LANGUAGES
from tools.site.pages import Page, pages

every_language = pytest.mark.parametrize("language", LANGUAGES)


def prose(language: str) -> Iterator[tuple[Page, int, str]]:
    """The lines outside fences, code spans left out."""
    for page in pages(language):
        for number, line in page.prose():
            yield page, number, CODE.sub("", line)
