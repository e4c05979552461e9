"""What a page includes: programs and records of `snippets/`, pictures of its language."""

from collections.abc import Iterator
from pathlib import Path

from tools.paths import SNIPPETS
from tools.site.pages import INCLUDE


def find_included(name: str, docs: Path) -> Path:
    """Where an included file belongs: a picture in `docs`, programs and records in `snippets`."""
    return (docs if name.endswith(".svg") else SNIPPETS) / name


def list_missing_includes(text: str, docs: Path) -> Iterator[tuple[int, Path]]:
    """Line number and file of each include in a Markdown text that has no file."""
    for include in INCLUDE.finditer(text):
        if not (file := find_included(include[2], docs)).is_file():
            yield text.count("\n", 0, include.start()) + 1, file


def resolve_includes(text: str, docs: Path) -> str:
    """A Markdown text with the files it includes in place."""
    return INCLUDE.sub(lambda include: find_included(include[2], docs).read_text("utf-8"), text)
