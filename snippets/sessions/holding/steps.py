"""A session holds a connection from the first SQL to the transaction's end.

会话从第一条 SQL 起占着一个连接，到事务结束为止。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import AsyncAdaptedQueuePool, NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    drink: Mapped[str] = mapped_column(primary_key=True)


URL = os.environ["DATABASE_URL"]
NAME = {"server_settings": {"application_name": "teahouse"}}
engine = create_async_engine(URL, connect_args=NAME)
watcher = create_async_engine(URL, poolclass=NullPool)


async def look(session: AsyncSession) -> str:
    query = """SELECT state FROM pg_stat_activity
        WHERE application_name = 'teahouse'
        AND datname = current_database()"""
    async with watcher.connect() as connection:
        state = await connection.scalar(text(query))
    assert isinstance(engine.pool, AsyncAdaptedQueuePool)
    held = f"lent {engine.pool.checkedout()}, server says {state}"
    return f"{held}, in_transaction() {session.in_transaction()}"


async def main() -> None:
    async with watcher.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        print("opened  :", await look(session))
        #> opened  : lent 0, server says None, in_transaction() False
        session.add(Order(drink="longjing"))
        print("add()   :", await look(session))
        #> add()   : lent 0, server says None, in_transaction() True
        await session.flush()
        print("flush() :", await look(session))
        #> flush() : lent 1, server says idle in transaction, in_transaction() True
        await session.commit()
        print("commit():", await look(session))
        #> commit(): lent 0, server says idle, in_transaction() False
        await session.execute(text("SELECT 'oolong'"))
        print("SELECT  :", await look(session))
        #> SELECT  : lent 1, server says idle in transaction, in_transaction() True
    print("left    :", await look(session))
    #> left    : lent 0, server says idle, in_transaction() False
    async with watcher.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
