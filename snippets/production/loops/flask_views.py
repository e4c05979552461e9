"""Flask runs each async view in a loop of its own: NullPool, or one loop.

Flask 的每个异步视图都在新的事件循环里跑：用 NullPool，或者共用一个循环。
"""

import os

from flask import Flask
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
pooled = create_async_engine(URL)
unpooled = create_async_engine(URL, poolclass=NullPool)
app = Flask(__name__)


async def order(engine: AsyncEngine) -> str:
    try:
        async with engine.connect() as connection:
            return str(await connection.scalar(text("SELECT 'oolong'")))
    except Exception as error:
        return str(error).splitlines()[0].replace(";", "").split("> ")[-1]


@app.get("/pooled")
async def with_pool() -> str:
    return await order(pooled)


@app.get("/unpooled")
async def with_null_pool() -> str:
    return await order(unpooled)


client = app.test_client()
for path in ("/pooled", "/unpooled"):
    for guest in ("first", "second"):
        print(path, guest, client.get(path).text)
        #> /pooled first oolong
        #> /pooled second attached to a different loop
        #> /unpooled first oolong
        #> /unpooled second oolong
