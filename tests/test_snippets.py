"""Every snippet prints what stands in its file, for us and for a reader, and harms nobody."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.poolers import need_pgbouncer
from tests.report import report
from tools.postgres import Server
from tools.proof.judge import Refused, prove, prove_as_reader, prove_under_uvloop
from tools.proof.occupied import OWN, Occupied, occupy
from tools.proof.rerecord import list_followed
from tools.proof.rerun import rerun
from tools.proof.snippets import (
    find_pooler,
    is_project,
    list_files,
    list_parts,
    list_snippets,
    location,
    snippet_name,
)

every_snippet = pytest.mark.parametrize("snippet", list_snippets(), ids=snippet_name)
every_program = pytest.mark.parametrize(
    "snippet", [each for each in list_snippets() if not is_project(each)], ids=snippet_name
)
"""Those that a server on uvloop may run: pytest's plugins choose their loop themselves."""
UNRECORDED = sorted({*list_snippets()} - {*list_followed()})
"""Those that tests/test_recordings.py does not run for an administrator."""

MAKES = ("CREATE TABLE", "create_all", "CREATE SCHEMA", "CREATE TYPE", "CREATE SEQUENCE")
MAKERS = [
    snippet
    for snippet in list_snippets()
    if any(how.encode() in file.read_bytes() for file in list_files(snippet) for how in MAKES)
]

FAILING_DROPS = """
    CREATE FUNCTION public.guide_fail() RETURNS event_trigger LANGUAGE plpgsql
        AS $$BEGIN RAISE EXCEPTION 'stopped halfway'; END$$;
    CREATE EVENT TRIGGER guide_stop ON ddl_command_start
        WHEN TAG IN ('DROP TABLE', 'DROP SCHEMA', 'DROP TYPE', 'DROP SEQUENCE')
        EXECUTE FUNCTION public.guide_fail()
"""
DROPS_WORK_AGAIN = "DROP EVENT TRIGGER guide_stop; DROP FUNCTION public.guide_fail()"


@pytest.fixture(autouse=True)
def _pooler(request: pytest.FixtureRequest) -> None:
    """A snippet that needs PgBouncer, where there is none, is skipped, or fails in CI."""
    if find_pooler(request.node.callspec.params["snippet"]):
        need_pgbouncer()


@pytest.fixture(scope="module")
def occupied(server: Server) -> Iterator[Occupied]:
    """The server, prepared for databases in which every name of a snippet is taken."""
    with occupy(server.url, [*list_snippets(), *list_parts()]) as prepared:
        yield prepared


@every_snippet
def test_prints_its_lines_and_touches_nothing_of_a_reader(
    snippet: Path, server: Server, occupied: Occupied
) -> None:
    """He owns only his database; where that will not do, he is an administrator."""
    try:
        problem = prove_as_reader(snippet, server, occupied)
    except Refused:
        problem = prove(snippet, server, occupied)
    report(filter(None, [problem]))


@pytest.mark.parametrize("snippet", UNRECORDED, ids=snippet_name)
def test_prints_its_lines_for_an_administrator(
    snippet: Path, server: Server, occupied: Occupied
) -> None:
    report(filter(None, [prove(snippet, server, occupied)]))


@every_program
def test_prints_the_same_under_uvloop_or_what_the_file_beside_it_says(
    snippet: Path, server: Server
) -> None:
    report(filter(None, [prove_under_uvloop(snippet, server)]))


@pytest.mark.parametrize("snippet", MAKERS, ids=snippet_name)
def test_stopped_before_its_clean_up_it_leaves_only_what_is_unmistakably_its_own(
    snippet: Path, occupied: Occupied
) -> None:
    with occupied.database(ordinary=False) as database:
        database.execute(FAILING_DROPS)
        with rerun(snippet, database.url):
            pass
        database.execute(DROPS_WORK_AGAIN)
        report(
            f"{location(snippet)}: stopped halfway, {what}; give it a name of its own, "
            'f"guide_orders_{token_hex(4)}"'
            for what in database.changes()
            if not OWN.search(what)
        )
        with rerun(snippet, database.url) as again:
            report(filter(None, [again.problem]))
