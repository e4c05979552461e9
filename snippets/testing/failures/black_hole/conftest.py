"""A proxy that swallows what the open connections say; new ones work.

一个代理：已打开的连接说什么都没有回音，新连接照常。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator

import pytest_asyncio
from sqlalchemy import URL, make_url

SERVER = make_url(os.environ["DATABASE_URL"])


class Hole:
    url: URL

    def __init__(self) -> None:
        self.intact: set[StreamWriter] = set()
        self.ends: set[StreamWriter] = set()

    async def admit(self, client: StreamReader, back: StreamWriter) -> None:
        server, there = await asyncio.open_connection(
            SERVER.host, SERVER.port or 5432
        )
        self.intact |= {back, there}
        self.ends |= {back, there}

        async def pass_on(source: StreamReader, target: StreamWriter) -> None:
            while data := await source.read(65536):
                if target in self.intact:
                    target.write(data)
            target.close()

        await asyncio.gather(pass_on(client, there), pass_on(server, back))

    def swallow(self) -> None:
        self.intact.clear()


@pytest_asyncio.fixture
async def hole() -> AsyncIterator[Hole]:
    hole = Hole()
    listener = await asyncio.start_server(hole.admit, "127.0.0.1", 0)
    host, port = listener.sockets[0].getsockname()
    hole.url = SERVER.set(host=host, port=port)
    yield hole
    for end in hole.ends:
        end.close()
    listener.close()
