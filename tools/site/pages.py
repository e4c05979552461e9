"""The Markdown pages, read as sections: what the rules about both languages look at."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tools.paths import DOCS, ROOT

INCLUDE = re.compile(r'^([ \t]*)--8<-- "([^"]+)"[ \t]*$', re.MULTILINE)
"""A line that includes a file: its indentation, the name of the file."""

_HEADING = re.compile(r"^(#{1,6}) +(.*?)(?: *\{ *#([\w-]+) *\})?$")
_FENCE = re.compile(r"^ *(`{3,}|~{3,})(.*)$")
_LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`[^`]+`")


@dataclass
class Section:
    """A heading with what stands under it, up to the next heading."""

    id: str
    line: int
    level: int
    title: str
    lines: list[tuple[int, str]] = field(default_factory=list)
    """Lines below the heading with their numbers."""

    @property
    def text(self) -> str:
        """The section as it stands in the file, blank lines at its end left out."""
        body = "\n".join(line for _, line in self.lines)
        return f"{self.title}\n{body}".rstrip() + "\n"


@dataclass(frozen=True)
class Fence:
    """A fenced block: the info string after the backticks, and its lines."""

    line: int
    info: str
    lines: tuple[str, ...]
    is_closed: bool = True
    """Whether a line with the same marks ends it."""

    @property
    def language(self) -> str:
        """`python` of ```` ```python title="x" ````, lower case; empty if there is none."""
        return self.info.split(maxsplit=1)[0].lower() if self.info.strip() else ""


@dataclass(frozen=True)
class Page:
    """One Markdown file."""

    path: Path

    @property
    def file(self) -> str:
        """`docs/en/pool/size.md`."""
        return self.path.relative_to(ROOT).as_posix()

    @property
    def name(self) -> str:
        """`pool/size.md`: the same in both languages."""
        return self.path.relative_to(DOCS / self.language).as_posix()

    @property
    def language(self) -> str:
        """`zh` or `en`."""
        return self.path.relative_to(DOCS).parts[0]

    @property
    def lines(self) -> list[str]:
        """The file's lines."""
        return self.text.splitlines()

    @property
    def text(self) -> str:
        """The file's text; a byte that is not UTF-8 is left for `find_encoding_fault` to name."""
        return self.path.read_bytes().decode("utf-8", "replace").replace("\r\n", "\n")

    def sections(self) -> list[Section]:
        """The page cut at its headings; front matter belongs to none."""
        found: list[Section] = []
        fenced = set(self._fenced_lines())
        for number, line in self._body():
            heading = None if number in fenced else _HEADING.match(line)
            if heading:
                marks, title, name = heading.groups()
                found.append(Section(name or "", number, len(marks), title))
            elif found:
                found[-1].lines.append((number, line))
        return found

    def fences(self) -> list[Fence]:
        """Every fenced block of the page."""
        return [fence for fence in self._fences() if fence.is_closed]

    def find_open_fence(self) -> int:
        """The line of a fence that opens and that nothing closes; 0 if there is none."""
        return next((fence.line for fence in self._fences() if not fence.is_closed), 0)

    def prose(self) -> Iterator[tuple[int, str]]:
        """The lines outside fences and front matter, with their numbers."""
        fenced = set(self._fenced_lines())
        return ((number, line) for number, line in self._body() if number not in fenced)

    def links(self) -> Iterator[tuple[int, str]]:
        """The targets of inline links, with the numbers of their lines."""
        for number, line in self.prose():
            for target in _LINK.findall(_CODE.sub("", line)):
                yield number, target

    def _body(self) -> list[tuple[int, str]]:
        lines = list(enumerate(self.lines, 1))
        if lines and lines[0][1] == "---":
            end = next((n for n, line in lines[1:] if line == "---"), 0)
            return lines[end:]
        return lines

    def _fences(self) -> Iterator[Fence]:
        mark, start, info, inside = "", 0, "", list[str]()
        for number, line in self._body():
            fence = _FENCE.match(line)
            if not mark and fence:
                mark, start, info, inside = fence[1], number, fence[2].strip(), []
            elif mark and fence and fence[1].startswith(mark) and not fence[2].strip():
                yield Fence(start, info, tuple(inside))
                mark = ""
            elif mark:
                inside.append(line)
        if mark:
            yield Fence(start, info, tuple(inside), is_closed=False)

    def _fenced_lines(self) -> Iterator[int]:
        for fence in self.fences():
            yield from range(fence.line, fence.line + len(fence.lines) + 2)


def pages(language: str) -> list[Page]:
    """The pages of a language, in the order of their names."""
    return [Page(path) for path in sorted((DOCS / language).rglob("*.md"))]


def pairs() -> list[tuple[Page, Page]]:
    """The Chinese and the English page of each name that both languages have."""
    english = {page.name: page for page in pages("en")}
    return [(page, english[page.name]) for page in pages("zh") if page.name in english]


def list_nav(nav: list[Any]) -> Iterator[tuple[str, str]]:
    """File and title of each page of a `nav`, or of a part of it, in their order.

    Args:
        nav: As MkDocs has it in its configuration: `[{"Pool": [{"Size": "pool/size.md"}]}]`. What
            is neither is passed over: MkDocs says what is wrong with it.
    """
    for entry in nav:
        for title, target in entry.items() if isinstance(entry, dict) else ():
            if isinstance(target, str):
                yield target, str(title)
            elif isinstance(target, list):
                yield from list_nav(target)
