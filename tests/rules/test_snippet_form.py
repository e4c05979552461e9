"""A snippet is one short program that a reader can copy, and pages show programs only so."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chinese import HAN
from tests.programs import parse, read
from tests.report import report
from tests.rules.unreadable import list_unreadable
from tools.paths import LANGUAGES, READER_SCRIPTS, ROOT, SNIPPETS
from tools.proof.snippets import (
    OUTPUT,
    find_home,
    list_parts,
    list_snippets,
    location,
    snippet_name,
)
from tools.site.faults import find_long_snippet, find_unbuildable
from tools.site.pages import INCLUDE, Page, pages
from tools.site.shown import find_shown_faults

COLUMNS = 80
OURS = {path.name for path in ROOT.iterdir() if path.is_dir()}

PUBLISHED = [*list_snippets(), *list_parts(), *READER_SCRIPTS]

NOT_SHOWN = {"ruff.toml", "sessions/request/background.txt"}
"""Files that no page shows: a setting of ours, a record that a sentence sums up."""
ALIKE = (
    ("testing/failures/cut/conftest.py", "testing/failures/commit/conftest.py"),
    ("testing/failures/cut/line.py", "testing/failures/commit/line.py"),
    ("testing/frameworks/async_client/shop.py", "testing/frameworks/sync_client/shop.py"),
    ("testing/leaks/no_leaks/conftest.py", "testing/leaks/false_alarms/conftest.py"),
    ("testing/loops/one_loop/shop.py", "testing/loops/engine_each_test/shop.py"),
)
"""Files of which a page says that they are the same, or that readers take for it."""

every_snippet = pytest.mark.parametrize("snippet", list_snippets(), ids=snippet_name)
every_file = pytest.mark.parametrize("snippet", PUBLISHED, ids=snippet_name)


def includes(page: Page) -> Iterator[tuple[int, str]]:
    """The files a page includes, with the numbers of the including lines."""
    for number, line in enumerate(page.lines, 1):
        if match := INCLUDE.match(line.strip()):
            yield number, match[2]


@every_snippet
def test_a_snippet_fits_on_a_screen(snippet: Path) -> None:
    lines = read(snippet).splitlines()
    report(
        f"{location(snippet, number)}: is {len(line)} columns wide; keep code within {COLUMNS}"
        for number, line in enumerate(lines, 1)
        if len(line) > COLUMNS and not OUTPUT.match(line)
    )
    report(find_long_snippet(snippet))


@every_file
def test_a_snippet_states_its_claim_in_both_languages(snippet: Path) -> None:
    if not (tree := parse(snippet)):
        return
    claim = ast.get_docstring(tree) or ""
    english, _, chinese = claim.partition("\n\n")
    form = "begin it with one English sentence, a blank line and one Chinese sentence"
    if not english.endswith(".") or HAN.search(english) or "\n\n" in chinese:
        report([f"{location(snippet, 1)}: the docstring has no English sentence first; {form}"])
    if not chinese.endswith("。") or not HAN.search(chinese):
        report([f"{location(snippet, 1)}: the docstring has no Chinese sentence last; {form}"])


@every_file
def test_a_snippet_needs_nothing_of_this_repository(snippet: Path) -> None:
    def imports() -> Iterator[tuple[int, str]]:
        for node in ast.walk(parse(snippet) or ast.Module([], [])):
            if isinstance(node, ast.ImportFrom):
                yield node.lineno, "." * node.level + (node.module or "")
            elif isinstance(node, ast.Import):
                yield from ((node.lineno, alias.name) for alias in node.names)

    report(
        f"{location(snippet, line)}: imports `{module}` of this repository, which a reader does "
        "not have; write what it needs into the snippet"
        for line, module in imports()
        if module.split(".")[0] in {*OURS, ""}
    )


@every_snippet
def test_a_snippet_locks_no_number_that_a_reader_may_use(snippet: Path) -> None:
    report(
        f"{location(snippet, number)}: takes advisory lock {key[1]}, which an application may "
        "hold; draw the number, `secrets.randbits(62)`"
        for number, line in enumerate(read(snippet).splitlines(), 1)
        if (key := re.search(r"advisory\w*lock\w*\((\d+)", line)) and not OUTPUT.match(line)
    )


def test_files_that_a_page_calls_the_same_are_the_same() -> None:
    report(
        f"snippets/{other}: differs from snippets/{one}, and the page calls them the same; change "
        "both, or take the pair out of ALIKE in tests/rules/test_snippet_form.py"
        for one, other in ALIKE
        if read(SNIPPETS / one) != read(SNIPPETS / other)
    )


@every_snippet
def test_a_snippet_prints_and_shows_what_it_printed(snippet: Path) -> None:
    if not any(OUTPUT.match(line) for line in read(snippet).splitlines()):
        report([f"{location(snippet)}: shows no output; print what it proves and `make update`"])


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_snippet_is_on_the_page_of_its_name(language: str) -> None:
    shown = {page.name: {file for _, file in includes(page)} for page in pages(language)}
    report(
        f"{location(snippet)}: docs/{language}/{home} does not show it; "
        f'include it there, `--8<-- "{snippet_name(snippet)}"`, or delete it'
        for snippet in PUBLISHED
        if snippet_name(snippet) not in shown.get(home := f"{find_home(snippet)}.md", ())
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_a_program_needs_beside_it_is_on_a_page(language: str) -> None:
    shown = {file for page in pages(language) for _, file in includes(page)}
    report(
        f"snippets/{name}: no page of docs/{language} shows it, so a reader has not all that ran; "
        f'include it, `--8<-- "{name}"`, or delete it'
        for path in sorted(SNIPPETS.rglob("*"))
        for name in [path.relative_to(SNIPPETS).as_posix()]
        if path.name == "Containerfile" or path.suffix in (".ini", ".toml", ".txt", ".yaml", ".yml")
        if name not in shown | NOT_SHOWN and ".ruff_cache" not in path.parts
    )


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_page_shows_a_file_once(language: str) -> None:
    def findings() -> Iterator[str]:
        for page in pages(language):
            seen = set[str]()
            for number, file in includes(page):
                if file in seen:
                    yield f"{page.file}:{number}: shows {file} a second time; link the section"
                seen.add(file)

    report(findings())


def test_every_name_that_a_listing_shows_is_there() -> None:
    report(find_shown_faults())


@pytest.mark.parametrize("language", LANGUAGES)
def test_python_on_a_page_is_an_include_of_a_snippet(language: str) -> None:
    known = set(map(snippet_name, PUBLISHED))

    def findings() -> Iterator[str]:
        for page in pages(language):
            for fence in page.fences():
                if fence.language not in ("python", "py", "python3", "pycon"):
                    continue
                where = f"{page.file}:{fence.line + 1}"
                match = INCLUDE.match("\n".join(fence.lines).strip())
                if not match:
                    yield (
                        f"{where}: Python that nobody ran; move it to snippets/ and include the "
                        "file"
                    )
                elif match[2] not in known and (SNIPPETS / match[2]).is_file():
                    yield f"{where}: includes {match[2]}, which is no program; write a `text` fence"

    report(findings())


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_page_can_be_built(language: str) -> None:
    report(() if list_unreadable() else find_unbuildable(language))  # those are named once
