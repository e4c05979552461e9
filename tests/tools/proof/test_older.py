"""What `make older` writes down. The environments it makes need the network: not here."""

import sys
from pathlib import Path

import pytest

from tools.paths import OUTAGES_TABLE, READER_SCRIPTS, SETTINGS_TABLE, SNIPPETS
from tools.postgres import Server
from tools.proof import older


@pytest.fixture
def snippet(tmp_path: Path) -> Path:
    file = tmp_path / "snippet.py"
    file.write_text("print('oolong')\nprint('pu-erh')\n", "utf-8")
    return file


def test_the_outcome_is_what_was_printed(snippet: Path, server: Server) -> None:
    assert older.read_outcome(Path(sys.executable), snippet, server) == "oolong\npu-erh"


def test_the_outcome_of_a_failure_is_the_last_line_of_its_traceback(
    snippet: Path, server: Server
) -> None:
    snippet.write_text("print('oolong')\nraise TypeError('no such argument')\n", "utf-8")
    said = older.read_outcome(Path(sys.executable), snippet, server)
    assert said == "TypeError: no such argument"


def test_releases_with_the_same_outcome_stand_together(snippet: Path) -> None:
    said = {"0.105.0": "late", "0.106.0": "early", "0.118.0": "late"}
    first, second, *outcomes = older.format_record(snippet, said, {"Python": "3.11"}).split("\n")
    assert first.startswith("snippet.py ")
    assert second == "Python 3.11"
    assert outcomes == ["", "FastAPI 0.105.0, 0.118.0", "late", "", "FastAPI 0.106.0", "early", ""]


def test_every_recorded_snippet_exists_and_has_its_record() -> None:
    records = [file for file in SNIPPETS.rglob("*.txt") if ".uvloop" not in file.suffixes]
    records.remove(SETTINGS_TABLE)
    records.remove(OUTAGES_TABLE)
    recorded = {file.with_suffix(".py") for file in records} - set(READER_SCRIPTS)
    assert recorded == {SNIPPETS / name for name in older.RUNS}
    assert all(file.is_file() for file in recorded)
