"""Every file can be read as what its name says; the other rules go on without one that cannot."""

import pytest

from tests.report import report
from tests.rules.unreadable import find_fault, list_unreadable


def test_every_file_can_be_read_as_what_its_name_says() -> None:
    report(list_unreadable())


@pytest.mark.parametrize(
    ("name", "text", "line"),
    [
        ("a.py", "x = 1\ndef (:\n", 2),
        ("a.py", "x = 1\n# \0\n", 2),
        ("a.toml", "x = 1\n[en\n", 2),
        ("a.json", '{"x": 1,\n"y" 2}', 2),
        ("a.yml", "x: 1\ny: [\n", 3),
        ("a.yml", "x: 1\nx: 2\n", 2),
        ("a.svg", "<svg>\n<g></svg>", 2),
        ("a.md", "x", 0),
    ],
)
def test_a_fault_is_named_with_its_line(name: str, text: str, line: int) -> None:
    fault = find_fault(name, text.encode())
    assert fault.startswith(f":{line}: is no ") if line else not fault
