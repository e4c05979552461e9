"""A snippet proves by running: it asks PostgreSQL, prints what it found, and waits for events."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tests.programs import calls, list_programs, prints
from tests.report import report
from tools.paths import PROGRAMS, ROOT, SNIPPETS
from tools.proof.snippets import list_snippets, location, snippet_name

WORK = {
    "sessions/waiting/blocked_loop.py": "work that blocks is the subject",
    "sessions/waiting/ten_requests.py": "the answer of another service",
    "sizing/measured/little.py": "work of a known length is the subject",
    "pool/stale/lifo.py": "a quiet hour, in short",
}
"""Snippets that sleep for what they show, not to win a race."""
NO_DATABASE = {
    "start/quickstart/mend_url.py": "turns URLs into URLs",
    "start/quickstart/parts.py": "makes a URL of parts",
    "start/quickstart/wrong_scheme.py": "fails before there is an engine",
}
"""Snippets whose subject is no run of a pool."""
SETTINGS = ("pool_size", "max_overflow", "pool_timeout", "pool_recycle", "pool_pre_ping")

_LABEL = re.compile(rf"\b({'|'.join(SETTINGS)})=([\w.]+)")


def test_a_snippet_hides_no_module_of_python() -> None:
    report(
        f"{location(snippet)}: run as a file, it stands in the way of Python's module "
        f"{snippet.stem}; call it otherwise"
        for snippet in list_snippets()
        if snippet.stem in sys.stdlib_module_names
    )


def test_a_snippet_sleeps_only_where_that_is_its_subject() -> None:
    report(
        f"{location(snippet, call.lineno)}: sleeps, which loses a race on a busy machine; wait for "
        "a barrier, an event or a polled condition"
        for snippet, tree in list_programs()
        if snippet_name(snippet) not in WORK
        for name, call in calls(tree)
        if name in ("asyncio.sleep", "time.sleep", "sleep", "anyio.sleep")
        and not (call.args and isinstance(call.args[0], ast.Constant) and call.args[0].value == 0)
        and not _polls(tree, call)
    )


def _polls(tree: ast.Module, call: ast.Call) -> bool:
    """Whether a sleep is the pause of a loop that asks again."""
    return any(
        isinstance(node, ast.While) and call in ast.walk(node) and not _is_true(node.test)
        for node in ast.walk(tree)
    )


def _is_true(test: ast.expr) -> bool:
    return isinstance(test, ast.Constant) and bool(test.value)


def test_a_snippet_asks_a_pool() -> None:
    ways = {"create_async_engine", "create_engine", "async_engine_from_config", "app"}
    report(
        f"{location(snippet)}: makes no engine, so it proves nothing about one; ask a pool"
        for snippet, tree in list_programs()
        if snippet_name(snippet) not in NO_DATABASE
        and not ways & {name.split(".")[-1] for name, _ in calls(tree)}
    )


def test_a_snippet_prints_what_it_found_and_no_constant() -> None:
    report(
        f"{location(snippet, call.lineno)}: prints a constant, which it would print whatever "
        "happened; print what the run found"
        for snippet, tree in list_programs()
        for call in prints(tree)
        if call.args
        and all(_is_constant(argument) for argument in call.args)
        and not _depends_on_run(tree, call)
    )


def _is_constant(argument: ast.expr) -> bool:
    return isinstance(argument, ast.Constant) or (
        isinstance(argument, ast.JoinedStr)
        and all(isinstance(part, ast.Constant) for part in argument.values)
    )


def _depends_on_run(tree: ast.Module, call: ast.Call) -> bool:
    """Whether a print runs only if something happened: in an except, an if, a listener."""
    inside = (ast.ExceptHandler, ast.If, ast.Match, ast.FunctionDef, ast.AsyncFunctionDef)
    holders = [
        node
        for node in ast.walk(tree)
        if isinstance(node, inside)
        and call in ast.walk(node)
        and getattr(node, "name", "") != "main"
    ]
    return bool(holders)


def test_a_label_says_what_the_engine_was_given() -> None:
    report(
        f"{location(snippet, line)}: prints {setting}={value}, which no call here sets; put the "
        'value into the label, f"pool_size={size}"'
        for snippet, tree in list_programs()
        for line, setting, value in _labels(tree)
        if value not in _values(tree, setting)
    )


def _labels(tree: ast.Module) -> Iterator[tuple[int, str, str]]:
    for call in prints(tree):
        for node in ast.walk(call):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                for setting, value in _LABEL.findall(node.value):
                    yield call.lineno, setting, value


def _values(tree: ast.Module, setting: str) -> set[str]:
    """What a setting is given anywhere: as an argument, or as a pair of a dict."""
    found = {
        ast.unparse(keyword.value)
        for _, call in calls(tree)
        for keyword in call.keywords
        if keyword.arg == setting
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Dict):
            found |= {
                ast.unparse(value)
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and key.value == setting
            }
    return found


def test_a_snippet_takes_its_database_from_the_reader() -> None:
    report(
        f"{location(snippet, node.lineno)}: holds a URL of its own as a default; take "
        'os.environ["DATABASE_URL"], which says what is missing'
        for snippet, tree in list_programs()
        for name, call in calls(tree)
        if name in ("os.environ.get", "os.getenv", "environ.get", "getenv")
        for node in call.args[1:]
        if isinstance(node, ast.Constant) and "://" in str(node.value)
    )


def test_a_program_that_nobody_proves_has_tests_of_its_own() -> None:
    def is_tested(program: Path) -> bool:
        module = ".".join(program.relative_to(ROOT).with_suffix("").parts)
        page = program.parent.relative_to(SNIPPETS)
        tests = ROOT / "tests" / page.parent / f"test_{page.name}.py"
        return tests.is_file() and module in tests.read_text("utf-8")

    report(
        f"tools/paths.py: PROGRAMS names {program.relative_to(ROOT)}, which no test imports; test "
        "it, or make it a snippet"
        for program in PROGRAMS
        if not is_tested(program)
    )


def test_every_file_below_snippets_is_a_snippet_or_a_record() -> None:
    known = {*list_snippets(), *PROGRAMS}
    report(
        f"{path.relative_to(ROOT)}: is neither a snippet nor the record of one; move it away"
        for path in sorted(SNIPPETS.rglob("*.*"))
        if path.is_file()
        and not {"__pycache__", ".ruff_cache"} & set(path.parts)
        and path not in known
        and path != SNIPPETS / "ruff.toml"
        and not (path.suffix == ".txt" and path.parent / f"{path.name.split('.')[0]}.py" in known)
    )
