"""The repository's own Python is clean, and so is every snippet."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import calls, list_programs, parse
from tests.report import report
from tools.paths import READER_SCRIPTS, ROOT
from tools.proof.prove import format_snippets
from tools.proof.snippets import location

CALLED_BY_NAME = ("test_", "pytest", "on_", "__")
"""How names begin that pytest, MkDocs and Python look up; what is decorated is looked up, too."""


_STARTS = {"Popen", "run", "call", "check_call", "check_output"}


def findings(*command: str) -> list[str]:
    """What a linter says, a line each; empty if it ended well."""
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    return (ran.stdout + ran.stderr).splitlines() if ran.returncode else []


def test_ruff_finds_nothing() -> None:
    options = ("--no-cache", "--quiet", "--output-format=concise")
    report(findings("ruff", "check", *options, ".", "snippets"))


def test_ruff_would_format_nothing() -> None:
    said = findings(
        "ruff", "format", "--check", "--quiet", "tools", "tests", *map(str, READER_SCRIPTS)
    )
    places = [match[1] for line in said if (match := re.match(r" *--> (\S+?:\d+)", line))]
    report(f"{place}: is not formatted; `make format` does it" for place in places or said)


@pytest.mark.timeout(900)  # on a fresh clone mypy reads every library, beside all other tests
def test_every_type_is_right() -> None:
    report(findings("mypy", "--no-error-summary", "--hide-error-context"))


def test_every_snippet_is_formatted() -> None:
    snippets = [snippet for snippet, _ in list_programs()]
    texts = [snippet.read_text("utf-8") for snippet in snippets]
    report(
        f"{location(snippet)}: is not formatted as ruff would; `make update` does it"
        for snippet, text, right in zip(snippets, texts, format_snippets(texts), strict=True)
        if text != right
    )


def _list_own() -> dict[Path, ast.Module]:
    """The repository's own modules."""
    return {
        file: tree
        for folder in ("tools", "tests")
        for file in sorted((ROOT / folder).rglob("*.py"))
        if (tree := parse(file))
    }


def test_text_is_read_and_written_as_utf_8() -> None:
    report(
        f"{file.relative_to(ROOT)}:{call.lineno}: leaves the encoding to the machine, which may "
        'choose GBK; say encoding="utf-8"'
        for file, tree in _list_own().items()
        for name, call in calls(tree)
        if _leaves_encoding(name, call)
    )


def _leaves_encoding(name: str, call: ast.Call) -> bool:
    """Whether a call reads or writes text, and names no encoding."""
    given = {keyword.arg for keyword in call.keywords}
    if "encoding" in given:
        return False
    if name.endswith((".read_text", ".write_text")):
        return len(call.args) < (2 if name.endswith(".write_text") else 1)
    if name == "open":
        return not (call.args[1:] and "b" in ast.unparse(call.args[1]))
    if name.endswith(".open"):  # of a path: no other `open` is told a mode, or how lines end
        mode = call.args[0].value if call.args and isinstance(call.args[0], ast.Constant) else ""
        return bool(re.fullmatch(r"[rwax][t+]*", str(mode))) or "newline" in given
    return name.rpartition(".")[2] in _STARTS and bool(
        given & {"text", "errors", "universal_newlines"}
    )


@pytest.mark.parametrize(
    ("call", "leaves"),
    [
        ("path.read_text()", True),
        ("path.write_text(said, 'utf-8')", False),
        ("subprocess.run(command, text=True)", True),
        ("run(command, capture_output=True)", False),
        ("path.open('w')", True),
        ("path.open('wb')", False),
        ("stage.open('admin')", False),
        ("open(path)", True),
        ("open(path, 'rb')", False),
        ("open(path, encoding='utf-8')", False),
    ],
)
def test_a_call_that_leaves_the_encoding_to_the_machine_is_found(call: str, leaves: bool) -> None:
    [(name, node)] = calls(ast.parse(call))
    assert _leaves_encoding(name, node) == leaves


def test_every_name_is_used() -> None:
    files = _list_own()
    elsewhere = {use for tree in files.values() for use in _uses(tree)}
    report(
        f"{file.relative_to(ROOT)}:{line}: nothing uses {name}; take it out, or begin a "
        "test's name with test_"
        for file, tree in files.items()
        for line, name in _definitions(tree)
        if (_module(file), name) not in elsewhere
        and len(re.findall(rf"\b{name}\b", file.read_text("utf-8"))) == 1
    )


def _definitions(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Lines and names of what a module defines at its top."""
    for node in tree.body:
        names = list[str]()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names = [] if node.decorator_list else [node.name]
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [
                each.id for to in targets for each in ast.walk(to) if isinstance(each, ast.Name)
            ]
        yield from ((node.lineno, name) for name in names if not name.startswith(CALLED_BY_NAME))


def _uses(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """Names that a module takes from others, each with the last word of the other's name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (((node.module or "").rpartition(".")[2], each.name) for each in node.names)
        elif isinstance(node, ast.Attribute):
            yield ast.unparse(node.value).rpartition(".")[2], node.attr


def _module(file: Path) -> str:
    """The last word of a module's name."""
    return file.parent.name if file.stem == "__init__" else file.stem
