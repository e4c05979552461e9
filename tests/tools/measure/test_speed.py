"""`make speed` says why it cannot measure, and at once."""

from pathlib import Path

import click
import pytest

from tools.measure import speed


def write_recipe(clone: Path, recipe: str) -> Path:
    clone.mkdir()
    (clone / "Makefile").write_text(f"serve:\n\t@{recipe}\n", "utf-8")
    return clone


def test_a_server_that_ends_is_a_sentence_with_its_last_line(tmp_path: Path) -> None:
    clone = write_recipe(tmp_path / "clone", "echo one; echo PORT is taken >&2; exit 3")
    said = r"^`make serve` ended with exit code 2: PORT is taken; mend that$"
    with speed.serving(clone) as wait_for, pytest.raises(click.ClickException, match=said):
        wait_for("", "</html>")


def test_a_page_that_never_comes_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clone = write_recipe(tmp_path / "clone", "exec sleep 60")
    monkeypatch.setattr(speed, "DEADLINE", 0.2)
    said = r"shows no 'tea' on /en/ after 0 s; it said last: nothing; mend that$"
    with speed.serving(clone) as wait_for, pytest.raises(click.ClickException, match=said):
        wait_for("en/", "tea")
