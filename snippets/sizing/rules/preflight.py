"""Ask the server, before you deploy, whether the slots that you need are free.

发布之前先问服务端，要用的名额是不是还空着。
"""

import asyncio
import os
import sys

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

PROCESSES, POOL_SIZE, MAX_OVERFLOW = 2, 5, 5  # yours
LIMITS = text("""
    WITH used AS (
        SELECT datname, usename FROM pg_stat_activity
        WHERE datname IS NOT NULL AND pid <> pg_backend_pid()
          AND coalesce(backend_type, 'client backend') = 'client backend'
    )
    SELECT 'server' AS whose, (SELECT count(*) FROM used) AS used,
           current_setting('max_connections')::int
           - current_setting('superuser_reserved_connections')::int
           - coalesce(current_setting('reserved_connections', true), '0')::int
           AS slots
    UNION ALL
    SELECT 'database', (SELECT count(*) FROM used WHERE datname = d.datname),
           datconnlimit
    FROM pg_database d WHERE datname = current_database() AND datconnlimit >= 0
    UNION ALL
    SELECT 'role', (SELECT count(*) FROM used WHERE usename = rolname),
           rolconnlimit
    FROM pg_roles WHERE rolname = current_user AND rolconnlimit >= 0
""")


async def main() -> None:
    engine = create_async_engine(os.environ["DATABASE_URL"], poolclass=NullPool)
    async with engine.connect() as connection:
        limits = (await connection.execute(LIMITS)).all()
    tight = min(limits, key=lambda limit: limit.slots - limit.used)
    free = tight.slots - tight.used
    wanted = PROCESSES * (POOL_SIZE + MAX_OVERFLOW)
    if wanted > free:
        has = f"{tight.whose} has {tight.slots} slots, {tight.used} in use"
        sys.exit(f"{wanted} wanted, {free} free: the {has}")
    print(f"{PROCESSES} x ({POOL_SIZE} + {MAX_OVERFLOW}) = {wanted}: they fit")
    #> 2 x (5 + 5) = 20: they fit


asyncio.run(main())
