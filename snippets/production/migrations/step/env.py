"""Migrations one process at a time, with a limit on waiting for each lock.

迁移同一时刻只在一个进程里跑，等每把锁都有时限。
"""

import asyncio
import logging
from logging.config import fileConfig
from zlib import crc32

from alembic import context
from sqlalchemy import Connection, NullPool, text
from sqlalchemy.ext.asyncio import create_async_engine

from shop import SCHEMA, SETTINGS, URL, Base

LIMITS = {
    "application_name": "migrations",
    "lock_timeout": "2s",
    "statement_timeout": "0",  # an index takes as long as it takes
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",  # the connection with the lock is idle
}
KEY = crc32(f"migrations of {SCHEMA}".encode())
TRY = text(f"SELECT pg_try_advisory_lock({KEY})")


def migrate(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()


async def main() -> None:
    engine = create_async_engine(
        URL,
        poolclass=NullPool,
        connect_args={"server_settings": SETTINGS | LIMITS},
    )
    keeping = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with keeping.connect() as keeper, engine.connect() as connection:
        while not await keeper.scalar(TRY):
            await asyncio.sleep(1)
        await connection.run_sync(migrate)


if context.config.config_file_name and not logging.getLogger().handlers:
    fileConfig(context.config.config_file_name, disable_existing_loggers=False)
asyncio.run(main())
