"""Code and output on a page come from a run: no fence holds what nobody ran."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.programs import calls, parse
from tests.prose import every_language
from tests.report import report
from tools.paths import ROOT
from tools.proof.snippets import list_parts, list_snippets
from tools.site.pages import INCLUDE, Fence, Page, pages

KINDS = {
    "python": "an include of a snippet",
    "text": "an error text that a test names, or an include of a record",
    "sql": "a query that a test runs",
    "bash": "commands for a shell",
    "yaml": "a piece of a configuration",
    "toml": "a piece of a configuration",
    "ini": "an include of PgBouncer's settings",
    "dockerfile": "an include of a container file",
}
"""The info strings in use, and what stands in such a fence."""

_RAW_FENCE = re.compile(r"^ *(~{3,}|`{4,})")
_INDENTED = re.compile(r"^ {4,}\S|^\t")
_RAW_CODE = re.compile(r"<(pre|code|samp|kbd)\b", re.IGNORECASE)
_QUOTED = re.compile(r"^ *> *(`{3,}|~{3,}| {4,}\S)")
_DEEP = re.compile(r"^ {8,}\S")
_SHEBANG = re.compile(r"`+(#!|:::)\w")
_COMMANDS = re.compile(r"(cd|curl|docker|export|git|make|pip|psql|python3?|uv|uvicorn)\b|\.venv/|#")
"""How a line for a shell begins; one that goes on is indented."""
NEEDS_NO_RUN = {
    "contributing.md": "tests/test_contributing.py knows what the tools can say",
    "pool/watching.md": "PromQL, which no server here answers",
    "sessions/nested.md": "a formula",
    "sizing/arithmetic.md": "a formula",
}
"""Pages whose `text` blocks are no output."""
NO_TEST_QUOTES = (
    "sqlalchemy.exc.InterfaceError: (sqlalchemy.dialects.postgresql.asyncpg.InterfaceError)",
    "error: The return type of an async generator function should be",
    'error: No overload variant of "sessionmaker" matches argument types',
    'The dependency "signed_in" has a scope of "request"',
    "Using `scoped_session` with asyncio is deprecated",
    "ConnectionRefusedError: [Errno 111] Connect",
)
"""Beginnings of error texts that tests check by a part, or with other names in them."""
_LIST = re.compile(r"^ *([-*+]|\d+\.) ")


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
                elif _QUOTED.match(line):
                    yield f"{page.file}:{number}: holds code in a quote; put it into a fence"
                elif _SHEBANG.search(line):
                    yield f"{page.file}:{number}: colors code in a line; write plain backticks"
                elif _is_indented(page, number, line, before):
                    yield f"{page.file}:{number}: is code by its indentation; put it into a fence"
                before = line

    report(findings())


def _is_indented(page: Page, number: int, line: str, before: str) -> bool:
    """Whether Markdown takes a line for code."""
    if before.strip():
        return False
    return bool(_DEEP.match(line) or (_INDENTED.match(line) and not _in_list(page, number)))


def _in_list(page: Page, number: int) -> bool:
    """Whether an indented line belongs to a list or a box above it."""
    for line in reversed(page.lines[: number - 1]):
        if _LIST.match(line) or line.startswith("!!!"):
            return True
        if line.strip() and not line.startswith(" "):
            return False
    return False


@every_language
def test_a_line_for_a_shell_begins_with_a_command(language: str) -> None:
    report(
        f"{page.file}:{fence.line + number}: is no command that we know; output has a `text` "
        "fence, and a prompt is left out"
        for page, fence in fences(language)
        if fence.language == "bash"
        for number, line in enumerate(fence.lines, 1)
        if line.strip() and not line.startswith(" ") and not _COMMANDS.match(line)
    )


@every_language
def test_a_text_block_is_what_a_run_or_a_test_says(language: str) -> None:
    report(
        f"{page.file}:{fence.line + number}: no test and no snippet says this; include what a run "
        "printed, or name the text in a test of the page"
        for page, fence in fences(language)
        if fence.language == "text" and page.name not in NEEDS_NO_RUN
        for number, line in enumerate(fence.lines, 1)
        if line.strip() and not INCLUDE.match(line) and not _is_said(line)
    )


@every_language
def test_a_query_on_a_page_is_one_that_was_run(language: str) -> None:
    report(
        f"{page.file}:{fence.line}: holds a query that no test runs; run it in {_module(page)}, "
        "which gets it by `sql_fences` of tests/prose.py"
        for page, fence in fences(language)
        if fence.language == "sql" and not _is_run(page, fence)
    )


def _is_run(page: Page, fence: Fence) -> bool:
    module = ROOT / _module(page)
    code = (module.is_file() and parse(module)) or ast.Module([], [])
    queries = filter(str.strip, " ".join(fence.lines).split(";"))
    return any(name == "sql_fences" for name, _ in calls(code)) or all(
        query.strip().startswith("SHOW ") or _is_said(query, 3) for query in queries
    )


def _module(page: Page) -> str:
    """Where the tests of a page are, `tests/pool/test_size.py`."""
    return Path("tests", page.name).with_name(f"test_{page.path.stem}.py").as_posix()


def _plain(text: str) -> str:
    """The words, without what quotes, escapes and line ends add."""
    return " ".join(re.findall(r"[a-z0-9_.]+", text.lower().replace("\\", "")))


@cache
def _said() -> str:
    """What tests, snippets and the bench say, as words; strings that were cut are whole again."""
    files = [*(ROOT / "tests").rglob("*.py"), *(ROOT / "tools/measure").glob("*.py")]
    found = []
    for file in [*files, *list_snippets(), *list_parts()]:
        found.append(file.read_text("utf-8", errors="replace"))
        for node in ast.walk(parse(file) or ast.Module([], [])):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return "\n".join(map(_plain, found))


def _is_said(line: str, run: int = 5) -> bool:
    """Whether so many words of a line stand together in what was run; all of a shorter line."""
    words = _plain(line).split()
    starts = range(max(1, len(words) - run + 1))
    runs = (" ".join(words[start : start + run]) for start in starts)
    return line.startswith(NO_TEST_QUOTES) or any(part in _said() for part in runs)
