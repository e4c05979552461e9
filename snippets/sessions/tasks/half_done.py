"""On a shared session, one task's commit saves the other task's half.

共用一个会话，一个任务的提交，会把另一个任务没做完的事也存进去。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
ORDERS = f"guide_orders_{token_hex(4)}"


async def run(statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


async def refused(session: AsyncSession, turn: asyncio.Barrier) -> None:
    await session.execute(text(f"INSERT INTO {ORDERS} VALUES ('oolong')"))
    await turn.wait()
    await turn.wait()  # the bank takes its time
    raise LookupError("card refused")


async def paid(session: AsyncSession, turn: asyncio.Barrier) -> None:
    await turn.wait()
    await session.execute(text(f"INSERT INTO {ORDERS} VALUES ('longjing')"))
    await session.commit()
    await turn.wait()


async def saved(one: AsyncSession, other: AsyncSession) -> list[str]:
    await run(f"CREATE TABLE {ORDERS} (drink text)")
    turn = asyncio.Barrier(2)
    async with one, other:
        both = refused(one, turn), paid(other, turn)
        await asyncio.gather(*both, return_exceptions=True)
    async with AsyncSession(engine) as session:
        drinks = await session.scalars(text(f"SELECT drink FROM {ORDERS}"))
    await run(f"DROP TABLE {ORDERS}")
    return sorted(drinks)


async def main() -> None:
    shared = AsyncSession(engine)
    print("one session :", await saved(shared, shared))
    #> one session : ['longjing', 'oolong']
    own = AsyncSession(engine), AsyncSession(engine)
    print("two sessions:", await saved(*own))
    #> two sessions: ['longjing']
    await engine.dispose()


asyncio.run(main())
