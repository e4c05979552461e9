"""The script that readers run, tried as a new user would, and what its page says of it."""

import asyncio
import csv
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import make_url

from snippets.sizing.measure.sweep import Row, verdict
from tests.asking import ask, backends
from tests.report import report, require_on
from tests.waiting import DEADLINE, eventually
from tools.paths import DOCS, LANGUAGES, SNIPPETS
from tools.postgres import EmbeddedPostgres, dsn_of

SCRIPT = SNIPPETS / "sizing/measure/sweep.py"
SLOW = "SELECT pg_sleep(600)"
# Two runs of a size make a row; the third is for a machine so busy that the last one is cut off.
SMALL = ("--size", "1", "--size", "4", "--tasks", "4", "--repeats", "3", "--seconds", "12")


@pytest.fixture(scope="module")
def own() -> Iterator[EmbeddedPostgres]:
    """A server with few slots that asks for a password."""
    with EmbeddedPostgres(max_connections="10") as server:
        yield server


@asynccontextmanager
async def started(
    folder: Path, database_url: str, *arguments: str
) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python sweep.py ...` in an empty folder, with nothing but DATABASE_URL."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SCRIPT), *arguments,
        cwd=folder,
        env={"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "DATABASE_URL": database_url},
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def outcome(process: asyncio.subprocess.Process) -> tuple[int | None, str, list[str]]:
    """Exit code, output, and the lines of complaint once it has ended."""
    said, complaints = await asyncio.wait_for(process.communicate(), 2 * DEADLINE)
    return process.returncode, said.decode(), complaints.decode().split("\n")


async def until(database_url: str, number: int) -> None:
    """Wait until so many connections to the database are open."""

    async def so_many() -> bool:
        return await backends(database_url) == number

    await eventually(f"{number} connections are open", so_many)


def rows_of(table: str) -> list[dict[str, str]]:
    """The rows of the printed table."""
    lines = [line.split() for line in table.splitlines()]
    return [dict(zip(Row._fields, line, strict=True)) for line in lines[1:] if line[0].isdecimal()]


async def test_a_query_gives_a_table_and_the_same_as_csv_and_as_a_chart(
    tmp_path: Path, database_url: str
) -> None:
    async with started(tmp_path, database_url, "SELECT 1", *SMALL) as process:
        code, said, complaints = await outcome(process)
    assert code == 0, complaints
    with (tmp_path / "sweep.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == rows_of(said)
    assert [row["pool_size"] for row in rows_of(said)] == ["1", "4"]
    assert "is the smallest whose rate is within 10% of the best." in said
    chart = (tmp_path / "sweep.svg").read_text("utf-8")
    assert ElementTree.fromstring(chart).tag.endswith("svg")
    assert "prefers-color-scheme:dark" in chart
    assert sorted(os.listdir(tmp_path)) == ["sweep.csv", "sweep.svg"]
    await until(database_url, 0)


async def test_it_sees_that_a_query_that_waits_gains_from_more_connections(
    tmp_path: Path, database_url: str
) -> None:
    query = "SELECT pg_sleep(0.05)"
    async with started(tmp_path, database_url, query, *SMALL) as process:
        _, said, complaints = await outcome(process)
    one, four = rows_of(said)
    assert float(four["rate"]) > 1.5 * float(one["rate"]), complaints
    assert float(four["wait_ms"]) < float(one["wait_ms"])
    assert float(one["p50_ms"]) <= float(one["p95_ms"]) <= float(one["p99_ms"])
    assert [one["backends"], four["backends"]] == ["1", "4"]
    assert said.splitlines()[3].startswith("pool_size=4 is ")


async def test_it_opens_no_more_connections_than_there_are_tasks(
    tmp_path: Path, database_url: str
) -> None:
    arguments = ("--size", "9", "--tasks", "2", "--repeats", "3", "--seconds", "8")
    async with started(tmp_path, database_url, "SELECT 1", *arguments) as process:
        _, said, complaints = await outcome(process)
    assert [row["backends"] for row in rows_of(said)] == ["2"], complaints


async def test_a_slow_query_ends_with_the_time_and_is_stopped_on_the_server(
    tmp_path: Path, database_url: str
) -> None:
    async with started(tmp_path, database_url, SLOW, *SMALL) as process:
        code, said, complaints = await outcome(process)
    assert (code, said) == (1, "")
    assert complaints[-2:] == [
        "Error: too little time for two runs of pool_size 1, 4: give more --seconds", "",
    ]  # fmt: skip
    assert os.listdir(tmp_path) == []
    await until(database_url, 0)


async def test_ctrl_c_ends_it_and_its_queries(tmp_path: Path, database_url: str) -> None:
    async with started(tmp_path, database_url, SLOW, *SMALL, "--seconds", "60") as process:
        await until(database_url, 1)
        process.send_signal(signal.SIGINT)
        code, said, complaints = await outcome(process)
    assert (code, said) == (1, "")
    assert complaints[-2:] == ["Aborted!", ""]
    assert not any("Traceback" in line for line in complaints)
    assert os.listdir(tmp_path) == []
    await until(database_url, 0)


@pytest.mark.parametrize(
    ("query", "change", "says"),
    [
        ("SELEC 1", {}, 'syntax error at or near "SELEC"'),
        ("SELECT 1 / 0", {}, "division by zero"),
        ("SELECT 1", {"password": "wrong"}, 'password authentication failed for user "postgres"'),
        ("SELECT 1", {"database": "nowhere"}, 'database "nowhere" does not exist'),
        ("SELECT 1", {"port": 1}, ".*Connect call failed.*"),
        ("SELECT 1", {"host": "nowhere.invalid"}, ".+"),
        ("SELECT 1", {"query": {"sslmode": "require"}}, ".*unexpected keyword argument 'sslmode'"),
    ],
)
async def test_what_goes_wrong_is_one_line(
    tmp_path: Path, own: EmbeddedPostgres, query: str, change: dict[str, Any], says: str
) -> None:
    url = make_url(own.url()).set(**change).render_as_string(hide_password=False)
    async with started(tmp_path, url, query, *SMALL) as process:
        code, said, complaints = await outcome(process)
    assert (code, said) == (1, "")
    assert re.fullmatch(f"Error: {says}", complaints[-2]), complaints
    assert complaints[:-2] == ["Measuring"]
    assert os.listdir(tmp_path) == []


async def test_a_server_that_is_full_is_one_line(tmp_path: Path, own: EmbeddedPostgres) -> None:
    arguments = ("--size", "20", "--tasks", "20", "--seconds", "10")
    async with started(tmp_path, own.url(), "SELECT 1", *arguments) as process:
        code, _, complaints = await outcome(process)
    assert (code, complaints[-2]) == (1, "Error: sorry, too many clients already")


async def test_an_ordinary_role_reads_of_reserved_slots(
    tmp_path: Path, own: EmbeddedPostgres
) -> None:
    await ask(own.url(), "CREATE ROLE guest LOGIN PASSWORD 'tea'")
    url = make_url(own.url()).set(username="guest", password="tea")
    arguments = ("--size", "20", "--tasks", "20", "--seconds", "10")
    async with started(
        tmp_path, url.render_as_string(hide_password=False), "SELECT 1", *arguments
    ) as process:
        code, _, complaints = await outcome(process)
    assert code == 1
    assert complaints[-2].startswith("Error: remaining connection slots are reserved")


async def test_a_connection_that_is_cut_is_one_line(tmp_path: Path, database_url: str) -> None:
    async with started(tmp_path, database_url, SLOW, *SMALL, "--seconds", "60") as process:
        cut = (
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE state = 'active'"
            " AND datname = current_database() AND pid <> pg_backend_pid()"
        )
        await eventually("a query was cut", lambda: ask(database_url, cut))
        code, _, complaints = await outcome(process)
    assert code == 1
    assert complaints[0] == "Measuring"
    assert re.match("Error: .*(closed|terminat|another operation)", complaints[1]), complaints
    assert complaints[2:] == [""]


async def test_without_a_database_it_names_the_variable(tmp_path: Path) -> None:
    async with started(tmp_path, "", "SELECT 1") as process:
        code, _, complaints = await outcome(process)
    assert (code, complaints[-2]) == (2, "Error: Missing option '--url' (env var: 'DATABASE_URL').")


async def test_postgresql_refuses_a_query_that_writes(tmp_path: Path, database_url: str) -> None:
    await ask(database_url, "CREATE TABLE orders (id int)")
    query = "INSERT INTO orders VALUES (1)"
    async with started(tmp_path, database_url, query, *SMALL) as process:
        code, _, complaints = await outcome(process)
    assert code == 1
    assert complaints[-2] == (
        "Error: cannot execute INSERT in a read-only transaction; "
        "add --writes if it may write, and if that may stay"
    )
    assert await ask(database_url, "SELECT count(*) FROM orders") == 0

    async with started(tmp_path, database_url, query, *SMALL, "--writes") as process:
        _, _, complaints = await outcome(process)
    assert "read-only" not in "".join(complaints)
    assert await ask(database_url, "SELECT count(*) > 0 FROM orders")


@pytest.mark.parametrize(
    "query", ["SELECT count(hide(1))", "COMMIT", "SELECT 1; INSERT INTO orders VALUES (1)"]
)
async def test_nor_does_it_write_by_a_way_round(
    tmp_path: Path, database_url: str, query: str
) -> None:
    await ask(database_url, "CREATE TABLE orders (id int)")
    await ask(
        database_url,
        "CREATE FUNCTION hide(int) RETURNS int LANGUAGE sql AS"
        " 'INSERT INTO orders VALUES ($1) RETURNING id'",
    )
    async with started(tmp_path, database_url, query, *SMALL) as process:
        await outcome(process)
    assert await ask(database_url, "SELECT count(*) FROM orders") == 0


async def test_read_only_lets_locks_and_the_end_of_other_sessions_through(
    tmp_path: Path, database_url: str
) -> None:
    await ask(database_url, "CREATE TABLE orders (id int)")
    victim, ended = await asyncpg.connect(dsn_of(database_url)), asyncio.Event()
    victim.add_termination_listener(lambda _: ended.set())
    for query in (
        "LOCK TABLE orders IN ACCESS EXCLUSIVE MODE",
        f"SELECT pg_terminate_backend({victim.get_server_pid()})",
    ):
        async with started(tmp_path, database_url, query, *SMALL) as process:
            code, _, complaints = await outcome(process)
        assert code == 0, complaints
    await asyncio.wait_for(ended.wait(), DEADLINE)


async def test_read_only_lets_settings_and_notifications_through(
    tmp_path: Path, database_url: str
) -> None:
    heard = asyncio.Event()
    listener = await asyncpg.connect(dsn_of(database_url))
    await listener.add_listener("guide", lambda *_: heard.set())
    query = "SELECT pg_notify('guide', ''), set_config('work_mem', '1MB', false)"
    async with started(tmp_path, database_url, query, *SMALL) as process:
        code, _, complaints = await outcome(process)
    assert code == 0, complaints
    await asyncio.wait_for(heard.wait(), DEADLINE)
    await listener.close()


@pytest.mark.parametrize(
    "query",
    [
        "SELECT nextval('tickets')",
        "CREATE TABLE cups (id int)",
        "SELECT * FROM orders FOR UPDATE",
    ],
)
async def test_read_only_refuses_sequences_ddl_and_row_locks(
    tmp_path: Path, database_url: str, query: str
) -> None:
    await ask(database_url, "CREATE SEQUENCE tickets")
    await ask(database_url, "CREATE TABLE orders (id int)")
    async with started(tmp_path, database_url, query, *SMALL) as process:
        code, _, complaints = await outcome(process)
    assert code == 1
    assert "in a read-only transaction" in complaints[-2]


# What it concludes


def row(pool_size: int, slowest: float, rate: float, fastest: float) -> Row:
    return Row(pool_size, rate, slowest, fastest, 1, 2, 3, 4, pool_size)


def test_it_takes_the_smallest_size_that_keeps_up_with_the_best() -> None:
    rows = [
        row(1, 99, 100, 101),
        row(2, 190, 200, 202),
        row(4, 210, 214, 216),
        row(8, 216, 218, 220),
    ]
    [taken] = verdict(rows)
    assert taken == "pool_size=2 is the smallest whose rate is within 10% of the best."


def test_it_says_which_sizes_the_noise_hides() -> None:
    rows = [row(1, 99, 100, 101), row(2, 190, 200, 210), row(4, 150, 260, 270)]
    taken, noise, advice = verdict(rows)
    assert taken.startswith("pool_size=4 is ")
    assert noise == "Too noisy to tell apart: 2 and 4."
    assert advice.startswith("Runs of one size differ by up to 46%: ")


# What the page says


def test_the_page_quotes_what_it_says() -> None:
    for sentence in (
        "in a read-only transaction; add --writes ...",
        "too little time for two runs of pool_size 1, 2: give more --seconds",
        "Too noisy to tell apart",
    ):
        require_on("sizing/measure", sentence)


def test_the_page_explains_every_column() -> None:
    for language in LANGUAGES:
        page = (DOCS / language / "sizing/measure.md").read_text("utf-8")
        missing = [name for name in Row._fields[1:] if f"`{name}`" not in page]
        report(f"docs/{language}/sizing/measure.md: lacks `{name}`" for name in missing)
