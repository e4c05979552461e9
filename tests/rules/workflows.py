"""Workflows and other files in YAML, read with the numbers of their lines."""

from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from tools.paths import ROOT

TESTS = ROOT / ".github" / "workflows" / "test.yml"


@cache
def content(file: Path) -> Any:
    """A YAML file; its mappings and lists know their lines."""
    return YAML().load(file)


def _is_yaml(file: Path) -> bool:
    """Whether a file can be read; `test_readable` names those that cannot."""
    try:
        return content(file) is not None
    except YAMLError:
        return False


WORKFLOWS = list(filter(_is_yaml, sorted((ROOT / ".github" / "workflows").iterdir())))


def spot(file: Path, *steps: str | int) -> str:
    """Where in a file something stands, `docker-compose.yml:14`."""
    node, line = content(file), 0
    for step in steps:
        line = node.lc.data[step][0]
        node = node[step]
    return f"{file.relative_to(ROOT)}:{line + 1}"
