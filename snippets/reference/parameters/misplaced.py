"""A pool argument goes to `create_async_engine`, spelled right, if it fits.

连接池的参数要拼对，要写给 `create_async_engine`，还要是这种池认得的。
"""

import asyncio
import os
from typing import Any

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

URL = make_url(os.environ["DATABASE_URL"])
IN_URL = URL.update_query_dict({"pool_size": "5"})
ATTEMPTS: list[tuple[str, dict[str, Any]]] = [
    ("misspelled", {"url": URL, "poolsize": 5}),
    ("not of this pool", {"url": URL, "poolclass": NullPool, "pool_size": 5}),
    ("in connect_args", {"url": URL, "connect_args": {"pool_size": 5}}),
    ("in the URL", {"url": IN_URL}),
]


async def main() -> None:
    for what, arguments in ATTEMPTS:
        when = "creating the engine"
        try:
            engine = create_async_engine(**arguments)
            when = "connecting"
            async with engine.connect():
                pass
        except TypeError as error:
            print(f"{what}, {when}:", str(error).split(", using")[0])
            #> misspelled, creating the engine: Invalid argument(s) 'poolsize' sent to create_engine()
            #> not of this pool, creating the engine: Invalid argument(s) 'pool_size' sent to create_engine()
            #> in connect_args, connecting: connect() got an unexpected keyword argument 'pool_size'
            #> in the URL, connecting: connect() got an unexpected keyword argument 'pool_size'


asyncio.run(main())
