"""A refused connection is a plain ConnectionRefusedError on asyncpg.

用 asyncpg 时，连接被拒绝抛出的就是内置的 ConnectionRefusedError。
"""

import asyncio

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import create_async_engine

nobody_listens = "postgresql+asyncpg://tea:secret@127.0.0.1:1/tea"


async def main() -> None:
    engine = create_async_engine(nobody_listens)
    try:
        async with engine.connect():
            pass
    except OSError as error:
        print(type(error).__name__)
        #> ConnectionRefusedError
        print("a SQLAlchemyError:", isinstance(error, SQLAlchemyError))
        #> a SQLAlchemyError: False


asyncio.run(main())
