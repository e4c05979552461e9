"""An after_begin listener says in each transaction whose rows these are.

after_begin 监听器在每个事务开头都说明是谁的数据。
"""

import asyncio
import os

from sqlalchemy import AsyncAdaptedQueuePool, Connection, event, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import Session, SessionTransaction

engine = create_async_engine(os.environ["DATABASE_URL"])
autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
LU_YU = {"guest": "Lu Yu"}
WHO = text("SELECT current_setting('teahouse.guest', true)")
I_AM = text("SELECT set_config('teahouse.guest', :name, true)")


class GuestSession(Session):
    """A session that knows its guest."""


@event.listens_for(GuestSession, "after_begin")
def say_who(
    session: Session, _: SessionTransaction, connection: Connection
) -> None:
    connection.execute(I_AM, {"name": session.info["guest"]})


async_session = async_sessionmaker(engine, sync_session_class=GuestSession)


async def main() -> None:
    async with async_session(info=LU_YU) as session:
        print("first transaction:", await session.scalar(WHO))
        #> first transaction: Lu Yu
        await session.commit()
        print("second transaction:", await session.scalar(WHO))
        #> second transaction: Lu Yu
    try:
        async with async_session() as session:
            await session.scalar(WHO)
    except KeyError as error:
        print("a session without a guest: KeyError", error)
        #> a session without a guest: KeyError 'guest'
    assert isinstance(engine.pool, AsyncAdaptedQueuePool)
    print("lent afterwards:", engine.pool.checkedout())
    #> lent afterwards: 0
    async with async_session(bind=autocommit, info=LU_YU) as session:
        print("in AUTOCOMMIT:", await session.scalar(WHO) or "nobody")
        #> in AUTOCOMMIT: nobody
    await engine.dispose()


asyncio.run(main())
