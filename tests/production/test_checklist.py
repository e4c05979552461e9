"""Each line of the checklist links to what proves it, and that is there."""

import re

from tests.report import report
from tools.paths import DOCS, LANGUAGES, ROOT
from tools.site.pages import INCLUDE, Page

_LINK = re.compile(r"\]\(([^)#]+\.md)(?:#([\w-]+))?\)")
FEWEST = 30


def items(language: str) -> list[tuple[int, str]]:
    """The lines to tick off, with their numbers."""
    page = Page(DOCS / language / "production" / "checklist.md")
    return [(number, line) for number, line in page.prose() if line.startswith("- ")]


def proves(file: str, anchor: str) -> bool:
    """Whether a section shows a run, or its page has tests."""
    page = Page((DOCS / "en" / "production" / file).resolve())
    sections = {section.id: section.text for section in page.sections()}
    if anchor and anchor not in sections:
        return False
    text = sections[anchor] if anchor else page.text
    path = page.path.relative_to(DOCS / "en").with_suffix("")
    tests = ROOT / "tests" / path.parent / f"test_{path.name}.py"
    return bool(INCLUDE.search(text)) or tests.is_file()


def test_each_line_has_a_box_and_a_link_to_its_proof() -> None:
    for language in LANGUAGES:
        lines = items(language)
        assert len(lines) >= FEWEST
        report(
            f"docs/{language}/production/checklist.md:{number}: begins without ☐, or has no link "
            "to a section with a run or tests; link its proof"
            for number, line in lines
            if not line.startswith("- ☐ ")
            or not (links := _LINK.findall(line))
            or not all(proves(*link) for link in links)
        )


def test_both_languages_link_to_the_same_proofs() -> None:
    chinese, english = ([set(_LINK.findall(line)) for _, line in items(each)] for each in LANGUAGES)
    assert chinese == english
