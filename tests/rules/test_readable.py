"""Every file can be read as what its name says; the other rules go on without one that cannot."""

import ast
import json
import re
import subprocess
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml  # type: ignore[import-untyped]
from mkdocs.utils.yaml import get_yaml_loader

from tests.report import report
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
        what = " ".join(str(error).split("\n")[0].split())
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


def test_every_file_can_be_read_as_what_its_name_says() -> None:
    def findings() -> Iterator[str]:
        for path in list_files():
            if wrong := find_encoding_fault(path):
                yield wrong
            elif wrong := find_fault(path.name, path.read_bytes()):
                yield f"{path.relative_to(ROOT)}{wrong}"

    report(findings())


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.py", "x = 1\ndef (:\n", 2),
        ("a.py", "x = 1\n# \0\n", 2),
        ("a.toml", "x = 1\n[en\n", 2),
        ("a.json", '{"x": 1,\n"y" 2}', 2),
        ("a.yml", "x: 1\ny: [\n", 3),
        ("a.svg", "<svg>\n<g></svg>", 2),
        ("a.md", "x", 0),
    ],
)
def test_a_fault_is_named_with_its_line(name: str, text: str, line: int) -> None:
    fault = find_fault(name, text.encode())
    assert fault.startswith(f":{line}: is no ") if line else not fault
