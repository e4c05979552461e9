"""libpq's words for TLS, given to asyncpg: where each of them fails.

把 libpq 的 TLS 参数交给 asyncpg：每一种错在哪里。
"""

import asyncio
import os

from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import create_async_engine

URL = make_url(os.environ["DATABASE_URL"])
WORDS = (
    ("sslmode", "require"),
    ("sslrootcert", "ca.pem"),
    ("channel_binding", "require"),
    ("ssl", "true"),
)


async def connect(word: str, value: str) -> str:
    engine = create_async_engine(URL.update_query_dict({word: value}))
    try:
        async with engine.connect():
            return "connected"
    except TypeError as error:
        return f"TypeError: {error}"
    except Exception as error:  # asyncpg's own, or since 2.1 SQLAlchemy's
        return str(getattr(error, "orig", error))


async def main() -> None:
    for word, value in WORDS:
        print(f"{word}={value}", await connect(word, value))
        #> sslmode=require TypeError: connect() got an unexpected keyword argument 'sslmode'
        #> sslrootcert=ca.pem TypeError: connect() got an unexpected keyword argument 'sslrootcert'
        #> channel_binding=require TypeError: connect() got an unexpected keyword argument 'channel_binding'
        #> ssl=true `sslmode` parameter must be one of: disable, allow, prefer, require, verify-ca, verify-full


asyncio.run(main())
