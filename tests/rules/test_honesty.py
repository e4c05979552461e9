"""A snippet proves by running: it asks PostgreSQL, prints what it found, and waits for events."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.programs import calls, list_programs, parse, prints
from tests.report import report
from tools.paths import OUTAGES_TABLE, READER_SCRIPTS, ROOT, SETTINGS_TABLE, SNIPPETS
from tools.proof.snippets import list_files, list_snippets, location, snippet_name
from tools.site.problems import find_line

WORK = {
    "sessions/waiting/blocked_loop.py": "work that blocks is the subject",
    "sessions/waiting/ten_requests.py": "the answer of another service",
    "sizing/measured/little.py": "work of a known length is the subject",
    "pool/timeout/deadline.py": "a query of a length that the caller chooses",
    "production/loops/taskiq_limit.py": "tasks longer than pool_timeout",
    "production/restarts/outage.py": "pauses between attempts",
    "sessions/tasks/per_task.py": "queries that take a while and run at the same time",
    "sessions/tasks/poisoned.py": "a query that still runs when the commit comes",
    "sizing/measure/one_run.py": "a query that waits is measured",
    "sizing/rules/cores.py": "a query that waits is the subject",
    "sizing/rules/one_row.py": "a transaction of a known length",
    "troubleshooting/statements/canceled.py": "a query longer than its limit",
    "troubleshooting/statements/repeated.py": "a pause between two attempts",
}
"""Snippets that sleep for what they show, not to win a race."""
EXAMPLE_URLS = {
    "pool/timeout/connecting.py": "a server that never answers",
    "start/quickstart/mend_url.py": "URLs as hosting companies give them",
    "start/quickstart/parts.py": "a URL of parts",
    "start/quickstart/refused.py": "a port at which nobody listens",
    "start/quickstart/wrong_scheme.py": "a URL that is refused",
    "testing/postgres/plugin/conftest.py": "a server that it starts itself",
    "testing/postgres/server/conftest.py": "a server that it starts itself",
    "testing/postgres/template/conftest.py": "a server that it starts itself",
    "troubleshooting/connect/unparsed.py": "a URL with its port to be filled in",
}
"""Snippets that show a URL which is no reader's."""

HERE = "tests/rules/test_honesty.py"
_URL = re.compile(r"postgres\w*(\+\w+)?://.")
_LABEL = re.compile(r"\b([a-z]+(?:_[a-z]+)+)(?: ?= ?|: )([\d.]+)\b")
_POOL_OF = re.compile(r"\bpool of (\d+)\b")
_SHORT_SLEEP = re.compile(r"pg_sleep\((?:0?\.\d+|[0-4]\b|[:{%])")
_NEVER_SET = re.compile(r"\b(Event|Future|create_future)\(\)")


def test_an_exception_is_of_a_snippet_that_is_there() -> None:
    report(
        f"{HERE}:{find_line(HERE, name)}: makes an exception of {name}, which is no snippet; take "
        "the line out, or mend the name"
        for name in [*WORK, *EXAMPLE_URLS]
        if not (SNIPPETS / name).is_file()
    )


def test_a_snippet_hides_no_module_of_python() -> None:
    report(
        f"{location(snippet)}: run as a file, it stands in the way of Python's module "
        f"{snippet.stem}; call it otherwise"
        for snippet in list_snippets()
        if snippet.stem in sys.stdlib_module_names
    )


def test_a_snippet_swallows_no_error_that_it_does_not_know() -> None:
    report(
        f"{location(snippet, line)}: takes any error and says nothing of it; name the class that "
        "is expected, raise again, or print what it was"
        for snippet, tree in list_programs()
        for line in swallows(tree)
    )


def swallows(tree: ast.Module) -> Iterator[int]:
    """The lines that end any exception, and neither raise nor use it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler) and _is_broad(node.type):
            below = [part for line in node.body for part in ast.walk(line)]
            used = any(isinstance(part, ast.Name) and part.id == node.name for part in below)
            if not used and not any(isinstance(part, ast.Raise) for part in below):
                yield node.lineno
    for name, call in calls(tree):
        if name.split(".")[-1] == "suppress" and any(map(_is_broad, call.args)):
            yield call.lineno


def _is_broad(caught: ast.expr | None) -> bool:
    """Whether errors of any kind are caught, an assertion's among them."""
    if isinstance(caught, ast.Tuple):
        return any(map(_is_broad, caught.elts))
    broad = ("Exception", "BaseException", "AssertionError")
    return caught is None or ast.unparse(caught) in broad


def test_a_snippet_sleeps_only_where_that_is_its_subject() -> None:
    report(
        f"{location(snippet, call.lineno)}: sleeps, which loses a race on a busy machine; wait for "
        "a barrier, an event or a polled condition"
        for snippet, tree in list_programs()
        if snippet_name(snippet) not in WORK
        for call in sleeps(tree)
    )


def sleeps(tree: ast.Module) -> Iterator[ast.expr]:
    """What lets time go by: sleeps by any name and in SQL, and the wait for what nobody sets."""
    names = {"sleep"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant | ast.JoinedStr) and _SHORT_SLEEP.search(
            ast.unparse(node)
        ):
            yield node
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            names |= {alias.asname or "" for alias in node.names if alias.name == "sleep"}
    for name, call in calls(tree):
        first = call.args[0] if call.args else None
        zero = isinstance(first, ast.Constant) and first.value == 0
        if name.split(".")[-1] in names:
            if not zero and not _polls(tree, call):
                yield call
        elif (
            name.split(".")[-1] in ("wait_for", "to_thread")
            and first
            and _NEVER_SET.search(ast.unparse(first))
        ):
            yield call


