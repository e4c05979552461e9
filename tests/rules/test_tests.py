"""What all tests keep to: one way to wait, no clock to compare with, engines that are disposed."""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.report import report
from tools.paths import ROOT

FILES = sorted((ROOT / "tests").rglob("*.py"))
CLOCK = re.compile(r"^(time\.(time|monotonic|perf_counter)|perf_counter|monotonic|.*loop.*\.time)$")
HAS_A_CLOCK = {
    "tests/waiting.py",
    "tests/test_pool_invariants.py",  # gives up sooner while it searches for a shorter example
}
ONE_PLACE = {
    "sqlalchemy.__version__": ("tests/versions.py", "say IS_2_0 of tests/versions.py"),
    "uvicorn.Server": ("tests/serving.py", "say `running` or `serving` of tests/serving.py"),
}
NOBODY_DISPOSES = {"test_a_forgotten_engine_keeps_its_connections_open"}


@cache
def parse(file: Path) -> ast.Module:
    return ast.parse(file.read_text("utf-8"))


def calls(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """The line of each call, and what is called."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield node.lineno, ast.unparse(node.func)


def test_no_test_reads_a_clock() -> None:
    report(
        f"{name}:{line}: reads a clock; count what happened instead, or wait for it with "
        "`eventually` of tests/waiting.py"
        for file in FILES
        if (name := file.relative_to(ROOT).as_posix()) not in HAS_A_CLOCK
        for line, called in calls(parse(file))
        if CLOCK.match(called)
    )


def test_what_tests_share_is_said_once() -> None:
    report(
        f"{name}:{node.lineno}: says {what}; {instead}"
        for file in FILES
        for node in ast.walk(parse(file))
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ONE_PLACE
        for what in [ast.unparse(node)]
        for place, instead in [ONE_PLACE[what]]
        if (name := file.relative_to(ROOT).as_posix()) != place
    )


def test_an_engine_of_a_test_is_disposed_though_the_test_fails() -> None:
    report(
        f"{file.relative_to(ROOT)}:{line}: makes an engine that stays open if the test fails; "
        "make it with the fixture `make_engine`"
        for file in FILES
        for test in parse(file).body
        if isinstance(test, ast.AsyncFunctionDef) and test.name not in NOBODY_DISPOSES
        if any(argument.arg == "database_url" for argument in test.args.args)
        and test.name.startswith("test_")
        for line, called in calls(test)
        if called == "create_async_engine"
    )


def test_no_test_module_is_imported() -> None:
    report(
        f"{file.relative_to(ROOT)}:{node.lineno}: imports from {node.module}; move what both need "
        "into a module beside them"
        for file in FILES
        for node in ast.walk(parse(file))
        if isinstance(node, ast.ImportFrom) and re.match(r"tests\..*\btest_", node.module or "")
    )
