"""Claim a row, commit, then call: two callers, one payment, nothing held.

先认领这一行，提交，再去调用：两个人抢，只付一次款，等的时候什么都不占。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import AsyncAdaptedQueuePool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(
    os.environ["DATABASE_URL"], isolation_level="READ COMMITTED"
)
both = asyncio.Barrier(2)
ORDERS = f"guide_orders_{token_hex(4)}"
MOVE = text(f"""UPDATE {ORDERS} SET state = :after
    WHERE drink = 'oolong' AND state = :before RETURNING drink""")


async def move(session: AsyncSession, before: str, after: str) -> bool:
    moved = await session.scalar(MOVE, {"before": before, "after": after})
    await session.commit()
    return moved is not None


async def pay() -> str:
    async with AsyncSession(engine) as session:
        claimed = await move(session, "new", "paying")
        await both.wait()
        assert isinstance(engine.pool, AsyncAdaptedQueuePool)
        lent = engine.pool.checkedout()
        await both.wait()  # the bank thinks
        if claimed and await move(session, "paying", "paid"):
            return f"paid; connections held meanwhile: {lent}"
        return "already taken"


async def run(*statements: str) -> None:
    async with engine.begin() as connection:
        for statement in statements:
            await connection.execute(text(statement))


async def main() -> None:
    await run(
        f"CREATE TABLE {ORDERS} (drink text, state text)",
        f"INSERT INTO {ORDERS} VALUES ('oolong', 'new')",
    )
    for result in sorted(await asyncio.gather(pay(), pay())):
        print(result)
        #> already taken
        #> paid; connections held meanwhile: 0
    await run(f"DROP TABLE {ORDERS}")
    await engine.dispose()


asyncio.run(main())
