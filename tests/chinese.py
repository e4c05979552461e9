"""The Chinese that a reader meets, line by line: what the rules about Chinese look at."""

import ast
import re
from collections.abc import Iterator
from typing import NamedTuple

from tests.programs import parse
from tools.paths import DOCS, READER_SCRIPTS, ROOT, THEME
from tools.proof.snippets import list_parts, list_snippets, location
from tools.site.pages import pages

HAN = re.compile(r"[\u4e00-\u9fff]")
CODE = re.compile(r"`[^`]+`")
_TAG = re.compile(r"<[^>]*>")


class Line(NamedTuple):
    """A line that has Chinese in it, and where it stands."""

    where: str
    """`docs/zh/pool/size.md:14`."""
    text: str


def chinese() -> list[Line]:
    """All Chinese lines of pages, pictures and the claims of snippets; fences are left out."""
    found = [*_pages(), *_pictures(), *_claims()]
    return [Line(where, text) for where, text in found if HAN.search(text)]


def _pages() -> Iterator[tuple[str, str]]:
    for page in pages("zh"):
        for number, line in enumerate(page.lines, 1):
            if line.startswith("description:"):
                yield f"{page.file}:{number}", line
                break
        for number, line in page.prose():
            yield f"{page.file}:{number}", line


def _pictures() -> Iterator[tuple[str, str]]:
    for picture in sorted((DOCS / "zh").rglob("*.svg")):
        text = picture.read_text("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            yield f"{picture.relative_to(ROOT).as_posix()}:{number}", _TAG.sub("\n", line)


def _claims() -> Iterator[tuple[str, str]]:
    for snippet in (*list_snippets(), *list_parts(), *READER_SCRIPTS):
        match getattr(parse(snippet), "body", ()):
            case [ast.Expr(ast.Constant(str(said))) as claim, *_]:
                for number, line in enumerate(said.splitlines(), claim.lineno):
                    yield location(snippet, number), line


def menu_and_scripts(settings: str) -> Iterator[Line]:
    """What settings, scripts and tools say; the words that readers search are their own."""
    scripts = sorted((THEME / "assets").rglob("*.js"))
    ours = [script for script in scripts if "search" not in script.parts]
    for file in (ROOT / settings, ROOT / "tools" / "words.py", *ours):
        text = file.read_text("utf-8", errors="replace")
        for number, line in enumerate(text.splitlines(), 1):
            yield Line(f"{file.relative_to(ROOT).as_posix()}:{number}", line)
