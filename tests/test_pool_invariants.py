"""What holds for any schedule: no cancellation, error or killed backend costs the pool a slot.

Hypothesis invents evenings in the tea house. Guests order, wait for a slow brew, commit, leave and
fail, each in a session of its own; they are cancelled at any moment, and their backends are killed.
After every step, the pool and PostgreSQL are compared. Everybody is cancelled by asyncio, and once:
what AnyIO cancels runs on at the server, as sessions/cancellation.md tells.
"""

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack
from functools import partial
from itertools import count
from typing import Any, Literal, NamedTuple, get_args

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.configuration import set_hypothesis_home_dir
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import event, text
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.pool import QueuePool

from tools.paths import ROOT

Wish = Literal["order", "brew", "commit", "leave", "fail"]
Moment = Literal["connect", "checkout", "begin", "commit", "rollback", "reset", "checkin", "close"]
"""Events of SQLAlchemy at which a cancellation may strike."""

set_hypothesis_home_dir(ROOT / ".cache" / "hypothesis")
number = count()
seats = st.integers(0, 4)
wishes: st.SearchStrategy[Wish] = st.sampled_from(get_args(Wish))
moments: st.SearchStrategy[Moment] = st.sampled_from(get_args(Moment))


class Guest:
    """A task with a session, which does as it is told."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.pending = 0
        """What it was told and has not done yet."""
        self.borrows = False
        """Has a connection, or waits in the pool's queue for one."""
        self._wishes: asyncio.Queue[Wish] = asyncio.Queue()
        self.task = asyncio.create_task(self._stay(engine))

    def wish(self, wish: Wish) -> None:
        self.pending += 1
        self._wishes.put_nowait(wish)

    async def _stay(self, engine: AsyncEngine) -> None:
        try:
            async with AsyncSession(engine) as session:
                while (wish := await self._wishes.get()) != "leave":
                    await self._fulfil(wish, session)
                    self.pending -= 1
        finally:
            self.pending, self.borrows = 0, False

    async def _fulfil(self, wish: Wish, session: AsyncSession) -> None:
        match wish:
            case "order":
                self.borrows = True
                await session.execute(text("SELECT 'oolong'"))
            case "brew":
                self.borrows = True
                await session.execute(text("SELECT pg_sleep(60)"))
            case "commit":
                await session.commit()
                self.borrows = False
            case "fail":
                raise LookupError

    @property
    def error(self) -> BaseException | None:
        """What ended it, other than its own wish."""
        if not self.task.done() or self.task.cancelled():
            return None
        error = self.task.exception()
        return None if isinstance(error, LookupError) else error


class Backend(NamedTuple):
    """A connection as PostgreSQL sees it."""

    pid: int
    state: str
    brewing: bool


