"""With StaticPool two sessions share one transaction: an order is lost.

用 StaticPool，两个会话共用一个事务，丢了一张订单。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.pool import StaticPool

engine = create_async_engine(os.environ["DATABASE_URL"], poolclass=StaticPool)
async_session = async_sessionmaker(engine)
ORDERS = text("SELECT drink FROM orders")


async def main() -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text("CREATE TEMPORARY TABLE orders (drink text)")
        )

    async with async_session() as guest:
        await guest.execute(text("INSERT INTO orders VALUES ('longjing')"))
        async with async_session() as visitor:  # in another task, say
            seen = (await visitor.scalars(ORDERS)).all()
            print("seen by a visitor before the commit:", seen)
            #> seen by a visitor before the commit: ['longjing']
        await guest.commit()
        print("the guest's transaction after it:", guest.in_transaction())
        #> the guest's transaction after it: False

    async with engine.begin() as connection:
        print("saved:", (await connection.scalars(ORDERS)).all())
        #> saved: []
    await engine.dispose()


asyncio.run(main())
