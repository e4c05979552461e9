"""The repository's own Python is clean, and so is every snippet."""

import subprocess
import sys

import pytest

from tests.programs import list_programs
from tests.report import report
from tools.paths import PROGRAMS, ROOT
from tools.proof.prove import format_snippets
from tools.proof.snippets import location


def findings(*command: str) -> list[str]:
    """What a linter says, a line each; empty if it ended well."""
    ran = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, capture_output=True, encoding="utf-8"
    )
    return (ran.stdout + ran.stderr).splitlines() if ran.returncode else []


def test_ruff_finds_nothing() -> None:
    options = ("--no-cache", "--quiet", "--output-format=concise")
    report(findings("ruff", "check", *options, ".", "snippets"))


def test_ruff_would_format_nothing() -> None:
    report(findings("ruff", "format", "--check", "--quiet", "tools", "tests", *map(str, PROGRAMS)))


@pytest.mark.timeout(900)  # on a fresh clone mypy reads every library, beside all other tests
def test_every_type_is_right() -> None:
    report(findings("mypy", "--no-error-summary", "--hide-error-context"))


def test_every_snippet_is_formatted() -> None:
    snippets = [snippet for snippet, _ in list_programs()]
    texts = [snippet.read_text("utf-8") for snippet in snippets]
    report(
        f"{location(snippet)}: is not formatted as ruff would; `make update` does it"
        for snippet, text, right in zip(snippets, texts, format_snippets(texts), strict=True)
        if text != right
    )