def _polls(tree: ast.Module, call: ast.Call) -> bool:
    """Whether a sleep is the pause of a loop that asks again."""
    return any(
        isinstance(node, ast.While) and call in ast.walk(node) and _asks(node.test)
        for node in ast.walk(tree)
    )


def _asks(test: ast.expr) -> bool:
    """Whether a condition is looked up anew each time."""
    return any(isinstance(part, ast.Call | ast.Await | ast.Attribute) for part in ast.walk(test))


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
                for value in _POOL_OF.findall(node.value):
                    yield call.lineno, "pool_size", value


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
        f"{location(snippet, line)}: names a database of its own, {what[:50]}; take "
        'os.environ["DATABASE_URL"], which says what is missing'
        for snippet, tree in list_programs()
        if snippet_name(snippet) not in EXAMPLE_URLS
        for line, what in own_urls(tree)
    )


def own_urls(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Where a program names a database itself, and what it says there."""
    sentences = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and id(node) not in sentences
            and _URL.match(str(node.value))
        ):
            yield node.lineno, str(node.value)
    for name, call in calls(tree):
        match name.split(".")[-1], [ast.unparse(argument) for argument in call.args]:
            case "create", _ if any(keyword.arg == "host" for keyword in call.keywords):
                yield call.lineno, ast.unparse(call)
            case "get" | "getenv" | "setdefault", ["'DATABASE_URL'", _]:
                yield call.lineno, ast.unparse(call)


def test_a_script_that_nobody_proves_has_tests_of_its_own() -> None:
    def is_tested(script: Path) -> bool:
        module = ".".join(script.relative_to(ROOT).with_suffix("").parts)
        page = script.parent.relative_to(SNIPPETS)
        tests = ROOT / "tests" / page.parent / f"test_{page.name}.py"
        tree = parse(tests) if tests.is_file() else None
        return any(
            (isinstance(node, ast.ImportFrom) and node.module == module)
            or (isinstance(node, ast.Import) and module in [name.name for name in node.names])
            for node in ast.walk(tree or ast.Module([], []))
        )

    report(
        f"tools/paths.py: READER_SCRIPTS names {script.relative_to(ROOT)}, which no test imports; "
        "test it, or make it a snippet"
        for script in READER_SCRIPTS
        if not is_tested(script)
    )


def test_every_file_below_snippets_is_a_snippet_or_a_record() -> None:
    files = {file for snippet in list_snippets() for file in list_files(snippet)}
    known = {*files, *READER_SCRIPTS, SETTINGS_TABLE, OUTAGES_TABLE}
    report(
        f"{path.relative_to(ROOT)}: is neither a snippet nor the record of one; move it away"
        for path in sorted(SNIPPETS.rglob("*"))
        if path.is_file()
        and not {"__pycache__", ".ruff_cache"} & set(path.parts)
        and path not in known
        and path != SNIPPETS / "ruff.toml"
        and not (path.suffix == ".txt" and path.parent / f"{path.name.split('.')[0]}.py" in known)
    )


@pytest.mark.parametrize(
    ("program", "sleeping"),
    [
        ("await asyncio.sleep(0.1)", True),
        ("await asyncio.sleep(0)", False),
        ("from time import sleep as nap; nap(1)", True),
        ("await asyncio.wait_for(asyncio.Event().wait(), 1)", True),
        ("while await count() > 5: await asyncio.sleep(0.1)", False),
        ("while not done: await asyncio.sleep(0.1)", True),
        ("await session.execute(text('SELECT pg_sleep(0.1)'))", True),
        ("await session.execute(text(f'SELECT pg_sleep({seconds})'))", True),
        ("await session.execute(text('SELECT pg_sleep(60)'))", False),
    ],
)
def test_a_sleep_is_told_from_a_question(program: str, sleeping: bool) -> None:
    assert bool(list(sleeps(ast.parse(f"async def main():\n    {program}")))) == sleeping


@pytest.mark.parametrize(
    ("program", "found"),
    [
        ("os.environ.get('X') or 'postgresql+asyncpg://a@b/c'", 1),
        ("os.environ.setdefault('DATABASE_URL', url)", 1),
        ("URL.create('postgresql', host='localhost')", 1),
        ("url.replace('postgresql://', 'postgresql+asyncpg://')", 0),
        ("'postgresql://a is what a docstring may say'", 0),
    ],
)
def test_a_url_of_its_own_is_found(program: str, found: int) -> None:
    assert len(list(own_urls(ast.parse(program)))) == found


@pytest.mark.parametrize(
    ("program", "lines"),
    [
        ("try:\n    ask()\nexcept Exception:\n    x = 1", [3]),
        ("try:\n    ask()\nexcept (OSError, AssertionError) as error:\n    x = 1", [3]),
        ("with suppress(Exception):\n    ask()", [1]),
        ("try:\n    ask()\nexcept Exception as error:\n    print(error)", []),
        ("try:\n    ask()\nexcept Exception:\n    raise ValueError from None", []),
        ("try:\n    ask()\nexcept OSError:\n    x = 1", []),
    ],
)
def test_an_error_that_is_swallowed_is_found(program: str, lines: list[int]) -> None:
    assert list(swallows(ast.parse(program))) == lines
