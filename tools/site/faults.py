"""What is wrong with pages as they stand, found without building them; a sentence each.

Rules on all pages are tests; here is what a live preview says at once, and what stops a build.
"""

import re
from collections import Counter
from collections.abc import Iterator
from itertools import zip_longest
from pathlib import Path
from xml.etree import ElementTree

import yaml  # type: ignore[import-untyped]

from tools.paths import DOCS, LANGUAGES, ROOT
from tools.proof.snippets import OUTPUT, find_encoding_fault, list_snippets, location
from tools.site.includes import find_included
from tools.site.pages import INCLUDE, Page, pages, pairs
from tools.site.shown import find_shown_faults

LINES = 60
"""How many lines of code a snippet may have."""

_FRONT_MATTER = re.compile(r"\A---[ \t]*\n(.*?\n)---[ \t]*(\n|\Z)", re.DOTALL)
_NUMBERED = re.compile(r"^ *(?:[-*+] +|\d+\. +)?(#\d+)")
_ID = re.compile(r"`[^`]*`|\{ *#([\w-]+)[^}]*\}")


def find_unbuildable(language: str) -> Iterator[str]:
    """What keeps the pages of a language from being made.

    Args:
        language: `zh` or `en`.

    Yields:
        A sentence for each page that cannot be read, and for each include that cannot be had.
    """
    for page in pages(language):
        if wrong := find_encoding_fault(page.path):
            yield wrong
            continue
        text = page.path.read_text("utf-8")
        for include in INCLUDE.finditer(text):
            where = f"{page.file}:{text.count(chr(10), 0, include.start()) + 1}"
            file = find_included(include[2], DOCS / language)
            if wrong := _find_include_fault(where, file):
                yield wrong


def _find_include_fault(where: str, file: Path) -> str:
    if not file.is_file():
        return (
            f'{where}: include of "{file.name}", but {_name(file)} does not exist; write that file '
            "or mend the name"
        )
    if wrong := find_encoding_fault(file):
        return f"{where}: includes {wrong}"
    if not file.read_bytes().strip():
        return f"{where}: includes {_name(file)}, which is empty; write it, or drop the include"
    if file.suffix == ".svg":
        try:
            before, mark, picture = file.read_text("utf-8").partition("<svg")
            ElementTree.fromstring(mark + picture.partition("</svg>")[0] + "</svg>")
        except ElementTree.ParseError as error:
            line = before.count("\n") + error.position[0]
            what = str(error).partition(":")[0]
            return (
                f"{where}: includes {_name(file)}:{line}, which is no XML there ({what}); mend the "
                "picture"
            )
    return ""


def find_faults() -> Iterator[str]:
    """What a page is shown with all the same, but not as it should be: a sentence each.

    Files that are not UTF-8 are left out: `find_unbuildable` names them.
    """
    for language in LANGUAGES:
        for page in filter(_is_readable, pages(language)):
            yield from _find_page_faults(page)
    yield from find_missing_twins()
    for chinese, english in pairs():
        if _is_readable(chinese) and _is_readable(english):
            yield from find_heading_faults(chinese, english)
    for snippet in list_snippets():
        if not find_encoding_fault(snippet):
            yield from find_long_snippet(snippet)
    yield from find_shown_faults()


def _find_page_faults(page: Page) -> Iterator[str]:
    text = page.path.read_text("utf-8")
    if wrong := find_front_matter_fault(text):
        yield f"{page.file}:{wrong}"
    if line := page.find_open_fence():
        yield f"{page.file}:{line}: opens a fence that nothing closes; end it with the same marks"
    sections = page.sections()
    if not sections or sections[0].level != 1:
        yield f"{page.file}: has no title; begin the page with `# Title`"
    yield from find_repeated_ids(page)
    yield from find_accidental_titles(page)


def find_front_matter_fault(text: str) -> str:
    """Line and fault of a page's front matter, `2: ...`; MkDocs shows as text what it cannot read.

    Args:
        text: The page.
    """
    if not text.startswith("---"):
        return ""
    block = _FRONT_MATTER.match(text)
    if not block:
        return "1: begins front matter that nothing ends; put --- on a line of its own after it"
    try:
        said = yaml.safe_load(block[1])
    except yaml.MarkedYAMLError as error:
        line = (error.problem_mark.line if error.problem_mark else 0) + 2
        return f"{line}: front matter that is no YAML ({error.problem}); put the text in quotes"
    return "" if isinstance(said, dict) else "2: front matter without `key: value`; write it so"


def find_repeated_ids(page: Page) -> Iterator[str]:
    """Ids that a page gives twice, to a heading or a term, each at its second place."""
    seen = Counter[str]()
    for number, line in page.prose():
        for name in filter(None, _ID.findall(line)):
            seen[name] += 1
            if seen[name] == 2:
                yield (
                    f"{page.file}:{number}: gives {{#{name}}} a second time; links reach the "
                    "first only, so rename it"
                )


def find_accidental_titles(page: Page) -> Iterator[str]:
    """Lines that begin with an issue's number, of which Markdown makes a title."""
    for number, line in page.prose():
        if found := _NUMBERED.match(line):
            yield f"{page.file}:{number}: becomes a title by its first sign; write \\{found[1]}"


def find_missing_twins() -> Iterator[str]:
    """Pages that one language has and the other has not."""
    names = {language: {page.name for page in pages(language)} for language in LANGUAGES}
    for one, other in (LANGUAGES, LANGUAGES[::-1]):
        for name in sorted(names[one] - names[other]):
            yield f"docs/{one}/{name}: has no twin; write docs/{other}/{name}"


def find_heading_faults(chinese: Page, english: Page) -> Iterator[str]:
    """The first heading in which two pages differ; none if they agree.

    Args:
        chinese: A page.
        english: Its twin.
    """
    for zh, en in zip_longest(chinese.sections(), english.sections()):
        if zh and en and (zh.id, zh.level) == (en.id, en.level):
            continue
        said = f"{chinese.file}:{zh.line}: has {{#{zh.id}}}" if zh else f"{chinese.file}: ends"
        other = f"{english.file}:{en.line} has {{#{en.id}}}" if en else f"{english.file} ends"
        yield f"{said} where {other}; give both pages the same headings in the same order"
        return


def find_long_snippet(snippet: Path) -> Iterator[str]:
    """Whether a snippet has more than `LINES` lines of code."""
    lines = snippet.read_text("utf-8").splitlines()
    code = [line for line in lines if not OUTPUT.match(line)]
    if len(code) > LINES:
        yield f"{location(snippet)}: has {len(code)} lines of code; split it, {LINES} at most"


def _is_readable(page: Page) -> bool:
    return not find_encoding_fault(page.path)


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
