"""Pages and sections that both languages have, side by side."""

import re
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tools.site import agreement
from tools.site.pages import Page, Section, pairs

URL = re.compile(r"https?:[^)\s]+|\{#[^}]*\}|\([^)\s]*\.md[^)]*\)")

every_pair = pytest.mark.parametrize(
    ("chinese", "english"), pairs(), ids=[chinese.name for chinese, _ in pairs()]
)


class Twins(NamedTuple):
    """A section in both languages, and where it stands."""

    zh: Section
    en: Section
    where: str
    twin: str


def sections(chinese: Page, english: Page) -> Iterator[Twins]:
    """The sections of two pages that carry the same id."""
    for zh, en in agreement.pair_sections(chinese, english).values():
        yield Twins(zh, en, f"{chinese.file}:{zh.line}", f"{english.file}:{en.line}")
