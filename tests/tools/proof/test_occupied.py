"""What a snippet does to a reader's tables, locks and roles is found."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tools.proof.samples import TRUE
from tools.postgres import Server
from tools.proof.judge import Refused, prove, prove_as_reader, prove_under_uvloop
from tools.proof.occupied import Occupied, names_and_numbers, occupy
from tools.proof.snippets import list_snippets, location

QUERY = """print(await connection.scalar(text("SELECT 1")))"""


@pytest.fixture(scope="module")
def occupied(server: Server) -> Iterator[Occupied]:
    with occupy(server.url, list_snippets()) as prepared:
        yield prepared


@pytest.fixture
def snippet(tmp_path: Path) -> Path:
    return tmp_path / "snippet.py"


def write(snippet: Path, statement: str) -> None:
    """A snippet that prints 1 and also runs this statement."""
    extra = f'await connection.execute(text("{statement}"))\n        await connection.commit()'
    snippet.write_text(TRUE.replace(QUERY, f"{extra}\n        {QUERY}"), "utf-8")


def test_a_snippet_that_harms_nobody_is_proved(
    snippet: Path, server: Server, occupied: Occupied
) -> None:
    snippet.write_text(TRUE, "utf-8")
    assert prove(snippet, server, occupied) == ""
    assert prove_as_reader(snippet, server, occupied) == ""


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DROP TABLE orders", "table orders is gone or changed"),
        ("INSERT INTO orders VALUES (2)", "the rows {(1)} of public.orders is gone or changed"),
        ("TRUNCATE users", "the rows {(1)} of public.users is gone or changed"),
        ("DROP SCHEMA guests", "schema guests is gone or changed"),
        ("CREATE TABLE tisane (id int)", "leaves behind table tisane"),
        ("CREATE ROLE guide_left", "leaves behind role guide_left"),
    ],
)
def test_what_it_did_is_named(
    snippet: Path, server: Server, occupied: Occupied, statement: str, found: str
) -> None:
    write(snippet, statement)
    assert found in prove(snippet, server, occupied)
    if "ROLE" in statement:
        with occupied.database(ordinary=False) as database:
            database.execute("DROP ROLE guide_left")


def test_a_lock_that_a_snippet_might_use_is_taken(occupied: Occupied, snippet: Path) -> None:
    snippet.write_text("TAKE = 'SELECT pg_advisory_lock(1122)'\nLOCK = 7", "utf-8")
    assert {7, 1122} <= names_and_numbers([snippet])[1]
    with occupied.database(ordinary=True) as database:
        database.execute(
            "DO $$BEGIN IF pg_try_advisory_lock(7) THEN RAISE 'lock 7 is free'; END IF; END$$"
        )


def test_a_role_that_may_not_is_told_so_in_one_line(
    snippet: Path, server: Server, occupied: Occupied
) -> None:
    snippet.write_text("raise SystemExit('This needs a role with CREATEROLE.')\n", "utf-8")
    with pytest.raises(Refused, match="refuses to run here: This needs a role with CREATEROLE"):
        prove_as_reader(snippet, server, occupied)


def test_a_traceback_is_no_refusal(snippet: Path, server: Server, occupied: Occupied) -> None:
    write(snippet, "CREATE ROLE guide_left")
    assert "exit code 1" in prove_as_reader(snippet, server, occupied)


def test_what_is_printed_under_uvloop_stands_beside_the_snippet(
    snippet: Path, server: Server
) -> None:
    loop = "type(asyncio.get_running_loop()).__module__"
    snippet.write_text(TRUE.replace(QUERY, f"print({loop})").replace("#> 1", "#> x"), "utf-8")
    beside = snippet.with_suffix(".uvloop.txt")
    assert "under uvloop it does not print `x`" in prove_under_uvloop(snippet, server)
    beside.write_text("uvloop\n", "utf-8")
    assert prove_under_uvloop(snippet, server) == ""


def test_what_is_said_under_uvloop_alone_is_found(snippet: Path, server: Server) -> None:
    loop = "type(asyncio.get_running_loop()).__module__"
    speaks = f"if {loop} == 'uvloop':\n            os.write(2, b'a warning')\n        "
    snippet.write_text(TRUE.replace("print(", f"{speaks}print("), "utf-8")
    assert prove_under_uvloop(snippet, server) == (
        f"{location(snippet)}: under uvloop it says on stderr: a warning; silence it"
    )