class TeaHouse(RuleBasedStateMachine):
    """An engine and its guests, and what must be true of them after every step."""

    database_url: str
    runner: asyncio.Runner
    patience = 10.0
    """Seconds until what should come about has come about, even on a busy machine."""

    def __init__(self) -> None:
        super().__init__()
        self.seats: dict[int, Guest] = {}
        self.errors: list[BaseException] = []
        self.kills = 0
        self.strike: tuple[Moment, Guest] | None = None
        self.hurried = False
        """Somebody went without a farewell, which PostgreSQL takes a moment to notice."""
        self.broken = False

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.runner.run(work)

    # What may happen. What is drawn does not depend on what happened: so it can be repeated.

    @initialize(pool_size=st.integers(1, 2), overflow=st.integers(0, 2), pre_ping=st.booleans())
    def open(self, pool_size: int, overflow: int, pre_ping: bool) -> None:
        self.pool_size, self.limit = pool_size, pool_size + overflow
        self.name = f"teahouse {next(number)}"
        self.engine = create_async_engine(
            self.database_url,
            pool_size=pool_size,
            max_overflow=overflow,
            pool_timeout=None,
            pool_pre_ping=pre_ping,
            connect_args={"server_settings": {"application_name": self.name}},
        )
        self.watcher = create_async_engine(self.database_url, isolation_level="AUTOCOMMIT")
        for moment in get_args(Moment):
            event.listen(self.engine.sync_engine, moment, partial(self._pass, moment))

    @rule(seat=seats, wish=wishes)
    def wish(self, seat: int, wish: Wish) -> None:
        self.run(self._wish(seat, wish))

    @rule(seat=seats)
    def cancel(self, seat: int) -> None:
        if guest := self.seats.get(seat):
            self.hurried = True
            guest.task.cancel()

    @rule(seat=seats, wish=wishes, moment=moments)
    def cancel_at(self, seat: int, wish: Wish, moment: Moment) -> None:
        self.run(self._wish(seat, wish))
        self.hurried = True
        self.strike = moment, self.seats[seat]

    @rule(seat=seats, wish=wishes, turns=st.integers(0, 300))
    def cancel_after(self, seat: int, wish: Wish, turns: int) -> None:
        async def cancel() -> None:
            await self._wish(seat, wish)
            for _ in range(turns):
                await asyncio.sleep(0)
            self.seats[seat].task.cancel()

        self.hurried = True
        self.run(cancel())

    @rule(nth=st.integers(0, 3))
    def kill(self, nth: int) -> None:
        async def kill() -> None:
            for backend in (await self._backends())[nth:][:1]:
                self.kills += 1
                await self._terminate(backend)

        self.run(kill())

    async def _terminate(self, backend: Backend) -> None:
        async with self.watcher.connect() as connection:
            await connection.execute(text(f"SELECT pg_terminate_backend({backend.pid})"))

    async def _wish(self, seat: int, wish: Wish) -> None:
        if seat not in self.seats:
            self.seats[seat] = Guest(self.engine)
        self.seats[seat].wish(wish)

    def _pass(self, moment: Moment, *_: object) -> None:
        if self.strike and self.strike[0] == moment:
            self.strike[1].task.cancel()
            self.strike = None

    # What must be true

    @invariant()
    def everybody_has_what_they_can_get(self) -> None:
        self.run(self._settle())

    async def _settle(self) -> None:
        deadline = asyncio.get_running_loop().time() + self.patience
        while problem := next(self._problems(backends := await self._backends()), ""):
            too_many = len(backends) > self.limit and not self.hurried
            if too_many or asyncio.get_running_loop().time() > deadline:
                self.broken = True
                TeaHouse.patience = 1.0  # what follows is the search for a shorter example
                raise AssertionError(f"{problem}; {self.engine.pool.status()}")
            await asyncio.sleep(0.002)
        self.hurried = False
        self.strike = None

    def _problems(self, backends: list[Backend]) -> Iterator[str]:
        """What is not right, or not yet."""
        for seat, guest in list(self.seats.items()):
            if guest.task.done():
                del self.seats[seat]
                self.errors += filter(None, [guest.error])
            elif guest.task.cancelling():
                yield f"the guest of seat {seat} was cancelled and is still here"
        guests = self.seats.values()
        borrow = sum(guest.borrows for guest in guests)
        lent = min(borrow, self.limit)
        busy = sum(guest.pending > 0 for guest in guests)
        brewing = sum(backend.brewing for backend in backends)
        in_transaction = sum(backend.state != "idle" for backend in backends)
        assert isinstance(self.engine.pool, QueuePool)
        if len(backends) > self.limit:
            yield f"{len(backends)} backends, {self.limit} allowed"
        if not borrow and len(backends) > self.pool_size:
            yield f"{len(backends)} backends at rest, {self.pool_size} allowed"
        if self.engine.pool.checkedout() != lent:
            yield f"{lent} connections should be out"
        if in_transaction > lent:
            yield f"{in_transaction} backends in a transaction, {lent} connections lent"
        if busy != brewing + borrow - lent:
            yield f"{busy} guests wait, {brewing} for a brew and {borrow - lent} for the pool"
        if len(self.errors) > self.kills:
            yield f"{self.kills} backends were killed, but these were raised: {self.errors}"

    async def _backends(self) -> list[Backend]:
        query = """SELECT pid, state, wait_event IS NOT DISTINCT FROM 'PgSleep'
            FROM pg_stat_activity WHERE application_name = :name ORDER BY backend_start"""
        async with self.watcher.connect() as connection:
            rows = await connection.execute(text(query), {"name": self.name})
            return [Backend(*row) for row in rows]

    def teardown(self) -> None:
        self.run(self._close())

    async def _close(self) -> None:
        """Send everybody home: then every slot can be had, and nothing is left."""
        for guest in self.seats.values():
            guest.task.cancel()
        if not self.broken:
            self.hurried = True
            await self._settle()
            async with AsyncExitStack() as stack, asyncio.timeout(self.patience):
                for _ in range(self.limit):
                    await stack.enter_async_context(self.engine.connect())
            await self._settle()
        await self.engine.dispose()
        left = await self._backends()
        for backend in left:
            await self._terminate(backend)
        await self.watcher.dispose()
        assert self.broken or not left, f"{left} are left of a disposed engine"


def test_no_schedule_costs_the_pool_a_slot(database_url: str) -> None:
    with asyncio.Runner() as runner:
        # asyncpg leaves behind what it learns of connections that were killed.
        runner.get_loop().set_exception_handler(lambda *_: None)
        TeaHouse.database_url, TeaHouse.runner = database_url, runner
        run_state_machine_as_test(
            TeaHouse,
            settings=settings(
                max_examples=40,
                stateful_step_count=25,
                deadline=None,
                database=None,
                phases=[Phase.generate, Phase.shrink],
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
