"""What a client leaves on a connection, another client finds there.

客户端在连接上留下的状态，会影响用到这个连接的另一个客户端。
"""

import asyncio
import os
from secrets import randbits, token_hex

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
CURE = {"statement_cache_size": 0, "prepared_statement_cache_size": 0}
NAME, KEY = f"guide_tray_{token_hex(4)}", randbits(62)
LEAVE = [
    "SET statement_timeout = '7s'",
    f"SELECT pg_advisory_lock({KEY})",
    f"LISTEN {NAME}",
    f"CREATE TEMP TABLE {NAME} (tea text)",
]
FIND = {
    "SET": "SHOW statement_timeout",
    "lock": "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
    " AND pid = pg_backend_pid()",
    "LISTEN": "SELECT count(*) FROM pg_listening_channels()",
    "temporary table": f"SELECT count(to_regclass('{NAME}'))",
}
TAKE_AWAY = [
    "RESET statement_timeout",
    f"SELECT pg_advisory_unlock({KEY})",
    f"UNLISTEN {NAME}",
    f"DROP TABLE {NAME}",
]


async def main() -> None:
    engine = create_async_engine(URL, connect_args=CURE)
    async with engine.connect() as first, engine.connect() as second:
        for statement in LEAVE:
            await first.execute(text(statement))
        await first.commit()
        for what, query in FIND.items():
            other = await second.scalar(text(query))
            owner = await first.scalar(text(query))
            print(f"{what}: the other has {other}, its owner {owner}")
            #> SET: the other has 7s, its owner 0
            #> lock: the other has 1, its owner 0
            #> LISTEN: the other has 1, its owner 0
            #> temporary table: the other has 1, its owner 0
        for statement in TAKE_AWAY:
            await second.execute(text(statement))
        await second.commit()
    await engine.dispose()


asyncio.run(main())
