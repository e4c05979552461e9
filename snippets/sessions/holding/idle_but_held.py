"""A session can hold a connection that PostgreSQL calls plainly idle.

PostgreSQL 显示 idle 的连接，也可能正被会话占着。
"""

import asyncio
import os
from contextlib import suppress
from secrets import token_hex

from sqlalchemy import AsyncAdaptedQueuePool, NullPool, text
from sqlalchemy.exc import IntegrityError
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
autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
watcher = create_async_engine(URL, poolclass=NullPool)


async def look() -> str:
    query = """SELECT state FROM pg_stat_activity WHERE
        application_name = 'teahouse' AND datname = current_database()"""
    async with watcher.connect() as connection:
        state = await connection.scalar(text(query))
    assert isinstance(engine.pool, AsyncAdaptedQueuePool)
    return f"lent {engine.pool.checkedout()}, server says {state}"


async def main() -> None:
    async with watcher.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with AsyncSession(engine) as session:
        session.add_all([Order(drink="oolong"), Order(drink="oolong")])
        with suppress(IntegrityError):
            await session.flush()
        print("flush() failed:", await look())
        #> flush() failed: lent 1, server says idle
        await session.rollback()
        print("rollback()    :", await look())
        #> rollback()    : lent 0, server says idle
    async with AsyncSession(autocommit) as session:
        await session.execute(text("SELECT 'oolong'"))
        print("AUTOCOMMIT    :", await look())
        #> AUTOCOMMIT    : lent 1, server says idle
    async with watcher.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
