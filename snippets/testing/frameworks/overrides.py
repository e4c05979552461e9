"""An override replaces a dependency, not a factory that code calls by its name.

override 换掉的是依赖，代码里直接按名字用的会话工厂它换不掉。
"""

import asyncio
import os
from typing import Annotated

from fastapi import Depends, FastAPI
from httpx import ASGITransport, AsyncClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)

PID = text("SELECT pg_backend_pid()")
Factory = async_sessionmaker[AsyncSession]
engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
app = FastAPI()


def get_factory() -> Factory:
    return async_session


Made = Annotated[Factory, Depends(get_factory)]


@app.get("/depends")
async def depends(factory: Made) -> int:
    async with factory() as session:
        return await session.scalar(PID) or 0


@app.get("/by_name")
async def by_name() -> int:
    async with async_session() as session:
        return await session.scalar(PID) or 0


async def main() -> None:
    transport = ASGITransport(app)
    async with (
        AsyncClient(transport=transport, base_url="http://shop") as client,
        engine.connect() as connection,
    ):
        of_the_test = await connection.scalar(PID)
        ours = async_sessionmaker(connection)
        app.dependency_overrides[get_factory] = lambda: ours
        for path in ("/depends", "/by_name"):
            used = (await client.get(path)).json()
            print(path, "the test's connection:", used == of_the_test)
            #> /depends the test's connection: True
            #> /by_name the test's connection: False
    await engine.dispose()


asyncio.run(main())
