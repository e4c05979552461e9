"""The Chinese and the English site are one guide: same pages, sections, snippets, tables, links."""

import re
from collections.abc import Iterator
from itertools import chain

from tests.claims import pages_of
from tests.report import report
from tests.rules.twins import URL, every_pair, sections
from tools.paths import DOCS, LANGUAGES, ROOT
from tools.site import agreement
from tools.site.archives import list_archives
from tools.site.faults import find_heading_faults, find_missing_twins
from tools.site.pages import INCLUDE, Page, Section, pages

CODE = re.compile(r"`[^`]+`")
NUMBER = re.compile(r"(?<![\w.#-])\d[\d.,]*\d(?![\w-])")
"""Two digits at least: small numbers are written as words, in either language."""


def tables(section: Section) -> list[list[list[str]]]:
    """The tables of a section as rows of cells."""
    found: list[list[list[str]]] = []
    last = 0
    for number, line in section.lines:
        if not line.lstrip().startswith("|"):
            continue
        if number != last + 1:
            found.append([])
        found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))])
        last = number
    return found


def code(cell: str) -> list[str]:
    """The code spans of a cell, in any order: word order differs between languages."""
    return sorted(CODE.findall(cell))


def numbers(section: Section) -> set[str]:
    text = "\n".join([section.title, *(line for _, line in section.lines)])
    return {number.rstrip(".,") for number in NUMBER.findall(URL.sub(" ", text))}


def included(section: Section) -> list[str]:
    return [match[2] for _, line in section.lines if (match := INCLUDE.match(line.strip()))]


def test_every_page_is_there_in_both_languages() -> None:
    report(find_missing_twins())


@every_pair
def test_both_pages_have_the_same_headings(chinese: Page, english: Page) -> None:
    report(find_heading_faults(chinese, english))


@every_pair
def test_every_heading_but_the_title_has_an_id(chinese: Page, english: Page) -> None:
    report(
        f"{page.file}:{section.line}: the heading has no id; end it with {{#some-id}}"
        for page in (chinese, english)
        for section in page.sections()
        if not section.id and section.level > 1
    )


@every_pair
def test_both_pages_show_the_same_snippets_in_the_same_order(chinese: Page, english: Page) -> None:
    report(
        f"{pair.where}: shows {included(pair.zh)}, its twin {pair.twin} shows "
        f"{included(pair.en)}; show the same in both"
        for pair in sections(chinese, english)
        if included(pair.zh) != included(pair.en)
    )


@every_pair
def test_both_pages_have_the_same_tables(chinese: Page, english: Page) -> None:
    def findings() -> Iterator[str]:
        for zh, en, where, twin in sections(chinese, english):
            mine, other = tables(zh), tables(en)
            shapes = [[[len(row) for row in table] for table in each] for each in (mine, other)]
            if shapes[0] != shapes[1]:
                yield f"{where}: its tables have other rows or columns than at {twin}; align them"
                continue
            for ours, theirs in zip(chain(*mine), chain(*other), strict=True):
                if list(map(code, ours)) != list(map(code, theirs)):
                    yield f"{where}: the row {ours[0]} quotes other code than its twin at {twin}"

    report(findings())


@every_pair
def test_both_pages_quote_the_same_numbers(chinese: Page, english: Page) -> None:
    report(
        f"{pair.where}: {', '.join(sorted(only))} is said here or at {pair.twin}; say it in both"
        for pair in sections(chinese, english)
        if (only := numbers(pair.zh) ^ numbers(pair.en))
    )


@every_pair
def test_links_stay_in_their_language(chinese: Page, english: Page) -> None:
    archives = {DOCS / language / name for language in LANGUAGES for name in list_archives()}

    def findings() -> Iterator[str]:
        for page in (chinese, english):
            for number, target in page.links():
                if "://" in target or target.startswith(("#", "mailto:")):
                    continue
                file = (page.path.parent / target.split("#")[0]).resolve()
                if not file.is_relative_to(DOCS / page.language):
                    yield f"{page.file}:{number}: {target} leaves the language; link its twin"
                elif not file.is_file() and file not in archives:
                    yield f"{page.file}:{number}: {target} is no file; mend the link"

    report(findings())


@every_pair
def test_both_pages_link_to_the_same_places(chinese: Page, english: Page) -> None:
    mine, other = (
        {target for _, target in page.links() if "://" not in target} for page in (chinese, english)
    )
    report(
        f"{chinese.file}: {target} is linked here or in {english.file}; link it in both"
        for target in sorted(mine ^ other)
    )


def test_nothing_changed_in_one_language_only() -> None:
    report(agreement.changed_in_one_language(agreement.read()))


def test_what_changed_in_both_languages_was_read_in_both() -> None:
    report(
        f"docs/agreed.json: is older than {twins}; read both languages, then `make agree`"
        for twins in agreement.not_agreed(agreement.read())
    )


def test_a_test_module_carries_the_name_of_its_page() -> None:
    chapters = {page.name.split("/")[0] for page in pages("zh")}
    report(
        f"{path.relative_to(ROOT)}: docs has no page of that name; write test_PAGE.py, or "
        "test_PAGE_PART.py"
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if path.parent.name in chapters and not pages_of(path)
    )
