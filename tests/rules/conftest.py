"""A file that cannot be read is one finding, of `test_readable`, and no stack trace elsewhere."""

import json
import tomllib
from collections.abc import Generator
from xml.etree import ElementTree

import pytest
import yaml  # type: ignore[import-untyped]
from mkdocs.exceptions import ConfigurationError
from ruamel.yaml.error import YAMLError

from tests.rules.unreadable import list_unreadable

UNREADABLE = (
    json.JSONDecodeError,
    tomllib.TOMLDecodeError,
    yaml.YAMLError,
    YAMLError,
    ConfigurationError,  # as MkDocs says it
    ElementTree.ParseError,
    SyntaxError,
    UnicodeDecodeError,
)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Skip a rule that cannot read what it is about, if that is a file of which another speaks."""
    try:
        yield
    except UNREADABLE:
        if item.path.name == "test_readable.py" or not (files := list_unreadable()):
            raise
        pytest.skip(f"cannot read a file, which test_readable.py names: {files[0]}")
