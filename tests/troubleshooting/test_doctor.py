"""The script that readers point at their database, in staged situations, ill and healthy."""

import asyncio
import json
import os
import pty
import re
import secrets
import signal
import subprocess
import sys
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

from snippets.troubleshooting.doctor.doctor import (
    KINDS,
    LABELS,
    NUMBERS,
    clean_url,
    diagnose,
    look,
    main,
    read_options,
)
from tests.report import report
from tests.waiting import DEADLINE
from tools.paths import DOCS, LANGUAGES, SNIPPETS
from tools.postgres import EmbeddedPostgres, Proxy, dsn_of
from tools.site.pages import Page

SCRIPT = SNIPPETS / "troubleshooting/doctor/doctor.py"
SOON = [f"--{name}=0.05" for name in ("stuck", "aborted", "slow", "waiting")]
"""A twentieth of a second is old enough."""
RESERVED = {} if "PG_BIN" in os.environ else {"reserved_connections": "2"}
"""From PostgreSQL 16 on, which PG_BIN may not be."""
ROOM = 17 - len(RESERVED) * 2
SLEEP = "SELECT pg_sleep(600)"

Report = dict[str, Any]


@pytest.fixture(scope="module", params=(16, 18), ids=("16", "18"))
def own(request: pytest.FixtureRequest) -> Iterator[EmbeddedPostgres]:
    """A server with few slots, on which nobody else is."""
    slots = {"max_connections": "20", **RESERVED}
    with EmbeddedPostgres(request.param, wal_level="logical", **slots) as server:
        yield server


