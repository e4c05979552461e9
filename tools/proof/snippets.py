"""What a snippet is: a file below `snippets/`, its name, and the lines it says it prints."""

import ast
import difflib
import hashlib
import re
from itertools import takewhile
from pathlib import Path

from tools.paths import READER_SCRIPTS, ROOT, SNIPPETS

OUTPUT = re.compile(r"^ *#> ?")
"""What stands before a printed line."""
SETTINGS = "pyproject.toml"
CACHES = {"__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
"""What a reader's tools write beside the files of a project."""


def list_snippets() -> list[Path]:
    """All snippet files, in the order of their names; of a pytest project its `test_*.py`."""
    return sorted(file for file in _list_python_files() if find_lead(file) == file)


def list_parts() -> list[Path]:
    """Python files that only run with the `test_*.py` beside them, such as `conftest.py`."""
    return sorted(file for file in _list_python_files() if find_lead(file) != file)


def _list_python_files() -> set[Path]:
    return set(SNIPPETS.rglob("*.py")) - set(READER_SCRIPTS)


def is_project(snippet: Path) -> bool:
    """Whether a snippet is run by pytest, with the files beside it."""
    return snippet.name.startswith("test_")


def find_folder(file: Path) -> Path | None:
    """The folder of a pytest project; none for a program.

    It holds `pyproject.toml`, or if there is none, a `test_*.py` beside the file.
    """
    above = takewhile(lambda folder: folder not in (SNIPPETS, ROOT), file.parents)
    if found := next((folder for folder in above if (folder / SETTINGS).is_file()), None):
        return found
    return file.parent if any(file.parent.glob("test_*.py")) else None


def find_lead(file: Path) -> Path:
    """The file whose run proves this one: the first `test_*.py` of its project, else itself."""
    folder = find_folder(file)
    return min(folder.rglob("test_*.py"), default=file) if folder else file


def find_pooler(snippet: Path) -> Path | None:
    """The settings of the PgBouncer that a snippet needs: its own, `locks.ini`, or its page's."""
    own, of_page = snippet.with_suffix(".ini"), snippet.parent / "pgbouncer.ini"
    return next(filter(Path.is_file, (own, of_page)), None)


def list_files(snippet: Path) -> list[Path]:
    """What a run depends on: a program and PgBouncer's settings, or all of a pytest project."""
    if not (folder := find_folder(snippet)):
        return list(filter(None, (snippet, find_pooler(snippet))))
    files = (file for file in folder.rglob("*") if file.is_file())
    return sorted(file for file in files if not CACHES & set(file.parts))


def snippet_name(snippet: Path) -> str:
    """`pool/size/default.py`: how pages include a snippet and the record knows it."""
    return snippet.relative_to(SNIPPETS).as_posix()


def find_home(snippet: Path) -> str:
    """`pool/size`: the page of a snippet; a pytest project has a folder of its own below it."""
    folder = find_folder(snippet) or snippet
    return folder.parent.relative_to(SNIPPETS).as_posix()


def location(snippet: Path, line: int = 0) -> str:
    """Where a reader of an error looks, `snippets/pool/size/default.py:14`."""
    path = snippet.relative_to(ROOT) if snippet.is_relative_to(ROOT) else snippet
    return f"{path}:{line}" if line else f"{path}"


def find_encoding_fault(path: Path) -> str:
    """Where a file is not UTF-8, as one sentence; empty if it is."""
    try:
        path.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        return f"{location(path, line)}: holds a byte that is not UTF-8; save the file as UTF-8"
    return ""


def read_claims(snippet: Path) -> tuple[str, str] | None:
    """The halves of a docstring, English and Chinese; none where the file is no Python."""
    try:
        docstring = ast.get_docstring(ast.parse(snippet.read_bytes())) or ""
    except (OSError, SyntaxError, ValueError):
        return None
    english, _, chinese = docstring.partition("\n\n")
    return english, chinese


def suggest(name: str) -> str:
    """`; did you mean snippets/pool/size/default.py?`, for a name that no snippet has."""
    near = difflib.get_close_matches(name, map(location, list_snippets()), n=1, cutoff=0.0)
    return f"; did you mean {near[0]}?" if near else ""


def digest(snippet: Path) -> str:
    """SHA-256 of a snippet's bytes, those of all files of a project, in hexadecimal."""
    return hashlib.sha256(b"".join(file.read_bytes() for file in list_files(snippet))).hexdigest()


def expected_lines(snippet: Path, *, uvloop: bool = False) -> list[str]:
    """What a snippet prints by its file, or under uvloop by the file beside it if there is one."""
    other = snippet.with_suffix(".uvloop.txt")
    if uvloop and other.is_file():
        return other.read_text("utf-8").splitlines()
    return printed_lines(snippet.read_text("utf-8"))


def printed_lines(text: str) -> list[str]:
    """The lines behind `#>` in the text of a snippet."""
    return [OUTPUT.sub("", line) for line in text.splitlines() if OUTPUT.match(line)]
