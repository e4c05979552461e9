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

ONE_AT_A_TIME = text("SELECT pg_try_advisory_lock(hashtext('teahouse'))")
NAME = {"application_name": "teahouse-migrations", "lock_timeout": "2s"}
SERVER = {**NAME, "statement_timeout": "0", "idle_session_timeout": "0"}


def run_migrations(connection: Connection) -> None:
    models = Base.metadata
    context.configure(
        connection, target_metadata=models, transaction_per_migration=True
    )
    with context.begin_transaction():
        context.run_migrations()


async def gets_its_locks(engine: AsyncEngine) -> bool:
    guard = engine.execution_options(isolation_level="AUTOCOMMIT")
    try:
        async with guard.connect() as one, engine.connect() as connection:
            if await one.scalar(ONE_AT_A_TIME):  # kept through all commits
                await connection.run_sync(run_migrations)
                return True
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != "55P03":  # no lock
            raise
    return False


async def migrate() -> None:
    url, server = read_settings().url, {"server_settings": SERVER}
    engine = create_async_engine(url, poolclass=NullPool, connect_args=server)
    while not await gets_its_locks(engine):
        logging.info("somebody holds a lock")  # meanwhile, queries run
        await asyncio.sleep(2)


if connection := context.config.attributes.get("connection"):
    run_migrations(connection)  # a test's own
else:
    logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
    asyncio.run(migrate())
