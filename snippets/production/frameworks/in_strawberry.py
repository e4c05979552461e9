"""Resolvers run at once: a session for each, or one for all by a DataLoader.

resolver 是同时跑的：每个开一个会话，或者用 DataLoader 合成一个。
"""

import asyncio
import logging
import os

import strawberry
from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from strawberry.dataloader import DataLoader

URL, NAME = os.environ["DATABASE_URL"], f"guide_{os.urandom(4).hex()}"
OPTIONS = {"server_settings": {"application_name": NAME}}
BACKENDS = text(
    f"SELECT count(*) FROM pg_stat_activity WHERE application_name = '{NAME}'"
)
SIZES = text("SELECT length(tea) FROM unnest(CAST(:teas AS text[])) AS tea")
engine = create_async_engine(URL, connect_args=OPTIONS)
watcher = create_async_engine(URL, poolclass=NullPool)
logging.disable()  # strawberry logs what a resolver raises


async def sizes(teas: list[str]) -> list[int]:
    async with AsyncSession(engine) as session:
        return list(await session.scalars(SIZES, {"teas": teas}))


@strawberry.type
class Query:
    @strawberry.field
    async def shared(self, info: strawberry.Info, tea: str) -> int:
        return int(await info.context["session"].scalar(SIZES, {"teas": [tea]}))

    @strawberry.field
    async def own(self, tea: str) -> int:
        return (await sizes([tea]))[0]

    @strawberry.field
    async def loaded(self, info: strawberry.Info, tea: str) -> int:
        return int(await info.context["sizes"].load(tea))


async def main() -> None:
    schema = strawberry.Schema(Query)
    for field in ("shared", "own", "loaded"):
        query = f'{{ a: {field}(tea: "oolong") b: {field}(tea: "pu-erh") }}'
        async with AsyncSession(engine) as session, watcher.connect() as look:
            context = {"session": session, "sizes": DataLoader(sizes)}
            answer = await schema.execute(query, context_value=context)
            for error in answer.errors or ():
                print(f"{field}: {error.message.split(';')[0]}")
                #> shared: This session is provisioning a new connection
            if answer.data:
                print(field, answer.data, await look.scalar(BACKENDS), "used")
                #> own {'a': 6, 'b': 6} 2 used
                #> loaded {'a': 6, 'b': 6} 1 used
        await engine.dispose()


asyncio.run(main())
