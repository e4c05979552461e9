"""CREATE INDEX CONCURRENTLY in a migration needs an autocommit_block().

迁移里的 CREATE INDEX CONCURRENTLY 要放进 autocommit_block()。
"""

import asyncio
import os
from collections.abc import Callable
from secrets import token_hex

from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

ORDERS, INDEX = f"guide_orders_{token_hex(4)}", f"guide_drink_{token_hex(4)}"
VALID = text(
    f"SELECT indisvalid FROM pg_index WHERE indrelid = '{ORDERS}'::regclass"
)


def in_the_transaction(op: Operations) -> None:
    op.create_index(INDEX, ORDERS, ["drink"], postgresql_concurrently=True)


def in_autocommit(op: Operations) -> None:
    with op.get_context().autocommit_block():
        op.create_index(INDEX, ORDERS, ["drink"], postgresql_concurrently=True)


def migrate(
    connection: Connection, upgrade: Callable[[Operations], None]
) -> None:
    context = MigrationContext.configure(connection)
    with context.begin_transaction():
        upgrade(Operations(context))


async def main() -> None:
    engine = create_async_engine(os.environ["DATABASE_URL"])
    async with engine.begin() as connection:
        await connection.execute(text(f"CREATE TABLE {ORDERS} (drink text)"))
    for upgrade in in_the_transaction, in_autocommit:
        try:
            async with engine.connect() as connection:
                await connection.run_sync(migrate, upgrade)
        except DBAPIError as error:
            print(error.orig)
            #> CREATE INDEX CONCURRENTLY cannot run inside a transaction block
    async with engine.begin() as connection:
        print("valid:", await connection.scalar(VALID))
        #> valid: True
        await connection.execute(text(f"DROP TABLE {ORDERS}"))
    await engine.dispose()


asyncio.run(main())
