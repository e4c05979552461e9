"""A snippet asks a pool, and prints what the run found: nothing that it knew before it ran."""

import ast
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.programs import calls, list_programs, parse, prints
from tests.report import report
from tools.proof.snippets import find_lead, list_files, location, snippet_name

NO_DATABASE = {
    "pool/classes/refused.py": "fails while the engine is made",
    "production/migrations/loggers.py": "asks Alembic for SQL, and its loggers",
    "sessions/dependency/leftovers.py": "options that change nothing, or are refused",
    "start/quickstart/mend_url.py": "turns URLs into URLs",
    "start/quickstart/parts.py": "makes a URL of parts",
    "start/quickstart/wrong_scheme.py": "fails before there is an engine",
    "testing/frameworks/combinations.py": "writes test files, whose runs ask",
    "testing/loops/combinations.py": "writes test files, whose runs ask",
}
"""Snippets whose subject is no run of a pool."""
MAKES = {"create_async_engine", "create_engine", "async_engine_from_config", "app"}
ASKS = {"connect", "begin", "execute", "scalar", "scalars", "get", "post", "request", "anext"}
"""The last names of calls by which a program comes to a connection."""

_PURE = {"str", "repr", "int", "float", "bool", "len", "sum", "min", "max", "sorted", "list"}


def test_a_snippet_asks_a_pool() -> None:
    def findings() -> Iterator[str]:
        for snippet, tree in list_programs():
            if snippet_name(snippet) in NO_DATABASE:
                continue
            if find_lead(snippet) != snippet:
                continue  # its project asks
            trees = [parse(file) or tree for file in list_files(snippet) if file.suffix == ".py"]
            called = {name.split(".")[-1] for each in trees for name, _ in calls(each)}
            if not called & MAKES:
                yield f"{location(snippet)}: makes no engine, so it proves nothing; ask a pool"
            elif not called & ASKS:
                yield f"{location(snippet)}: makes an engine and asks it nothing; ask the database"

    report(findings())


def test_a_snippet_prints_what_it_found_and_no_constant() -> None:
    report(
        f"{location(snippet, line)}: prints a constant, which it would print whatever happened; "
        "print what the run found"
        for snippet, tree in list_programs()
        for line in constant_prints(tree)
    )


def constant_prints(tree: ast.Module) -> Iterator[int]:
    """The lines that print what does not depend on the run."""
    known = _constant_names(tree)
    entries = {"main", *_entries(tree)}
    for call in prints(tree):
        if not call.args or not all(_is_constant(argument, known) for argument in call.args):
            continue
        if not any(_waits_for_the_run(node, call, known, entries) for node in ast.walk(tree)):
            yield call.lineno


def _waits_for_the_run(node: ast.AST, call: ast.Call, known: set[str], entries: set[str]) -> bool:
    """Whether a node lets the call run only if something happened: an except, an if, a listener."""
    match node:
        case ast.ExceptHandler() | ast.Match():
            pass
        case ast.If() | ast.While():
            if _is_constant(node.test, known):
                return False
            ends = any(name == "sys.exit" for name, _ in calls(node))
            if ends and node.lineno < call.lineno:  # else it would not have come so far
                return True
        case ast.FunctionDef() | ast.AsyncFunctionDef():
            if node.name in entries:
                return False
        case _:
            return False
    return call in ast.walk(node)


def _entries(tree: ast.Module) -> Iterator[str]:
    """The functions with which the program begins, `show` of `asyncio.run(show())`."""
    for name, call in calls(tree):
        if name.split(".")[-1] == "run" and call.args and isinstance(call.args[0], ast.Call):
            yield ast.unparse(call.args[0].func)


def _constant_names(tree: ast.Module) -> set[str]:
    """The names that stand for one constant, or for those of a constant list, each in its turn."""
    given = Counter(
        node.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)
    ) + Counter(node.arg for node in ast.walk(tree) if isinstance(node, ast.arg))
    known: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.Assign(value=value) if any(map(_may_grow, ast.walk(value))):
                continue
            case ast.Assign(targets=[target], value=value) | ast.For(target=target, iter=value):
                if _is_constant(value, known):
                    known |= {n.id for n in ast.walk(target) if isinstance(n, ast.Name)}
    return {name for name in known if given[name] == 1}


def _may_grow(node: ast.AST) -> bool:
    return isinstance(node, ast.List | ast.Set | ast.Dict)


def _is_constant(node: ast.expr, known: set[str]) -> bool:
    match node:
        case ast.Constant():
            return True
        case ast.Name(name):
            return name in known
        case ast.Call(func=ast.Name(name)):
            if name not in _PURE or node.keywords:
                return False
        case ast.Call(func=ast.Attribute(value=value)):
            if not _is_constant(value, known):
                return False
        case (
            ast.JoinedStr()
            | ast.FormattedValue()
            | ast.BinOp()
            | ast.UnaryOp()
            | ast.Compare()
            | ast.BoolOp()
            | ast.IfExp()
            | ast.Tuple()
            | ast.List()
            | ast.Set()
            | ast.Dict()
            | ast.Starred()
            | ast.Subscript()
        ):
            pass
        case _:
            return False
    parts = (
        part
        for part in ast.iter_child_nodes(node)
        if isinstance(part, ast.expr) and part is not getattr(node, "func", None)
    )
    return all(_is_constant(part, known) for part in parts)


@pytest.mark.parametrize(
    ("program", "lines"),
    [
        ("print('idle')", [1]),
        ("drink = 'oolong'\nprint('served:', drink)", [2]),
        ("print(str(5), f'{5} idle', 2 + 3)", [1]),
        ("if True:\n    print('idle')", [2]),
        ("async def show():\n    print('idle')\nasyncio.run(show())", [2]),
        ("for line in ('a', 'b'):\n    print(line)", [2]),
        ("print('idle:', idle)", []),
        ("idle = 1\nidle += pool.size()\nprint(idle)", []),
        ("try:\n    ask()\nexcept OSError:\n    print('refused')", []),
        ("if pool.size():\n    print('some')", []),
        ("def heard(*_):\n    print('checkout')", []),
    ],
)
def test_a_constant_is_told_from_a_finding(program: str, lines: list[int]) -> None:
    assert list(constant_prints(ast.parse(program))) == lines
