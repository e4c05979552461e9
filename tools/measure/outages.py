"""What helps against which outage: `python -m tools outages` writes the table.

Stages each outage for each way to make an engine, with servers and a line of its own, and counts
the errors that four users get until all of them have placed an order. Takes about two minutes.
"""

import asyncio
import datetime
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import click
from sqlalchemy import event, make_url, text
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import InternalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from tools.paths import OUTAGES_TABLE
from tools.postgres import EmbeddedPostgres, Proxy, Standby
from tools.proof.seals import write_sealed
from tools.proof.snippets import digest

MAJOR = 18
USERS = 4
PATIENCE = 15.0
"""Seconds after which a user without an answer counts as not served."""
PAUSE = 0.1
"""Seconds between an error and the same user's next attempt."""
LASTS = 2.0
"""Seconds that PostgreSQL is away, or the line is slow."""
SLOW = 0.75
"""Seconds that a slow line takes, in each direction."""

PING, LIMITS = {"pool_pre_ping": True}, {"timeout": 1, "command_timeout": 1}
WRITABLE = {**LIMITS, "target_session_attrs": "read-write"}
SETTINGS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "pool_pre_ping": PING,
    "limits of 1 s": {"connect_args": LIMITS},
    "both": {**PING, "connect_args": LIMITS},
    "both, read-write": {**PING, "connect_args": WRITABLE},
    "both, 25006": {**PING, "connect_args": LIMITS},
}
"""What engines are made with; for the last one a listener takes SQLSTATE 25006 for a lost line."""
ORDER = text("INSERT INTO orders VALUES ('oolong')")
END_OTHERS = (
    "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity"
    " WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'"
)


@dataclass
class Stage:
    """A server, one more that may take over, and the line to them."""

    primary: EmbeddedPostgres
    other: EmbeddedPostgres | None
    line: Proxy


async def end_backends(stage: Stage) -> None:
    """End all connections of the pool, as a restart does."""
    await _tell(stage.primary.url(), END_OTHERS)


async def go_away(stage: Stage) -> None:
    """Stop PostgreSQL, and start it again after a while."""
    loop = asyncio.get_running_loop()
    stage.primary.stop()
    loop.call_later(LASTS, loop.run_in_executor, None, stage.primary.start)


async def fall_silent(stage: Stage) -> None:
    """Forget the open lines, as a firewall does; new ones work."""
    stage.line.swallow()


async def slow_down(stage: Stage) -> None:
    """Be slow for a while."""
    stage.line.delay = SLOW
    asyncio.get_running_loop().call_later(LASTS, setattr, stage.line, "delay", 0.0)


async def move_on(stage: Stage) -> None:
    """Lead new lines to the primary; the pool's lines lead to a server that only reads."""
    assert stage.other
    stage.line.server = make_url(stage.other.url())


OUTAGES: dict[str, Callable[[Stage], Coroutine[None, None, None]]] = {
    "ended": end_backends,
    "away": go_away,
    "silent": fall_silent,
    "slow": slow_down,
    "read-only": move_on,
}


@dataclass
class Outcome:
    """What became of four users."""

    errors: list[str]
    served: int
    seconds: float

    def __str__(self) -> str:
        took = f"{self.seconds:.1f} s" if self.served == USERS else "never"
        return f"{len(self.errors)}, {took}"


async def suffer(outage: str, settings: str, patience: float = PATIENCE) -> Outcome:
    """Stage an outage for an engine, and see what its users get.

    Args:
        outage: A key of `OUTAGES`.
        settings: A key of `SETTINGS`.
        patience: Seconds after which a user counts as not served.

    Raises:
        PostgresError: There are no binaries of PostgreSQL here.
    """
    async with _open_stage(standby=outage == "read-only") as stage:
        engine = create_async_engine(stage.line.url, pool_size=USERS, **SETTINGS[settings])
        if settings.endswith("25006"):
            event.listen(engine.sync_engine, "handle_error", _renew)
        try:
            await _fill(engine)
            return await _try_to_order(stage, outage, engine, patience)
        finally:
            stage.line.cut()
            await engine.dispose()


async def _try_to_order(stage: Stage, outage: str, engine: AsyncEngine, patience: float) -> Outcome:
    start, errors = monotonic(), list[str]()
    await OUTAGES[outage](stage)
    users = [asyncio.create_task(_order(engine, errors)) for _ in range(USERS)]
    done, waiting = await asyncio.wait(users, timeout=patience)
    outcome = Outcome(list(errors), len(done), monotonic() - start)
    for user in waiting:
        user.cancel()
    stage.line.cut()  # or what waits on a silent line would not end
    await asyncio.gather(*users, return_exceptions=True)
    return outcome


def write_table() -> None:
    """Stage all outages, and write the table that both pages show.

    Raises:
        PostgresError: There are no binaries of PostgreSQL here.
    """
    found = dict[str, dict[str, Outcome]]()
    for settings in SETTINGS:
        click.echo(settings, err=True)
        found[settings] = {outage: asyncio.run(suffer(outage, settings)) for outage in OUTAGES}
    versions = ", ".join(f"{name} {version(name)}" for name in ("SQLAlchemy", "asyncpg"))
    head = f"{Path(__file__).name} {digest(Path(__file__))[:12]}, {datetime.date.today()}"
    table = "\n".join(format_table(found))
    write_sealed(OUTAGES_TABLE, f"{head}\n{versions}, PostgreSQL {MAJOR}\n\n{table}\n")


def format_table(found: dict[str, dict[str, Outcome]]) -> Iterator[str]:
    """A line for each way to make an engine: errors, and seconds until all were served.

    Args:
        found: Outcomes by settings, then by outage.
    """
    yield " " * 16 + "".join(f"{outage:>11}" for outage in OUTAGES)
    for settings, outcomes in found.items():
        yield f"{settings:16}" + "".join(f"{outcomes[outage]!s:>11}" for outage in OUTAGES)


@asynccontextmanager
async def _open_stage(*, standby: bool) -> AsyncIterator[Stage]:
    """The servers, started in a thread so that the event loop goes on."""
    primary = EmbeddedPostgres(MAJOR)
    await asyncio.to_thread(primary.start)
    other = Standby(primary) if standby else None
    try:
        await _tell(primary.url(), "CREATE TABLE orders (drink text)")
        if other:  # the standby is the old primary: the pool fills up there
            await asyncio.to_thread(other.start)
        async with Proxy((other or primary).url()) as line:
            yield Stage(primary, primary if other else None, line)
    finally:
        for server in filter(None, (other, primary)):
            await asyncio.to_thread(server.close)


async def _fill(engine: AsyncEngine) -> None:
    """Have the pool hold a connection for each user, if it takes any from this server."""
    with suppress(InternalError, asyncpg.InternalClientError):  # "None of the hosts match ..."
        for lent in [await engine.connect() for _ in range(USERS)]:
            await lent.close()


async def _order(engine: AsyncEngine, errors: list[str]) -> None:
    """Place an order, again and again until it is placed."""
    while True:
        try:
            async with engine.begin() as connection:
                await connection.execute(ORDER)
            return
        except Exception as error:
            errors.append(type(error).__name__)
        await asyncio.sleep(PAUSE)


async def _tell(url: str, statement: str) -> None:
    engine = create_async_engine(url, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(statement))
    await engine.dispose()


def _renew(context: ExceptionContext) -> None:
    if getattr(context.original_exception, "sqlstate", None) == "25006":
        context.is_disconnect = True
