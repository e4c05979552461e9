"""What a live preview need not make again: a language, or a page, that reads as before."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

from tools import blocks
from tools.rooms import RECORD, SNIPPETS

_RENDERED = ("content", "toc", "_title_from_render", "present_anchor_ids", "links_to_anchors")
"""What `Page.render` sets."""


def written(root: Path) -> dict[str, dict[Path, int]]:
    """When each file was written last: those of a language, and those of both."""
    folders = {
        "zh": [root / "docs" / "zh"],
        "en": [root / "docs" / "en", root / "mkdocs.en.yml"],
        "both": [root / "mkdocs.yml", root / "theme", SNIPPETS, RECORD],
    }
    return {
        part: {
            file: file.stat().st_mtime_ns
            for path in paths
            for file in ([path] if path.is_file() else path.rglob("*.*"))
        }
        for part, paths in folders.items()
    }


class Rendered:
    """The pages as Markdown rendered them in the build before."""

    def __init__(self) -> None:
        self._read: dict[str, object] = {}
        self._made: dict[str, tuple[object, dict[str, Any]]] = {}

    def reuse(self, page: Page, markdown: str, docs: Path, files: Files) -> None:
        """Spare a page its rendering if it, its includes and what it may link to are the same."""
        place = str(page.file.abs_src_path)
        self._read[place] = (
            object()  # mkdocstrings reads more than the page says
            if "\n::: " in markdown
            else (blocks.expanded(markdown, docs), tuple(files.src_uris))
        )
        read, made = self._made.get(place, (None, {}))
        if read == self._read[place]:
            page.render = lambda *_: vars(page).update(made)  # type: ignore[method-assign]

    def keep(self, page: Page) -> None:
        """Remember what a page was rendered to."""
        place = str(page.file.abs_src_path)
        made = {name: vars(page)[name] for name in _RENDERED if name in vars(page)}
        self._made[place] = self._read[place], made
