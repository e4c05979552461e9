"""Pages as they were rendered before: a live preview renders only what changed."""

from pathlib import Path
from typing import Any

from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

from tools.site.includes import resolve_includes

_RENDERED = ("content", "toc", "_title_from_render", "present_anchor_ids", "links_to_anchors")
"""What `Page.render` sets."""


class Rendered:
    """The pages as Markdown rendered them in the build before."""

    def __init__(self) -> None:
        self._read: dict[str, object] = {}
        self._made: dict[str, tuple[object, dict[str, Any]]] = {}

    def reuse(self, page: Page, markdown: str, docs: Path, files: Files) -> None:
        """Spare a page its rendering if it, its includes and what it may link to are the same.

        Args:
            page: The page that MkDocs is about to render.
            markdown: Its text.
            docs: The folder of its language.
            files: All files of the language, to which it may link.
        """
        place = str(page.file.abs_src_path)
        self._read[place] = (
            object()  # mkdocstrings reads more than the page says
            if "\n::: " in markdown
            else (resolve_includes(markdown, docs), tuple(files.src_uris))
        )
        read, made = self._made.get(place, (None, {}))
        if read == self._read[place]:
            page.render = lambda *_: vars(page).update(made)  # type: ignore[method-assign]

    def keep(self, page: Page) -> None:
        """Remember what a page was rendered to."""
        place = str(page.file.abs_src_path)
        made = {name: vars(page)[name] for name in _RENDERED if name in vars(page)}
        self._made[place] = self._read[place], made

    def forget(self, place: str) -> None:
        """Render a page again next time: a warning is given only while it is rendered."""
        self._made.pop(place, None)
