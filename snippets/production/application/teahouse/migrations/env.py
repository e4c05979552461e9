"""Migrations run in a step of their own, one at a time, and wait for no lock for long.

迁移单独执行，同一时间只有一个，并且等锁不会太久。
"""

import asyncio
import logging

from alembic import context
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from teahouse.models import Base
from teahouse.settings import read_settings

TAKE = text("SELECT pg_try_advisory_lock(hashtext('teahouse migrations'))")
LOCK_NOT_AVAILABLE = "55P03"


def run_migrations(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def try_again(engine: AsyncEngine) -> None:
    for pause in (1, 2, 4, 8, 0):
        try:
            async with engine.connect() as connection:
                return await connection.run_sync(run_migrations)
        except DBAPIError as error:
            sqlstate = getattr(error.orig, "sqlstate", None)
            if sqlstate != LOCK_NOT_AVAILABLE or not pause:
                raise
        await asyncio.sleep(pause)  # the queries that queued run now


async def migrate() -> None:
    server = {"application_name": "teahouse-migrations", "lock_timeout": "2s"}
    engine = create_async_engine(
        read_settings().url,
        poolclass=NullPool,
        connect_args={"server_settings": server},
    )
    own = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with own.connect() as holder:  # it outlives the migrations' commits
        while not await holder.scalar(TAKE):
            await asyncio.sleep(1)
        await try_again(engine)


if connection := context.config.attributes.get("connection"):
    run_migrations(connection)  # a test's own
else:
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
    asyncio.run(migrate())
