"""Tests of a reader, run by his pytest: in a folder of theirs, with the plugins that he has."""

import subprocess
import sys
from pathlib import Path

from tools.proof.projects import make_environment


def run_pytest(
    folder: Path, lead: Path, url: str, *options: str
) -> "subprocess.CompletedProcess[str]":
    """Run the tests of a folder.

    Args:
        folder: Where pytest starts.
        lead: One of its tests; the settings beside it ask for plugins.
        url: What they find in `DATABASE_URL`.
        options: Of pytest.

    Returns:
        The exit code, and what pytest said, in lines that are not cut.
    """
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--color=no", *options],
        cwd=folder, env={**make_environment(lead, url), "COLUMNS": "2000"},
        capture_output=True, encoding="utf-8",
    )  # fmt: skip


def run_source(
    source: str, folder: Path, url: str, *options: str, settings: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run one test file, `test_it.py`, which is written for that.

    Args:
        source: What is in it.
        folder: Where it goes; other files may be there.
        url: What it finds in `DATABASE_URL`.
        options: Of pytest.
        settings: What is in `pyproject.toml`; empty leaves that as it is.
    """
    if settings:
        (folder / "pyproject.toml").write_text(settings, "utf-8")
    (test := folder / "test_it.py").write_text(source, "utf-8")
    return run_pytest(folder, test, url, *options)
