"""Which files cannot be read as what their names say: `test_readable` names them, once for all."""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from xml.etree import ElementTree

import yaml  # type: ignore[import-untyped]
from mkdocs.utils.yaml import get_yaml_loader
from ruamel.yaml import YAML

from tools.paths import ROOT
from tools.proof.snippets import find_encoding_fault

NO_TEXT = {".png"}


def list_files() -> list[Path]:
    """The files of the repository, those that are not committed yet included."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, encoding="utf-8", check=True,
    )  # fmt: skip
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return sorted(path for path in paths if path.is_file() and path.suffix not in NO_TEXT)


def _parse_python(text: str) -> None:
    if "\0" in text:  # Python says no line
        line = text.count("\n", 0, text.find("\0")) + 1
        raise SyntaxError("holds a null byte", ("", line, 0, ""))
    ast.parse(text)


def _parse_yaml(text: str) -> None:
    yaml.load(text, Loader=get_yaml_loader())
    YAML().load(text)  # minds a key that is there twice, as GitHub and Docker do


def _parse_svg(text: str) -> None:
    ElementTree.fromstring(text.replace("<br>", "<br/>"))


PARSERS: dict[str, tuple[str, Callable[[str], object]]] = {
    ".py": ("Python", _parse_python),
    ".toml": ("TOML", tomllib.loads),
    ".json": ("JSON", json.loads),
    ".yml": ("YAML", _parse_yaml),
    ".yaml": ("YAML", _parse_yaml),
    ".svg": ("XML", _parse_svg),
}


def find_fault(name: str, data: bytes) -> str:
    """`:14: is no TOML (...); mend it near there`, of a file's bytes; empty if they are right."""
    kind, parse = PARSERS.get(Path(name).suffix, ("text", str))
    try:
        parse(data.decode("utf-8"))
    except Exception as error:
        said = str(getattr(error, "problem", None) or error)  # YAML's has the context first
        what = " ".join(said.split("\n")[0].split())
        return f":{_line_of(error)}: is no {kind} ({what[:90]}); mend it near that line"
    return ""


def _line_of(error: Exception) -> int:
    """The line that a parser complains of; 1 if it names none."""
    if mark := getattr(error, "problem_mark", None):
        return int(mark.line) + 1
    if position := getattr(error, "position", None):
        return int(position[0])
    named = re.search(r"line (\d+)", str(error))
    return int(getattr(error, "lineno", 0) or (named[1] if named else 1))


@cache
def list_unreadable() -> list[str]:
    """The files that cannot be read, a sentence each."""
    return list(_find_unreadable())


def _find_unreadable() -> Iterator[str]:
    for path in list_files():
        if wrong := find_encoding_fault(path):
            yield wrong
        elif wrong := find_fault(path.name, path.read_bytes()):
            yield f"{path.relative_to(ROOT)}{wrong}"
