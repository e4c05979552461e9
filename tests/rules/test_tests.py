"""What all tests keep to: one way to wait, no clock to compare with, engines that are disposed."""

import ast
import re
from functools import cache

import pytest

from tests.programs import calls, list_programs, parse
from tests.report import report
from tools.paths import ROOT
from tools.proof.snippets import location

CLOCK = re.compile(r"^(time\.(time|monotonic|perf_counter)|perf_counter|monotonic|.*loop.*\.time)$")
HAS_A_CLOCK = {
    "tests/waiting.py",
    "tests/test_pool_invariants.py",  # gives up sooner while it searches for a shorter example
}
ONE_PLACE = {
    "sqlalchemy.__version__": ("tests/versions.py", "say IS_2_0 of tests/versions.py"),
    "uvicorn.Server": ("tests/serving.py", "say `running` or `serving` of tests/serving.py"),
}
ASKS = re.compile(r"^(assert|eventually|expect|fail|must|raises|report|require|until|wait|warns)")
"""How the functions begin that fail where something is not so."""
SHOWS_BY_ENDING = {
    "test_a_program_that_is_stopped_leaves_no_process_behind",  # `stop_program` asserts
    "test_a_program_that_is_stopped_leaves_no_server_behind",
    "test_a_second_event_loop_works_if_the_first_disposed_of_the_engine",
    "test_a_second_event_loop_works_without_a_pool",
    "test_a_semaphore_around_the_session_keeps_the_others_out_of_the_queue",
    "test_after_commit_another_session_can_take_the_connection",
    "test_given_back_runs_in_a_thread_as_a_test_client_runs_it",
    "test_no_schedule_costs_a_connection",  # the state machine asserts
    "test_no_schedule_costs_the_pool_a_slot",
    "test_not_retried",  # the error is what is shown
    "test_pre_ping_replaces_what_was_idle_too_long",
    "test_psycopg_waits_where_asyncpg_refuses",
    "test_three_guests",  # passes on SQLite
    "test_two_requests_at_once",
    "test_who_is_connected_may_copy_the_database_himself",
    "test_without_the_statement_cache_a_changed_table_is_no_error",
}
"""That they end, and in time, is all that these show."""
A_FIXTURE_ASKS = ("snippets/testing/leaks/",)
"""Projects in which a fixture judges each test."""
NOBODY_DISPOSES = {"test_a_forgotten_engine_keeps_its_connections_open"}


@cache
def list_tests() -> list[tuple[str, ast.Module]]:
    """The modules below `tests` that can be parsed, each with its path in the repository."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    return [(file.relative_to(ROOT).as_posix(), tree) for file in files if (tree := parse(file))]


def test_no_test_reads_a_clock() -> None:
    report(
        f"{name}:{call.lineno}: reads a clock; count what happened instead, or wait for it with "
        "`eventually` of tests/waiting.py"
        for name, tree in list_tests()
        if name not in HAS_A_CLOCK
        for called, call in calls(tree)
        if CLOCK.match(called)
    )


def test_what_tests_share_is_said_once() -> None:
    report(
        f"{name}:{node.lineno}: says {what}; {instead}"
        for name, tree in list_tests()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and ast.unparse(node) in ONE_PLACE
        for what in [ast.unparse(node)]
        for place, instead in [ONE_PLACE[what]]
        if name != place
    )


def test_an_engine_of_a_test_is_disposed_though_the_test_fails() -> None:
    report(
        f"{name}:{call.lineno}: makes an engine that stays open if the test fails; make it with "
        "the fixture `make_engine`"
        for name, tree in list_tests()
        for test in tree.body
        if isinstance(test, ast.AsyncFunctionDef) and test.name not in NOBODY_DISPOSES
        if any(argument.arg == "database_url" for argument in test.args.args)
        and test.name.startswith("test_")
        for called, call in calls(test)
        if called == "create_async_engine"
    )


def test_no_test_module_is_imported() -> None:
    report(
        f"{name}:{node.lineno}: imports from {node.module}; move what both need into a module "
        "beside them"
        for name, tree in list_tests()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and re.match(r"tests\..*\btest_", node.module or "")
    )


@cache
def asserting_nothing() -> list[tuple[str, str]]:
    """Where each test begins that asserts nothing, and its name."""
    found = []
    readers = [(location(file), tree) for file, tree in list_programs()]
    for name, tree in [*list_tests(), *readers]:
        if name.rpartition("/")[2].startswith("test_") and not name.startswith(A_FIXTURE_ASKS):
            for test in tree.body:
                if (
                    isinstance(test, ast.FunctionDef | ast.AsyncFunctionDef)
                    and test.name.startswith("test_")
                    and not asks(test, tree)
                ):
                    found.append((f"{name}:{test.lineno}", test.name))
    return found


def test_a_test_asserts_something() -> None:
    report(
        f"{where}: {name} asserts nothing, so it passes whatever happens; say what must hold, or "
        "name it in SHOWS_BY_ENDING in tests/rules/test_tests.py"
        for where, name in asserting_nothing()
        if name not in SHOWS_BY_ENDING
    )


def test_a_test_that_asserts_something_is_no_exception() -> None:
    report(
        f"tests/rules/test_tests.py: {name} needs no exception any more; take it out of "
        "SHOWS_BY_ENDING"
        for name in sorted(SHOWS_BY_ENDING - {name for _, name in asserting_nothing()})
    )


def test_an_assertion_can_fail() -> None:
    readers = [(location(file), tree) for file, tree in list_programs()]
    report(
        f"{name}:{node.lineno}: asserts what is true in any case, {ast.unparse(node.test)[-40:]}; "
        "assert what the run found"
        for name, tree in [*list_tests(), *readers]
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert) and holds_anyway(node.test)
    )


def holds_anyway(test: ast.expr) -> bool:
    """Whether an assertion's condition is a constant, or has one behind `or`."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.Or):
        return any(map(holds_anyway, test.values))
    return isinstance(test, ast.Constant) and bool(test.value)


def asks(test: ast.AST, tree: ast.Module, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a test, or a helper in its module, fails where something is not so."""
    helpers = {
        node.name: node
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    if any(isinstance(node, ast.Assert | ast.Raise) for node in ast.walk(test)):
        return True
    names = {called.rpartition(".")[2] for called, _ in calls(test)}
    return any(ASKS.match(name) for name in names) or any(
        asks(helpers[name], tree, seen | names) for name in names & helpers.keys() - seen
    )


@pytest.mark.parametrize(
    ("program", "right"),
    [
        ("def test_x():\n    assert ask() == 7", True),
        ("def test_x():\n    ask() == 7", False),
        ("def test_x():\n    with pytest.raises(OSError):\n        ask()", True),
        ("def look():\n    assert ask()\ndef test_x():\n    look()", True),
        ("def look():\n    look()\ndef test_x():\n    look()", False),
        ("def test_x():\n    expect(page).to_be(1)", True),
    ],
)
def test_what_asserts_is_told_from_what_does_not(program: str, right: bool) -> None:
    tree = ast.parse(program)
    assert asks(tree.body[-1], tree) == right


@pytest.mark.parametrize(
    ("condition", "holds"),
    [("True", True), ("x == 1 or True", True), ("x == 1 or y", False), ("x == 1", False)],
)
def test_what_holds_anyway_is_found(condition: str, holds: bool) -> None:
    assert holds_anyway(ast.parse(condition, mode="eval").body) == holds
