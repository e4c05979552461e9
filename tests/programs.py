"""The snippets as programs: what the rules about code look at."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tools.proof.snippets import list_parts, list_snippets


@cache
def parse(snippet: Path) -> ast.Module | None:
    """The program; nothing where its syntax is wrong, which one rule reports for all."""
    try:
        return ast.parse(snippet.read_text("utf-8"))
    except (SyntaxError, ValueError):  # ValueError: a null byte, a byte that is not UTF-8
        return None


def read(snippet: Path) -> str:
    """The text; a byte that is not UTF-8 is another rule's finding."""
    return snippet.read_text("utf-8", errors="replace")


def list_programs() -> Iterator[tuple[Path, ast.Module]]:
    """The snippets that can be parsed, and the files of projects."""
    for snippet in (*list_snippets(), *list_parts()):
        if tree := parse(snippet):
            yield snippet, tree


def calls(tree: ast.AST) -> Iterator[tuple[str, ast.Call]]:
    """Each call with its dotted name, `asyncio.sleep`; the last attribute where it has no name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def prints(tree: ast.Module) -> Iterator[ast.Call]:
    """The calls of print()."""
    for name, call in calls(tree):
        if name == "print":
            yield call
