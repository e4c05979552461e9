"""The recorder: it tells what happened, it looks on unseen, and it says when SQLAlchemy changed."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.util.queue import AsyncAdaptedQueue

from tools.paths import SNIPPETS
from tools.postgres import Server, fresh_database
from tools.proof.drawing import letter
from tools.proof.hooks import find_missing
from tools.proof.joining import join
from tools.proof.recording import MOST_STEPS, Recording, Step
from tools.proof.rerecord import record
from tools.proof.rerun import rerun

HEAD = """
import asyncio
import os
import sys

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

URL = os.environ["DATABASE_URL"]
engine = create_async_engine(URL, pool_size=1, max_overflow=0, pool_pre_ping=True)
watcher = create_async_engine(URL, poolclass=NullPool, isolation_level="AUTOCOMMIT")
KILL = text("SELECT pg_terminate_backend(:pid)")
"""
WATCHED = f"""{HEAD}

async def guest() -> None:
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 'longjing'"))


async def main() -> None:
    async with watcher.connect() as connection:
        await connection.execute(text("SELECT 'nobody sees this'"))
    await asyncio.gather(guest(), guest())
    await engine.dispose()


asyncio.run(main())
"""
KILLED = f"""{HEAD}

async def main() -> None:
    async with engine.connect() as connection:
        pid = await connection.scalar(text("SELECT pg_backend_pid()"))
    async with watcher.connect() as connection:
        await connection.execute(KILL, {{"pid": pid}})
    async with engine.connect() as connection:
        await connection.execute(text("SELECT 'oolong'"))
    await engine.dispose()


asyncio.run(main())
"""
NOTICES = f"""{HEAD}
print("tools.proof.hooks" in sys.modules)
#> False
"""


@pytest.fixture
def snippet(tmp_path: Path) -> Path:
    return tmp_path / "snippet.py"


def follow(snippet: Path, text: str, server: Server) -> Recording:
    """The recording of a program that says what it needs."""
    snippet.write_text(text, "utf-8")
    found = record(snippet, server)
    assert not found.problem
    return found


def events(recording: Recording, *wanted: str) -> list[tuple[str, str]]:
    """Of these events, in order: the event and the letters."""
    return [(s.event, "".join(s.letters)) for s in recording.steps if s.event in wanted]


def test_sqlalchemy_has_all_that_the_recorder_replaces() -> None:
    missing = ", ".join(find_missing())
    assert not missing, (
        f"SQLAlchemy has no {missing} any more: read what does its work now, and let "
        "tools/proof/hooks.py replace that"
    )


def test_who_waits_is_seen_to_wait_until_another_returns(snippet: Path, server: Server) -> None:
    found = follow(snippet, WATCHED, server)
    waits = next(step for step in found.steps if step.event == "wait")
    assert [found.tasks[task] for task in waits.tasks] == ["guest 2"]
    assert waits.pools[0]["waiting"] == waits.tasks
    assert len(waits.pools[0]["lent"]) == 1
    assert found.engines[0]["size"] == 1
    assert {"guest 1", "guest 2"} <= set(found.tasks)
    lines = snippet.read_text("utf-8").splitlines()
    assert "session.execute" in lines[waits.line - 1]


def test_observers_stay_out_of_the_picture(snippet: Path, server: Server) -> None:
    found = follow(snippet, WATCHED, server)
    assert [engine["name"] for engine in found.engines] == ["engine"]
    assert "nobody sees this" not in found.publish()
    assert {backend[0] for step in found.steps for backend in step.backends} == {"A"}


def test_a_connection_whose_line_the_server_cut_is_dead_until_another_takes_its_place(
    snippet: Path, server: Server
) -> None:
    found = follow(snippet, KILLED, server)
    told = events(found, "kill", "invalidate", "close", "open", "checkout")
    assert told.index(("kill", "A")) < len(told) - 1 - told[::-1].index(("checkout", "B"))
    killed = next(step for step in found.steps if step.event == "kill")
    pool = killed.pools[0]
    assert [*pool["free"], *(letter for letter, _ in pool["lent"])] == ["A"]
    assert not killed.backends


def test_a_run_that_notices_the_recorder_is_not_published(snippet: Path, server: Server) -> None:
    snippet.write_text(NOTICES, "utf-8")
    with fresh_database(server.url) as url, rerun(snippet, url) as result:
        assert result.text == NOTICES, "the recorder was there when the snippet was judged"
    found = record(snippet, server)
    assert "the run printed `#> True` here, the file says `#> False`" in found.problem


def keep_overflow() -> None:
    """Let a pool keep all connections that are returned to it."""

    def put(self: Any, item: object, block: bool = True, timeout: float | None = None) -> None:
        self._queue._maxsize = 0
        self._queue.put_nowait(item)

    vars(asyncio)["timeout"] = lambda _, long=asyncio.timeout: long(1)
    setattr(AsyncAdaptedQueue, "put", put)  # noqa: B010


def test_a_pool_that_kept_its_overflow_would_be_seen(server: Server) -> None:
    most = {}
    for change in (None, keep_overflow):
        found = record(SNIPPETS / "pool/size/default.py", server, change)
        most[change] = max(len(step.pools[0]["free"]) for step in found.steps)
        assert bool(found.problem) == bool(change)
    assert most == {None: 5, keep_overflow: 12}


def test_letters_go_on_after_z() -> None:
    assert [letter(at) for at in (0, 25, 26, 51, 52, 702)] == ["A", "Z", "AA", "AZ", "BA", "AAA"]


def step(event: str, task: int, *letters: str, **more: Any) -> Step:
    """A step whose picture is told by its number of tasks."""
    backends = [[letter, "idle", str(task)] for letter in letters]
    return Step(1, event, [task], list(letters), backends=backends, **more)


def test_what_many_tasks_do_at_once_is_one_step() -> None:
    joined = join([step("open", task) for task in range(12)])
    assert [(each.event, each.tasks) for each in joined] == [("open", list(range(12)))]


def test_printed_lines_are_never_joined_and_never_dropped() -> None:
    rounds = [
        step(event, task, "A", text=str(task))
        for task in range(20)
        for event in ("checkout", "sql", "print", "checkin")
    ]
    joined = join(rounds)
    assert len(joined) <= MOST_STEPS
    assert [each.text for each in joined if each.event == "print"] == list(map(str, range(20)))
