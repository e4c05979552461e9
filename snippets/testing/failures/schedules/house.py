"""Guests come, finish and are cancelled; the pool lends as many as are there.

客人来、喝完、被取消；有几位客人，连接池就借出几个连接。
"""

import asyncio
import gc
import os

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.ext.asyncio import create_async_engine

from shop import serve, serve_forgetfully

SIZE = 3
SEATS = st.integers(0, SIZE - 1)


class Guest:
    def __init__(self, house: "House") -> None:
        self.poured, self.drunk = asyncio.Event(), asyncio.Event()
        self.task = asyncio.create_task(house.way(house.engine, self.drink))

    async def drink(self) -> None:
        self.poured.set()
        await self.drunk.wait()


class House(RuleBasedStateMachine):
    way = staticmethod(serve)

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.Runner()
        url = os.environ["DATABASE_URL"]
        self.engine = create_async_engine(url, pool_size=SIZE, max_overflow=0)
        self.seats: dict[int, Guest] = {}
        gc.disable()  # else it may end a leak before that is seen

    @rule(seat=SEATS)
    def come(self, seat: int) -> None:
        async def come() -> None:
            self.seats[seat] = Guest(self)
            await self.seats[seat].poured.wait()

        if seat not in self.seats:
            self.loop.run(come())

    @rule(seat=SEATS)
    def finish(self, seat: int) -> None:
        if guest := self.seats.pop(seat, None):
            guest.drunk.set()
            self.loop.run(asyncio.wait([guest.task]))

    @rule(seat=SEATS)
    def cancel(self, seat: int) -> None:
        if guest := self.seats.pop(seat, None):
            guest.task.cancel()
            self.loop.run(asyncio.wait([guest.task]))

    @invariant()
    def pool_lends_what_guests_hold(self) -> None:
        assert isinstance(self.engine.pool, AsyncAdaptedQueuePool)
        lent, guests = self.engine.pool.checkedout(), len(self.seats)
        assert lent == guests, f"{lent} lent, {guests} guests"

    def teardown(self) -> None:
        for seat in range(SIZE):
            self.cancel(seat)
        gc.enable()
        gc.collect()
        self.loop.run(self.engine.dispose())
        self.loop.close()


class Forgetful(House):
    way = staticmethod(serve_forgetfully)
