"""Guests come, finish and are cancelled; the pool lends what those who are served hold.

客人来、喝完、被取消；连接池借出的，始终等于在座客人手里的。
"""

import asyncio
import gc
import os
from contextlib import suppress

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from sqlalchemy import AsyncAdaptedQueuePool
from sqlalchemy.ext.asyncio import create_async_engine

from shop import serve, serve_forgetfully

SIZE = 2


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
        self.guests: list[Guest] = []
        gc.disable()  # else it may end a leak before that is seen

    @rule()
    def come(self) -> None:
        async def come() -> None:
            self.guests.append(Guest(self))

        self.loop.run(come())

    @rule(number=st.integers(0, SIZE - 1))
    def pay(self, number: int) -> None:
        for guest in self.guests[number : number + 1]:
            guest.drunk.set()
            self.leave(guest)

    @rule(number=st.integers(0, 3))
    def cancel(self, number: int) -> None:
        for guest in self.guests[number : number + 1]:
            guest.task.cancel()
            self.leave(guest)

    def leave(self, guest: Guest) -> None:
        self.guests.remove(guest)
        self.loop.run(asyncio.wait([guest.task]))

    @invariant()
    def pool_lends_what_guests_hold(self) -> None:
        async def settle() -> None:
            with suppress(TimeoutError):  # he waits for what is lost
                async with asyncio.timeout(5):
                    for guest in self.guests[:SIZE]:
                        await guest.poured.wait()

        self.loop.run(settle())
        assert isinstance(self.engine.pool, AsyncAdaptedQueuePool)
        lent = self.engine.pool.checkedout()
        served = sum(guest.poured.is_set() for guest in self.guests)
        assert lent == served, f"{lent} lent, {served} served"

    def teardown(self) -> None:
        while self.guests:
            self.cancel(0)
        gc.enable()
        gc.collect()
        self.loop.run(self.engine.dispose())
        self.loop.close()


class Forgetful(House):
    way = staticmethod(serve_forgetfully)
