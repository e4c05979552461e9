"""Which lines of a listing a page shows at first, and what each fold says that it holds."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby

from tools.proof.snippets import OUTPUT

LINES, MORE = 14, 6
"""How many lines a listing shows if the choice is ours, and how many more for the first function
that works on the database; what prints is shown, however long."""
PRINTED, FIRST = 10, 4
"""More printed lines than these in one place are folded, but for the first."""

_MAKES = re.compile(
    r"\b(CREATE|DROP) (UNLOGGED |TEMP )?(TABLE|ROLE|DATABASE|SCHEMA)\b"
    r"|metadata\.(create|drop)_all|uvicorn\.Server|socket\.create_server|\.serve\(|getsockname"
)
_WATCHES = re.compile(r"\bwatcher\b|pg_stat_activity|pg_backend_pid")
_RECORDS = re.compile(r"lambda \*_")
_CLEANS = re.compile(
    r"\b(dispose|close|shutdown|terminate|cancel|DROP|aclose|remove|should_exit|serving)\b"
)
_WORK = re.compile(r"\basync with\b|\.(execute|scalars?|commit|connect|add)\(")
_ENGINE = re.compile(r"create_async_engine|async_sessionmaker")

_SETS, _WORKS, _HELPS, _NEVER = range(4)
"""Ranks: engines with arguments, functions that work on the database, other definitions."""

_FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
_DEFINITION = _FUNCTION | ast.ClassDef


@dataclass(frozen=True)
class Part:
    """A statement, or a group of lines, with what a fold calls it."""

    start: int
    """Its first line, from 1, with decorators and the comment above."""
    end: int
    """Its last line, with what it printed."""
    name: str
    """`engine`, `guest()`, or a key of `tools.words.FOLD`: `imports`, `cleanup`."""

    @property
    def length(self) -> int:
        """Number of lines."""
        return self.end - self.start + 1


@dataclass(frozen=True)
class Fold:
    """Lines that a page does not show before they are asked for."""

    start: int
    end: int
    names: tuple[str, ...]
    """What is in it, as `Part.name`, in order."""


def find_folds(text: str, shown: tuple[str, ...] = ()) -> list[Fold]:
    """What to fold of a program.

    Args:
        text: The program; one that is no Python has no folds.
        shown: Names of the definitions to show, where the author chose; else the program's
            structure decides.
    """
    try:
        program = _Program(text)
    except (SyntaxError, ValueError):
        return []
    hidden = list(program.hide_outside(shown))
    names = {line: part.name for part in hidden for line in range(part.start, part.end + 1)}
    return list(_join(program.lines, names))


def list_definitions(text: str) -> set[str]:
    """Names of functions, classes and variables that a program defines at its top level."""
    return {name for node in ast.parse(text).body for name in _names(node)}


def _join(lines: list[str], names: dict[int, str]) -> Iterator[Fold]:
    """Runs of hidden lines with the blank ones at their sides; none that saves no line."""
    numbers = range(1, len(lines) + 1)
    filled = [number for number in numbers if lines[number - 1].strip()]
    for is_hidden, run in groupby(filled, key=names.__contains__):
        if not is_hidden:
            continue
        inside = list(run)
        start, end = inside[0], inside[-1]
        while start > 1 and not lines[start - 2].strip():
            start -= 1
        while end < len(lines) and not lines[end].strip():
            end += 1
        if end > start:
            yield Fold(start, end, tuple(dict.fromkeys(names[line] for line in inside)))


class _Program:
    """A program as its syntax tree, and its lines."""

    def __init__(self, text: str) -> None:
        self.lines = text.splitlines()
        self.tree = ast.parse(text)

    def hide_outside(self, shown: tuple[str, ...]) -> Iterator[Part]:
        """The parts that are not shown; of those that are, set-up and clean-up."""
        tests = self._choose_tests()
        chosen = self._named(shown) if shown else tests or self._choose()
        for node in self.tree.body:
            if node not in chosen:
                yield self._part(node, _describe(node))
            elif isinstance(node, _FUNCTION) and not tests:
                yield from self._hide_inside(node)
        yield from self._hide_printed()

    def _named(self, shown: tuple[str, ...]) -> set[ast.stmt]:
        return {
            node
            for node in self.tree.body
            if self._prints(node) or any(name in shown for name in _names(node))
        }

    def _choose_tests(self) -> set[ast.stmt]:
        """All but the imports of a file that pytest runs: readers copy it for its set-up."""
        if not any(name.startswith("test_") for name in self._functions()) and not any(
            "pytest" in ast.unparse(node) for node in self.tree.body if _describe(node) == "imports"
        ):
            return set()
        aside = ("imports", "docstring")
        return {node for node in self.tree.body if _describe(node) not in aside}

    def _functions(self) -> Iterator[str]:
        return (node.name for node in self.tree.body if isinstance(node, _FUNCTION))

    def _choose(self) -> set[ast.stmt]:
        """What prints and `main`; while there is room, what sets and uses the pool, the rest."""
        chosen = {
            node
            for node in self.tree.body
            if self._prints(node) or "main" in _names(node) or isinstance(node, ast.With)
        }
        room = LINES - sum(map(self._visible_length, chosen))
        rest = [node for node in self.tree.body if node not in chosen]
        ranked = [(self._rank(node), self._visible_length(node), node) for node in rest]
        spare = MORE
        for rank, length, node in sorted(ranked, key=lambda each: each[:2]):
            more = spare if rank <= _WORKS else 0
            if rank < _NEVER and length + 2 <= room + more:
                chosen.add(node)
                room -= length + 2
                spare = 0 if rank == _WORKS else spare
        return chosen

    def _rank(self, node: ast.stmt) -> int:
        """How soon a statement is shown, the lower the sooner."""
        if isinstance(node, ast.Assign | ast.AnnAssign):
            return _SETS if _sets_pool(node) else _NEVER
        source = self._source(node)
        if not isinstance(node, _DEFINITION) or _WATCHES.search(source) or _RECORDS.search(source):
            return _NEVER
        if isinstance(node, ast.ClassDef):
            return _NEVER if isinstance(node.body[0], ast.Pass) else _HELPS
        return _WORKS if _WORK.search(source) else _HELPS

    def _hide_inside(self, node: _FUNCTION) -> Iterator[Part]:
        """Set-up at the beginning of a function, waiting for the server, clean-up at its end."""
        body = node.body
        last = max((i for i, each in enumerate(body) if self._prints(each)), default=len(body))
        for place, each in enumerate(body):
            source = self._source(each)
            if self._prints(each):
                yield from self._hide_in_block(each)
            elif place > last and _CLEANS.search(source):
                yield self._part(each, "cleanup")
            elif name := _describe_aside(each, source):
                yield self._part(each, name)

    def _hide_in_block(self, node: ast.stmt) -> Iterator[Part]:
        """What a `finally` does, and set-up within a block."""
        for each in getattr(node, "finalbody", []):
            if not self._prints(each):
                yield self._part(each, "cleanup")
        for field in ("body", "orelse"):
            for each in getattr(node, field, []):
                if not isinstance(each, ast.stmt):
                    continue
                if self._prints(each):
                    yield from self._hide_in_block(each)
                elif name := _describe_aside(each, self._source(each)):
                    yield self._part(each, name)

    def _hide_printed(self) -> Iterator[Part]:
        """Where one call prints much, all but the first lines."""
        number = 1
        for prints, run in groupby(self.lines, key=lambda line: bool(OUTPUT.match(line))):
            length = len(list(run))
            if prints and length > PRINTED:
                yield Part(number + FIRST, number + length - 1, "printed")
            number += length

    def _part(self, node: ast.stmt, name: str) -> Part:
        first = min([node.lineno, *(each.lineno for each in getattr(node, "decorator_list", []))])
        while first > 1 and re.match(r"\s*#(?!>)", self.lines[first - 2]):
            first -= 1
        last = node.end_lineno or node.lineno
        while last < len(self.lines) and OUTPUT.match(self.lines[last]):
            last += 1
        return Part(first, last, name)

    def _source(self, node: ast.stmt) -> str:
        part = self._part(node, "")
        return "\n".join(self.lines[part.start - 1 : part.end])

    def _length(self, node: ast.stmt) -> int:
        return self._part(node, "").length

    def _visible_length(self, node: ast.stmt) -> int:
        inside = self._hide_inside(node) if isinstance(node, _FUNCTION) else ()
        return self._length(node) - sum(part.length - 1 for part in inside)

    def _prints(self, node: ast.stmt) -> bool:
        return bool(re.search(r"^ *#>", self._source(node), re.MULTILINE))


def _describe_aside(node: ast.stmt, source: str) -> str:
    """What a fold calls a statement beside the point of its function; empty if it is the point."""
    if _MAKES.search(source):
        return "setup"
    if isinstance(node, _FUNCTION) and "listens_for" in source and "nonlocal" in source:
        return f"{node.name}()"
    return "wait" if _waits(node) else ""


def _waits(node: ast.stmt) -> bool:
    """Whether a statement only polls until the server is so far."""
    inner = node.body[0] if isinstance(node, ast.AsyncWith) else node
    return isinstance(inner, ast.While) and any(
        isinstance(each, ast.Continue | ast.Pass) for each in inner.body
    )


def _sets_pool(node: ast.Assign | ast.AnnAssign) -> bool:
    """Whether a statement makes an engine or a factory of sessions with settings that matter."""
    call = node.value
    if not isinstance(call, ast.Call) or not _ENGINE.fullmatch(ast.unparse(call.func)):
        return False
    settings = {each.arg: ast.unparse(each.value) for each in call.keywords}
    name = settings.pop("connect_args", "NAME")
    if settings == {"poolclass": "NullPool"} and {"watcher", "elsewhere"} & {*_names(node)}:
        return False
    return bool(settings) or not (name.isupper() or "application_name" in name)


def _names(node: ast.stmt) -> Iterator[str]:
    if isinstance(node, _DEFINITION):
        yield node.name
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    for target in targets:
        for each in ast.walk(target) if target else ():
            if isinstance(each, ast.Name):
                yield each.id


def _describe(node: ast.stmt) -> str:
    """What a fold calls a statement."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        return "imports"
    if isinstance(node, _FUNCTION):
        return f"{node.name}()"
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return "docstring"
    source = ast.unparse(node)
    if "asyncio.run(" in source:
        return "asyncio.run()"
    if not isinstance(node, ast.Assign | ast.AnnAssign):
        return getattr(node, "name", "setup")
    if "watcher" in _names(node):
        return "watcher"
    return "engine" if _ENGINE.search(source) else "variables"