class Stage:
    """Connections in known states, on a server of their own."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.tasks: list[asyncio.Task[object]] = []
        self.kept: list[Any] = []

    def as_role(self, role: str, password: str = "tea", database: str = "postgres") -> str:
        """The URL of another role."""
        url = make_url(self.url).set(username=role, password=password, database=database)
        return url.render_as_string(hide_password=False)

    async def open(self, app: str = "shop-api", url: str = "", **settings: str) -> Any:
        """A connection with a name."""
        dsn = dsn_of(url or self.url)
        settings["application_name"] = app
        connection = await asyncpg.connect(dsn, server_settings=settings)
        self.kept.append(connection)  # the garbage collector would end it
        return connection

    async def run(self, *statements: str, app: str = "shop-api", url: str = "") -> Any:
        """A connection on which these statements ran, one by one."""
        connection = await self.open(app, url)
        for statement in statements:
            await connection.execute(statement)
        return connection

    async def begin(self, statement: str, app: str = "shop-api", url: str = "") -> Any:
        """A connection on which a statement runs and does not end."""
        connection = await self.open(app, url)
        self.tasks.append(asyncio.create_task(connection.execute(statement)))
        return connection

    async def look(self, *options: str, url: str = "") -> Report:
        """What the doctor says."""
        at = read_options(["--url", url or self.url, *options])
        return diagnose(await look(at), at)

    async def until(self, seen: Callable[[Report], object], *options: str, url: str = "") -> Report:
        """The first report that is as wanted."""
        said: Report = {}
        try:
            async with asyncio.timeout(DEADLINE):
                while not seen(said := await self.look(*options, url=url)):  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(json.dumps(said, indent=1, default=str))
        return said


@pytest.fixture
async def stage(own: EmbeddedPostgres) -> AsyncIterator[Stage]:
    """An empty stage; afterwards all connections are gone."""
    stage = Stage(own.url())
    admin = await stage.run(
        "DROP TABLE IF EXISTS orders",
        "CREATE TABLE orders AS SELECT n AS id, 'oolong' AS drink FROM generate_series(1, 3) n",
        app="admin",
    )
    await admin.close()
    await stage.until(lambda said: not said["groups"])
    yield stage
    admin = await stage.open("admin")
    await admin.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
        " AND backend_type IN ('client backend', 'walsender')"
    )
    await asyncio.gather(*stage.tasks, return_exceptions=True)
    for (gid,) in await admin.fetch("SELECT gid FROM pg_prepared_xacts"):
        await admin.execute(f"ROLLBACK PREPARED '{gid}'")
    await admin.execute("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots")
    for (name,) in await admin.fetch("SELECT rolname FROM pg_roles WHERE rolname LIKE 'guest%'"):
        await admin.execute(f'DROP ROLE "{name}"')
    await admin.execute("DROP DATABASE IF EXISTS branch WITH (FORCE)")
    for connection in stage.kept:  # some have not read yet that the server ended them
        connection.terminate()


@asynccontextmanager
async def guest(stage: Stage, words: str = "") -> AsyncIterator[str]:
    """The URL of an ordinary role."""
    admin = await stage.run(f"CREATE ROLE guest LOGIN PASSWORD 'tea' {words}", app="admin")
    await admin.close()
    yield stage.as_role("guest")


def kinds(said: Report) -> list[str]:
    return [one["kind"] for one in said["findings"]]


def states(said: Report) -> list[tuple[str, str, int]]:
    return [(row["app"], row["kind"], row["count"]) for row in said["groups"]]


def only(said: Report) -> Report:
    """The one finding."""
    [found] = said["findings"]
    return dict(found)


def is_active(said: Report) -> bool:
    return any(row["state"] == "active" for row in said["groups"])


# Healthy: none of these may be called ill


async def test_a_pool_at_rest_is_fine(stage: Stage) -> None:
    engine = create_async_engine(stage.url, pool_size=3)
    async with engine.connect(), engine.connect(), engine.connect():
        pass
    said = await stage.until(lambda said: states(said) == [("-", "pooled", 3)], *SOON)
    assert said["findings"] == said["unseen"] == []
    await engine.dispose()


async def test_a_pool_at_work_is_fine(stage: Stage) -> None:
    engine = create_async_engine(stage.url)
    async with async_sessionmaker(engine)() as session:
        await session.execute(text("SELECT drink FROM orders"))
        await stage.begin(SLEEP, "report")
        said = await stage.until(is_active)
        assert states(said) == [("-", "working", 1), ("report", "working", 1)]
        assert said["findings"] == []
    await engine.dispose()


async def test_a_transaction_that_failed_a_moment_ago_is_fine(stage: Stage) -> None:
    connection = await stage.run("BEGIN")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connection.execute("SELECT 1 / 0")
    said = await stage.until(lambda said: said["groups"][0]["state"].endswith("(aborted)"))
    assert kinds(said) == []


async def test_a_short_wait_for_a_lock_is_fine(stage: Stage) -> None:
    await stage.run("BEGIN", "UPDATE orders SET drink = 'longjing'")
    await stage.begin("UPDATE orders SET drink = 'pu-erh'")
    assert kinds(await stage.until(is_active)) == []


async def test_a_listener_is_fine(stage: Stage) -> None:
    await stage.run("LISTEN orders")
    said = await stage.until(lambda said: said["groups"][0]["age"] > 0.1, *SOON)
    assert states(said) == [("shop-api", "pooled", 1)]
    assert kinds(said) == []


async def test_parallel_workers_and_replication_are_not_counted(stage: Stage) -> None:
    admin = await stage.run(
        "CREATE OR REPLACE FUNCTION nap() RETURNS int LANGUAGE plpgsql PARALLEL SAFE"
        " AS 'BEGIN PERFORM pg_sleep(600); RETURN 1; END'",
        app="admin",
    )
    await admin.execute("ALTER TABLE orders SET (parallel_workers = 2)")
    await stage.open("standby", replication="database")
    query = await stage.open("report")
    for setting in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"):
        await query.execute(f"SET {setting} = 0")
    # Else the leader may read the whole table before a worker is there.
    await query.execute("SET parallel_leader_participation = off")
    stage.tasks.append(asyncio.create_task(query.execute("SELECT nap() FROM orders")))
    workers = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = $1"
    async with asyncio.timeout(DEADLINE):
        while not await admin.fetchval(workers, "parallel worker"):
            continue
    assert await admin.fetchval(workers, "walsender") == 1
    said = await stage.look()
    assert states(said) == [("admin", "pooled", 1), ("report", "working", 1)]
    assert said["limits"][0]["used"] == 2
    assert kinds(said) == []


async def test_a_long_vacuum_holds_nothing_back(stage: Stage) -> None:
    vacuum = await stage.run("SET vacuum_cost_delay = 100", "SET vacuum_cost_limit = 1")
    await vacuum.execute("INSERT INTO orders SELECT n, 'oolong' FROM generate_series(1, 9999) n")
    stage.tasks.append(asyncio.create_task(vacuum.execute("VACUUM orders")))
    await stage.until(is_active)
    burner = await stage.open()
    for _ in range(5):
        await burner.execute("SELECT pg_current_xact_id()")
    held = "SELECT greatest(age(backend_xmin), age(backend_xid)) FROM pg_stat_activity WHERE pid=$1"
    assert await burner.fetchval(held, vacuum.get_server_pid()) >= 5  # and yet
    assert kinds(await stage.look("--xids=5")) == []


async def test_the_doctor_leaves_itself_out(stage: Stage) -> None:
    said = await stage.look("--xids=0", "--near=0", "--pool=1", *SOON)
    assert (said["groups"], said["findings"]) == ([], [])
    assert said["limits"] == [
        {"kind": "full", "scope": "server", "name": "total", "room": ROOM, "used": 0}
    ]


# Ill: each is named


async def test_a_transaction_that_waits_for_its_program_is_stuck(stage: Stage) -> None:
    await stage.run("BEGIN", "UPDATE orders SET drink = 'longjing'")
    said = await stage.until(kinds, "--stuck=0.05")
    found = only(said)
    assert (found["kind"], found["app"], found["count"]) == ("stuck", "shop-api", 1)
    assert found["query"] == "UPDATE orders SET ..."
    assert kinds(await stage.look()) == []


async def test_transactions_that_nobody_ends_look_leaked(stage: Stage) -> None:
    engine = create_async_engine(
        stage.url, connect_args={"server_settings": {"application_name": "shop-web"}}
    )
    forgotten = [async_sessionmaker(engine)() for _ in range(3)]
    for session in forgotten:
        await session.execute(text("SELECT drink FROM orders"))
    found = only(
        await stage.until(
            lambda said: [one["count"] for one in said["findings"]] == [3], "--leaked=0.05"
        )
    )
    assert (found["kind"], found["app"], len(found["pids"])) == ("leaked", "shop-web", 3)
    for session in forgotten:
        await session.close()
    await engine.dispose()


async def test_a_failed_transaction_that_nobody_rolls_back(stage: Stage) -> None:
    connection = await stage.run("BEGIN")
    with pytest.raises(asyncpg.DivisionByZeroError):
        await connection.execute("SELECT 1 / 0")
    assert only(await stage.until(kinds, "--aborted=0.05"))["kind"] == "aborted"


async def test_a_statement_that_runs_on(stage: Stage) -> None:
    await stage.begin(SLEEP, "report")
    found = only(await stage.until(kinds, "--slow=0.05"))
    assert (found["kind"], found["app"]) == ("slow", "report")
    assert found["query"] == "SELECT pg_sleep ..."


async def test_of_a_chain_of_locks_the_root_is_named(stage: Stage) -> None:
    root = await stage.run("BEGIN", "UPDATE orders SET drink = 'a' WHERE id = 1", app="root")
    middle = await stage.run("BEGIN", "UPDATE orders SET drink = 'b' WHERE id = 2", app="middle")
    change = "UPDATE orders SET drink = 'c' WHERE id = {}"
    stage.tasks.append(asyncio.create_task(middle.execute(change.format(1))))
    await stage.until(lambda said: len(kinds(said)) == 1, "--waiting=0.05")
    last = await stage.begin(change.format(2), "last")
    found = only(
        await stage.until(
            lambda said: [one["count"] for one in said["findings"]] == [2], "--waiting=0.05"
        )
    )
    pids = [one.get_server_pid() for one in (root, middle, last)]
    assert (found["kind"], found["pid"], found["app"]) == ("blocking", pids[0], "root")
    assert found["state"] == "idle in transaction"
    links = set(found["chain"].split(", "))
    assert links == {f"{pids[1]} -> {pids[0]}", f"{pids[2]} -> {pids[1]}"}
    said = await stage.look("--waiting=0.05")
    assert ("middle", "waiting", 1) in states(said)


async def test_who_waits_is_not_called_slow(stage: Stage) -> None:
    await stage.run("BEGIN", "UPDATE orders SET drink = 'longjing'")
    await stage.begin("UPDATE orders SET drink = 'pu-erh'")
    said = await stage.until(lambda said: {"blocking", "stuck"} <= set(kinds(said)), *SOON)
    assert len(kinds(said)) == 2


async def test_an_idle_connection_that_holds_an_advisory_lock(stage: Stage) -> None:
    holder = await stage.run("SELECT pg_advisory_lock(1)", app="holder")
    await stage.begin("SELECT pg_advisory_lock(1)")
    found = only(await stage.until(kinds, "--waiting=0.05"))
    assert (found["pid"], found["state"]) == (holder.get_server_pid(), "idle")


async def test_a_prepared_transaction_that_holds_a_lock(stage: Stage) -> None:
    name = f"o'clock {secrets.token_hex(4)}".replace("'", "")
    await stage.run("BEGIN", "UPDATE orders SET drink = 'a'", f"PREPARE TRANSACTION '{name}'")
    await stage.begin("UPDATE orders SET drink = 'b'")
    said = await stage.until(
        lambda said: "blocking" in kinds(said), "--waiting=0.05", "--leaked=0.05"
    )
    blocking, old = said["findings"]
    assert (blocking["pid"], blocking["app"]) == (0, "PREPARE")
    assert (old["kind"], old["what"], old["name"]) == ("vacuum", "prepared transaction", name)


async def test_the_server_is_nearly_full(stage: Stage) -> None:
    for _ in range(11):
        await stage.open()
    assert kinds(await stage.until(lambda said: said["limits"][0]["used"] == 11)) == []
    for _ in range(3):
        await stage.open()
    found = only(await stage.until(lambda said: said["limits"][0]["used"] == 14))
    assert (found["kind"], found["scope"]) == ("full", "server")
    assert (found["used"], found["room"]) == (14, ROOM)
    assert kinds(await stage.look("--near=96")) == []


async def test_reserved_slots_are_left_out(stage: Stage) -> None:
    admin = await stage.open("admin")
    reserved = await admin.fetchval("SELECT current_setting('reserved_connections', true)")
    assert int(reserved or 0) == int(RESERVED.get("reserved_connections", 0))
    [limit] = (await stage.look())["limits"]
    assert limit["room"] == 20 - 3 - int(reserved or 0)


async def test_a_role_is_nearly_at_its_limit(stage: Stage) -> None:
    async with guest(stage, "CONNECTION LIMIT 2") as url:
        await stage.open(url=url)
        assert kinds(await stage.look()) == []
        await stage.open(url=url)
        found = only(await stage.until(kinds))
        assert (found["scope"], found["name"], found["used"]) == ("role", "guest", 2)


async def test_a_database_is_nearly_at_its_limit(stage: Stage) -> None:
    await stage.run("CREATE DATABASE branch CONNECTION LIMIT 1")
    assert kinds(await stage.look()) == []
    async with guest(stage):
        await stage.open(url=stage.as_role("guest", database="branch"))
        found = only(await stage.until(kinds))
        assert (found["scope"], found["name"], found["used"]) == ("database", "branch", 1)


async def test_an_application_has_more_connections_than_its_pools(stage: Stage) -> None:
    for _ in range(3):
        await stage.open()
    await stage.open("report")
    found = only(await stage.until(kinds, "--pool=2"))
    assert (found["kind"], found["name"], found["used"]) == ("surplus", "shop-api", 3)
    assert kinds(await stage.look("--pool=3")) == kinds(await stage.look()) == []


@pytest.mark.parametrize("active", [False, True])
async def test_an_old_transaction_holds_back_vacuum(stage: Stage, active: bool) -> None:
    old = await stage.run("BEGIN ISOLATION LEVEL REPEATABLE READ", "SELECT 1", app="old")
    if active:
        stage.tasks.append(asyncio.create_task(old.execute(SLEEP)))
        await stage.until(is_active)
    burner = await stage.open()
    for _ in range(5):
        await burner.execute("SELECT pg_current_xact_id()")
    found = only(await stage.look("--xids=5"))
    assert (found["kind"], found["what"]) == ("vacuum", "pid")
    assert found["name"].startswith(f"{old.get_server_pid()}, old, ")
    assert found["xids"] >= 5


async def test_a_replication_slot_that_nobody_reads_holds_back_vacuum(stage: Stage) -> None:
    admin = await stage.run("SELECT pg_create_logical_replication_slot('left', 'pgoutput')")
    for _ in range(5):
        await admin.execute("SELECT pg_current_xact_id()")
    found = only(await stage.look("--xids=5"))
    assert (found["kind"], found["what"], found["name"]) == ("vacuum", "replication slot", "left")


# What it may see


async def test_an_ordinary_role_is_told_what_it_cannot_see(stage: Stage) -> None:
    await stage.run("BEGIN", "SELECT 1")
    async with guest(stage) as url:
        said = await stage.until(lambda said: said["groups"], *SOON, url=url)
        assert states(said) == [("shop-api", "hidden", 1)]
        assert kinds(said) == []
        [unseen] = said["unseen"]
        assert (unseen["kind"], unseen["count"]) == ("hidden", 1)
        assert "GRANT pg_monitor TO guest" in unseen["do"]
        admin = await stage.run("GRANT pg_monitor TO guest", app="admin")
        await admin.close()
        said = await stage.until(kinds, *SOON, url=url)
        assert (kinds(said), said["unseen"]) == (["stuck"], [])


async def test_an_ordinary_role_sees_who_waits_for_whom_and_who_holds_back_vacuum(
    stage: Stage,
) -> None:
    root = await stage.run("BEGIN", "UPDATE orders SET drink = 'longjing'")
    await stage.begin("UPDATE orders SET drink = 'pu-erh'")
    burner = await stage.open()
    for _ in range(5):
        await burner.execute("SELECT pg_current_xact_id()")
    async with guest(stage) as url:
        said = await stage.until(
            lambda said: {"blocking", "vacuum"} <= set(kinds(said)),
            "--waiting=0.05",
            "--xids=5",
            url=url,
        )
        blocking, vacuum = said["findings"]
        assert (blocking["kind"], blocking["pid"]) == ("blocking", root.get_server_pid())
        assert (vacuum["kind"], vacuum["xids"] >= 5) == ("vacuum", True)


async def test_an_ordinary_role_sees_its_own(stage: Stage) -> None:
    async with guest(stage) as url:
        await stage.run("BEGIN", "SELECT 1", url=url)
        said = await stage.until(kinds, *SOON, url=url)
        assert (kinds(said), said["unseen"]) == (["stuck"], [])


async def test_without_track_activities_there_is_no_state(stage: Stage) -> None:
    await stage.open(track_activities="off")
    said = await stage.until(lambda said: said["unseen"])
    assert states(said) == [("shop-api", "hidden", 1)]
    assert kinds(said) == []


@asynccontextmanager
async def pooler(url: str) -> AsyncIterator[str]:
    """A proxy that gives its clients process numbers of its own, as PgBouncer does."""
    key = b"K\0\0\0\x0c"

    def renumber(_: str, data: bytes) -> bytes:
        if (at := data.find(key)) >= 0:
            data = data[: at + 5] + b"\0\0\0\1" + data[at + 9 :]
        return data

    async with Proxy(url) as proxy:
        proxy.edit = renumber
        yield proxy.url.render_as_string(hide_password=False)


async def test_behind_a_pooler_it_says_what_that_hides(stage: Stage) -> None:
    async with pooler(stage.url) as url:
        said = await stage.look(url=url)
    [unseen] = said["unseen"]
    assert unseen["kind"] == "proxy"
    assert "SHOW POOLS" in unseen["do"]
    assert kinds(said) == []


async def test_it_writes_nothing_and_leaves_nothing(stage: Stage) -> None:
    admin = await stage.open("admin")
    written = (
        "SELECT pg_current_xact_id_if_assigned()::text, txid_snapshot_xmax(txid_current_snapshot())"
    )
    before = await admin.fetchrow(written)
    await stage.look()
    assert await admin.fetchrow(written) == before
    await stage.until(lambda said: states(said) == [("admin", "pooled", 1)])


async def test_postgresql_would_refuse_it_to_write(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = "snippets.troubleshooting.doctor.doctor"
    monkeypatch.setattr(f"{module}.SERVER", "CREATE TABLE scrap ()")
    with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
        await stage.look()


# What it prints


Printed = tuple[int, str, str]


async def printed(capsys: pytest.CaptureFixture[str], url: str, *options: str) -> Printed:
    """Exit code, output and complaints."""
    code = await asyncio.to_thread(main, ["--url", url, *options])
    return code, *capsys.readouterr()


async def test_a_healthy_server_is_exit_code_0(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    await stage.open()
    assert kinds(await stage.until(lambda said: said["groups"])) == []
    code, said, complaints = await printed(capsys, stage.url)
    assert (code, complaints) == (0, "")
    head, table, end = said.strip().split("\n\n")
    assert f"server total 1/{ROOM}" in head
    columns, row = (re.split("  +", line) for line in table.splitlines())
    assert columns == ["count", "application", "role", "database", "state", "longest", "verdict"]
    assert row[:5] == ["1", "shop-api", "postgres", "postgres", "idle"]
    assert row[6] == "fine: kept by a pool"
    assert end == "Nothing ill was seen."


async def test_a_finding_is_exit_code_1_and_says_what_to_do_and_where_to_read(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    holder = await stage.run("BEGIN", "SELECT 'secret'")
    await stage.until(kinds, "--stuck=0.05")
    options = ("--stuck=0.05", "--site=https://guide.example/")
    code, said, complaints = await printed(capsys, stage.url, *options)
    assert (code, complaints) == (1, "")
    age = re.search(r"idle in transaction +(\d+ s) +see 1$", said, re.MULTILINE)
    assert age
    assert said.splitlines()[-3:] == [
        f"1. shop-api: 1 idle in transaction for up to {age[1]}, after SELECT ...; "
        f"pid {holder.get_server_pid()}",
        "   commit() before the code waits for anything else; look again in a minute",
        "   https://guide.example/en/troubleshooting/idle/#waiting",
    ]
    assert "Nothing ill" not in said


async def test_chinese_and_its_columns(stage: Stage, capsys: pytest.CaptureFixture[str]) -> None:
    await stage.run("BEGIN", "SELECT 1")
    await stage.open("点单")  # PostgreSQL makes it ASCII
    await stage.until(kinds, "--stuck=0.05")
    code, said, _ = await printed(capsys, stage.url, "--stuck=0.05", "--lang=zh")
    assert code == 1
    assert "停在 idle in transaction" in said
    assert said.splitlines()[-1] == "   troubleshooting/idle/#waiting"
    table = said.split("\n\n")[1].splitlines()
    places = [sum(1 + (ord(c) > 0x2E80) for c in line[: line.rindex("  ")]) for line in table]
    assert len(set(places)) == 1


async def test_json_is_a_line_with_the_same(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    await stage.run("BEGIN", "SELECT 1")
    await stage.until(kinds, "--stuck=0.05")
    code, said, _ = await printed(capsys, stage.url, "--stuck=0.05", "--json")
    assert (code, said.count("\n")) == (1, 1)
    told = json.loads(said)
    assert list(told) == ["time", "server", "limits", "groups", "findings", "unseen"]
    assert kinds(told) == ["stuck"]
    assert told["findings"][0].keys() >= {"says", "do", "page", "pids", "age", "query"}


async def test_values_in_a_statement_are_not_printed_unless_asked_for(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    statements = {
        "comment": "/* secret */ SELECT 1",
        "escape": "SELECT E'secret'",
        "update": "UPDATE orders SET drink = 'secret'",
        "label": 'SELECT 1 AS "secret"',
        "dollars": "SELECT $$secret$$",
        "set": "SET search_path TO secret",
    }
    for app, statement in statements.items():
        await stage.run("BEGIN", statement, app=app)
    await stage.until(lambda said: len(kinds(said)) == 6, *SOON)
    for form in ((), ("--json",), ("--lang=zh",)):
        _, said, _ = await printed(capsys, stage.url, *form, *SOON)
        assert "UPDATE orders SET ..." in said
        assert "secret" not in said
    _, said, _ = await printed(capsys, stage.url, "--queries", *SOON)
    assert said.count("secret") == 6


async def test_names_cannot_command_the_terminal(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = await stage.run("CREATE ROLE \"guest\x1b[2J\n\u202etea\" LOGIN PASSWORD 'tea'")
    await admin.close()
    await stage.open(url=stage.as_role("guest\x1b[2J\n\u202etea"))
    await stage.until(lambda said: said["groups"])
    _, said, _ = await printed(capsys, stage.url)
    assert "guest?[2J ?tea" in said
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"password": "wrong-secret"}, 'password authentication failed for user "postgres"'),
        ({"database": "nowhere"}, 'database "nowhere" does not exist'),
        ({"port": 1}, r".*Connect call failed.*"),
        ({"host": "nowhere.invalid"}, ".+"),
    ],
)
async def test_where_it_cannot_look_it_says_why_in_a_line(
    stage: Stage, capsys: pytest.CaptureFixture[str], change: dict[str, Any], says: str
) -> None:
    url = make_url(stage.url).set(**change).render_as_string(hide_password=False)
    code, said, complaints = await printed(capsys, url)
    assert (code, said) == (2, "")
    reason, page = complaints.splitlines()
    assert re.fullmatch(f"Cannot look: {says}", reason)
    assert page == "   en/start/quickstart/#errors"
    assert "secret" not in complaints


@pytest.mark.parametrize(
    "url",
    [
        "", "shop", "mysql://tea:secret@127.0.0.1/tea", "postgresql://tea:sec/ret@127.0.0.1/tea",
        "postgresql://tea:[secret@127.0.0.1/tea", "postgresql://tea:secret@127.0.0.1:port/tea",
    ],
)  # fmt: skip
def test_no_url_and_no_password_in_the_complaint(
    capsys: pytest.CaptureFixture[str], url: str
) -> None:
    assert main(["--url", url, "--lang=zh"]) == 2
    said, complaints = capsys.readouterr()
    assert said == ""
    assert complaints.startswith("看不了：")
    assert complaints.endswith("   start/quickstart/#errors\n")
    assert "sec" not in complaints


async def test_a_full_server_has_a_page_of_its_own(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    async with guest(stage, "CONNECTION LIMIT 1") as url:
        await stage.open(url=url)
        code, _, complaints = await printed(capsys, url)
    assert code == 2
    assert complaints.splitlines() == [
        'Cannot look: too many connections for role "guest"',
        "   en/sizing/arithmetic/#refused",
    ]


async def test_it_gives_up_after_its_timeout(
    stage: Stage, capsys: pytest.CaptureFixture[str]
) -> None:
    await stage.run("BEGIN", "LOCK TABLE pg_locks")  # which it reads
    admin = await stage.open("admin")
    code, _, complaints = await printed(capsys, stage.url, "--timeout=0.5")
    assert code == 2
    assert re.match("Cannot look: (no answer in time|canceling statement due to)", complaints)
    looking = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'doctor'"
    async with asyncio.timeout(DEADLINE):
        while await admin.fetchval(looking):
            continue


async def test_it_takes_any_url_of_postgresql(stage: Stage) -> None:
    for form in ("postgresql+asyncpg", "postgresql+psycopg", "postgresql", "postgres"):
        for words in (
            "",
            "?ssl=prefer&prepared_statement_cache_size=0",
            "?sslmode=prefer&channel_binding=prefer",
        ):
            url = stage.url.replace("postgresql+asyncpg", form) + words
            assert kinds(await stage.look(url=url)) == []


def test_ssl_is_not_dropped_from_the_url() -> None:
    assert clean_url("postgresql+asyncpg://a:b@c/d?ssl=verify-full&x=1").endswith(
        "//a:b@c/d?sslmode=verify-full"
    )


# As a reader runs it


def environment(url: str) -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "DATABASE_URL": url}


async def test_watching_goes_on_until_ctrl_c_also_while_the_server_is_gone() -> None:
    with EmbeddedPostgres() as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), "--watch=0.05", "--json",
            env=environment(server.url()),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        async with asyncio.timeout(2 * DEADLINE):
            looks = [json.loads(await process.stdout.readline()) for _ in range(2)]
            server.stop()
            assert b"Cannot look" in await process.stderr.readline()
            server.start()
            marker = await Stage(server.url()).open("marker")
            while "marker" not in (await process.stdout.readline()).decode():
                continue
            line = await process.stdout.readline()  # so the look before it has returned
            process.send_signal(signal.SIGINT)
            await process.communicate()
            await marker.close()
    assert [kinds(said) for said in (*looks, json.loads(line))] == [[], [], []]
    assert process.returncode == 0


async def test_it_gives_up_when_the_line_falls_silent_while_it_looks(stage: Stage) -> None:
    async with Proxy(stage.url) as proxy:

        def fall_silent(side: str, said: bytes) -> bytes:
            if b"pg_stat_activity" in said:
                proxy.swallow()
            return said

        proxy.edit = fall_silent
        url = proxy.url.render_as_string(hide_password=False)
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(SCRIPT), "--timeout=0.5",
            env=environment(url), stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(DEADLINE):
                _, complaints = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
    assert process.returncode == 2
    assert complaints.startswith(b"Cannot look: no answer in time")


@pytest.mark.parametrize(("words", "colored"), [({}, True), ({"NO_COLOR": "1"}, False)])
async def test_colors_are_for_a_terminal(
    stage: Stage, words: dict[str, str], colored: bool
) -> None:
    reader, terminal = pty.openpty()
    ran = await asyncio.to_thread(
        subprocess.run, [sys.executable, str(SCRIPT)],
        env=environment(stage.url) | words, stdout=terminal, timeout=2 * DEADLINE,
    )  # fmt: skip
    os.close(terminal)
    said = os.read(reader, 65536).decode()
    os.close(reader)
    assert ran.returncode == 0
    assert "Nothing ill was seen." in said
    assert ("\x1b[32m" in said) is colored


def test_uv_is_told_what_it_needs() -> None:
    source = SCRIPT.read_text("utf-8")
    [block] = re.findall(r"^# /// script\n((?:# .*\n)+)# ///$", source, re.MULTILINE)
    needs = tomllib.loads(re.sub("^# ", "", block, flags=re.MULTILINE))
    assert needs == {"requires-python": ">=3.11", "dependencies": ["asyncpg>=0.32"]}
    imported = set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE))
    assert imported - sys.stdlib_module_names == {"asyncpg"}


# What the page says


PAGES = [Page(DOCS / language / "troubleshooting/doctor.md") for language in LANGUAGES]


def test_every_page_that_it_names_is_there() -> None:
    def is_there(place: str, language: str) -> bool:
        name, _, section = place.partition("/#")
        path = DOCS / language / f"{name}.md"
        return path.is_file() and f"{{#{section}}}" in path.read_text("utf-8")

    places = {page for page, *_ in KINDS.values()}
    places |= set(re.findall(r'"([a-z]+/[a-z]+/#[a-z]+)"', SCRIPT.read_text("utf-8")))
    assert len(places) >= 9
    report(
        f"{SCRIPT.name}: names {place}, which is not in docs/{language}"
        for place in sorted(places)
        for language in LANGUAGES
        if not is_there(place, language)
    )


def test_the_page_explains_every_finding_threshold_and_exit_code() -> None:
    rows = [f"| `{kind}` | " for kind in KINDS]
    rows += [f"| `--{name}` | {value:g} | " for name, (value, _) in NUMBERS.items()]
    rows += [f"| {code} | " for code in range(3)]
    report(
        f"{page.file}: lacks the row {row}; say what it means"
        for page in PAGES
        for row in rows
        if row not in page.path.read_text("utf-8")
    )


def test_both_languages_fill_the_same_gaps() -> None:
    for kind, (_, english, chinese) in KINDS.items():
        for one, other in zip(english, chinese, strict=True):
            gaps = [sorted(re.findall(r"{\w+}", text)) for text in (one, other)]
            assert gaps[0] == gaps[1], kind
            assert re.search("[一-鿿]", other), kind
    assert all(len(words) == len(LANGUAGES) for words in LABELS.values())
