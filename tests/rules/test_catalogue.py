"""The tables of error texts: each entry has its row, and a row leads where its text is."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.prose import QUOTED, every_language, read_listings
from tests.report import report
from tools.site.pages import Page, Section, pages

ROWS = 4
"""A page whose first table has so many rows that end in a link to a section is a catalogue."""
OTHER_WORDS = {
    ("symptoms.md", "active"),
    ("symptoms.md", "canceling statement due to lock timeout"),
    ("symptoms.md", "connect()"),
    ("symptoms.md", "garbage collector is trying to clean up"),
    ("symptoms.md", "gather"),
    ("symptoms.md", 'prepared statement "__asyncpg_stmt_1__" already exists'),
    ("symptoms.md", "QueuePool limit"),
    ("symptoms.md", "reserved"),
    ("symptoms.md", "TaskGroup"),
    ("symptoms.md", "too many"),
}
"""What a reader sees, and the section that explains it says otherwise."""

_TARGET = re.compile(r"\[([^\]]*)\]\(([^)\s]+)\)(?!.*\]\()")
_CELL = re.compile(r"(?<!\\)\|")
_ENDS_IN_A_LINK = re.compile(r"\| \[[^\]]*\]\(#[\w-]+\) \|$")
_ANSWER = re.compile(r"^ +- ")


def _plain(text: str) -> str:
    return " ".join(re.findall(r"[a-z0-9_]+", text.lower()))


def catalogues(language: str) -> Iterator[tuple[Page, list[tuple[int, str]]]]:
    """The pages that begin with a table of their entries, and its rows with their numbers."""
    for page in pages(language):
        if page.name.startswith("troubleshooting/"):
            rows = [row for row in page.sections()[0].lines if row[1].startswith("| ")]
            if sum(_ENDS_IN_A_LINK.search(row) is not None for _, row in rows) >= ROWS:
                yield page, rows


@cache
def below(path: Path, anchor: str) -> str:
    """What stands below a heading, subsections and listings included, as words."""
    sections = Page(path).sections()
    text, level = "", 0
    for section in sections:
        if level and section.level <= level:
            break
        if level or not anchor or section.id == anchor:
            level = level or section.level
            text += section.text
    return _plain(text + read_listings(text))


def leads_astray(page: Page, said: str, target: str) -> Iterator[str]:
    """The quoted words that the section behind a link does not have."""
    name, _, anchor = target.partition("#")
    there = (page.path.parent / name).resolve() if name else page.path
    if not there.is_file() or "://" in target:
        return
    for span in QUOTED.findall(said):
        words = _plain(re.split(r"\.\.\.|…", span)[0])
        known = (page.path.name, span) in OTHER_WORDS
        if words and not known and words not in below(there, anchor):
            yield span


@every_language
def test_a_row_leads_to_the_entry_of_its_text(language: str) -> None:
    report(
        f"{page.file}:{number}: `{span}` leads to {link[2]}, where nothing says it; link the entry "
        "of that text"
        for page, rows in catalogues(language)
        for number, row in rows
        if (link := _TARGET.search(row))
        for span in leads_astray(page, _CELL.split(row)[1], link[2])
    )


@every_language
def test_two_rows_lead_to_two_entries(language: str) -> None:
    def findings() -> Iterator[str]:
        for page, rows in catalogues(language):
            seen: dict[str, int] = {}
            for number, row in rows:
                if (link := _TARGET.search(row)) and link[2].startswith("#"):
                    before = seen.setdefault(link[2], number)
                    if before != number:
                        yield (
                            f"{page.file}:{number}: leads to {link[2]} as line {before} does; link "
                            "each row to its own entry, or make one row of the two"
                        )

    report(findings())


@every_language
def test_an_answer_of_a_tree_leads_to_where_its_words_are(language: str) -> None:
    report(
        f"{page.file}:{number}: `{span}` leads to {link[2]}, where nothing says it; link the "
        "section on it"
        for page in pages(language)
        if page.name == "troubleshooting/symptoms.md"
        for number, line in page.prose()
        if _ANSWER.match(line) and (link := _TARGET.search(line))
        for span in leads_astray(page, line.replace(link[2], ""), link[2])
    )


@every_language
def test_each_entry_of_a_catalogue_has_its_row(language: str) -> None:
    def is_entry(section: Section, after: Section | None) -> bool:
        has_more = after is not None and after.level > section.level
        return section.title.startswith("`") and section.level > 1 and not has_more

    def findings() -> Iterator[str]:
        for page, rows in catalogues(language):
            linked = {anchor for _, row in rows for anchor in re.findall(r"\]\(#([\w-]+)\)", row)}
            sections = page.sections()
            for section, after in zip(sections, [*sections[1:], None], strict=True):
                if is_entry(section, after) and section.id not in linked:
                    yield (
                        f"{page.file}:{section.line}: the entry {section.title[:60]} has no row in "
                        f"the table above; add one that links to #{section.id}"
                    )

    report(findings())
