"""The rooms of `tools`: site and measure may use proof, proof may use postgres; never back."""

import ast
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import pytest

from tests.programs import parse
from tests.report import report
from tools.paths import ROOT

USES = {
    "postgres": {"paths", "postgres"},
    "proof": {"paths", "postgres", "proof"},
    "site": {"paths", "words", "postgres", "proof", "site"},
    "measure": {"paths", "words", "postgres", "proof", "measure"},
}
"""What each room may import of `tools`."""
LONGEST, MEDIAN = 300, 120
"""Lines of a file."""
LONGEST_FUNCTION = 40
"""Of tests, too."""

FILES = sorted((ROOT / "tools").rglob("*.py"))


def imports(file: Path) -> Iterator[tuple[int, str]]:
    """The rooms and modules of `tools` that a file imports, with the numbers of the lines."""
    for node in ast.walk(parse(file) or ast.Module([], [])):
        if isinstance(node, ast.ImportFrom) and node.module == "tools":
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("tools."):
            yield node.lineno, str(node.module).split(".")[1]
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("tools."):
                    yield node.lineno, alias.name.split(".")[1]


@pytest.mark.parametrize("room", USES)
def test_a_room_uses_only_what_is_below_it(room: str) -> None:
    report(
        f"{file.relative_to(ROOT)}:{line}: imports tools.{other}, which tools/{room} may not know; "
        f"move what it needs down, or this file up"
        for file in FILES
        if file.relative_to(ROOT / "tools").parts[0] == room
        for line, other in imports(file)
        if other not in USES[room]
    )


def test_every_file_is_in_a_room_and_short() -> None:
    beside = {"__init__.py", "__main__.py", "paths.py", "words.py"}
    lengths = {file: len(file.read_bytes().splitlines()) for file in FILES}
    report(
        [
            f"{file.relative_to(ROOT)}: is in no room; move it into one of {', '.join(USES)}"
            for file in FILES
            if file.parent == ROOT / "tools" and file.name not in beside
        ]
        + [
            f"{file.relative_to(ROOT)}: has {length} lines; split it, {LONGEST} at most"
            for file, length in lengths.items()
            if length > LONGEST
        ]
    )
    assert median(lengths.values()) < MEDIAN


def test_every_function_is_short() -> None:
    report(
        f"{file.relative_to(ROOT)}:{node.lineno}: {node.name} has {length} lines; split it, "
        f"{LONGEST_FUNCTION} at most"
        for file in (*FILES, *sorted((ROOT / "tests").rglob("*.py")))
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    )


def test_the_tests_of_the_tools_have_the_same_rooms() -> None:
    tests = ROOT / "tests" / "tools"
    report(
        f"{file.relative_to(ROOT)}: is in no room of tools; move it into the one it tests"
        for file in tests.rglob("test_*.py")
        if file.relative_to(tests).parts[0] not in USES
    )
