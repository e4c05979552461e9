"""Every snippet prints what stands in its file, for us and for a reader."""

from pathlib import Path

import pytest

from tests.report import report
from tools.postgres import Server
from tools.prove import name, prove, prove_as_reader, snippets

every_snippet = pytest.mark.parametrize("snippet", snippets(), ids=name)


@every_snippet
def test_prints_the_lines_that_stand_in_the_file(snippet: Path, server: Server) -> None:
    report(filter(None, [prove(snippet, server)]))


@every_snippet
def test_runs_for_a_reader_with_nothing_but_a_database_url(snippet: Path, server: Server) -> None:
    report(filter(None, [prove_as_reader(snippet, server)]))
