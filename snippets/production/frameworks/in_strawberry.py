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
BACKENDS = "SELECT count(*) FROM pg_stat_activity WHERE application_name"
SIZES = text("SELECT length(tea) FROM unnest(CAST(:teas AS text[])) AS tea")
engine = create_async_engine(URL, connect_args=OPTIONS)
watcher = create_async_engine(URL, poolclass=NullPool)
logging.disable()  # strawberry logs what a resolver raises


@strawberry.type
class Query:
    @strawberry.field
    async def shared(self, info: strawberry.Info, tea: str) -> int:
        return int(await info.context["session"].scalar(SIZES, {"teas": [tea]}))

    @strawberry.field
    async def own(self, tea: str) -> int:
        async with AsyncSession(engine) as session:
            return int(await session.scalar(SIZES, {"teas": [tea]}))

    @strawberry.field
    async def loaded(self, info: strawberry.Info, tea: str) -> int:
        return int(await info.context["sizes"].load(tea))


async def sizes(teas: list[str]) -> list[int]:
    async with AsyncSession(engine) as session:
        return list(await session.scalars(SIZES, {"teas": teas}))


async def ask(field: str) -> str:
    query = f'{{ a: {field}(tea: "oolong") b: {field}(tea: "pu-erh") }}'
    async with AsyncSession(engine) as session:
        context = {"session": session, "sizes": DataLoader(sizes)}
        answer = await schema.execute(query, context_value=context)
    async with watcher.connect() as look:
        backends = await look.scalar(text(f"{BACKENDS} = '{NAME}'"))
    await engine.dispose()
    failed = answer.errors[0].message.split(";")[0] if answer.errors else ""
    return failed or f"{answer.data}, backends {backends}"


schema = strawberry.Schema(Query)
for field in ("shared", "own", "loaded"):
    print(f"{field}: {asyncio.run(ask(field))}")
    #> shared: This session is provisioning a new connection
    #> own: {'a': 6, 'b': 6}, backends 2
    #> loaded: {'a': 6, 'b': 6}, backends 1
