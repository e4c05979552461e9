"""What a page includes: programs and records of `snippets/`, pictures of its language."""

from pathlib import Path

from tools.paths import SNIPPETS
from tools.site.pages import INCLUDE


def find_included(name: str, docs: Path) -> Path:
    """Where an included file belongs: a picture in `docs`, programs and records in `snippets`."""
    return (docs if name.endswith(".svg") else SNIPPETS) / name


def resolve_includes(text: str, docs: Path) -> str:
    """A Markdown text with the files it includes in place."""
    return INCLUDE.sub(lambda include: find_included(include[2], docs).read_text("utf-8"), text)
