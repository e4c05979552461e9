"""A proxy that cuts the line at a word of the client, or at the answer to it.

一个代理：客户端发出某个词时断线，或者等服务端响应时断线。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter

from sqlalchemy import URL, make_url


class Line:
    word, loses_answer, cuts = b"", False, 0

    def __init__(self) -> None:
        self.server = make_url(os.environ["DATABASE_URL"])

    async def admit(self, client: StreamReader, back: StreamWriter) -> None:
        server, there = await reach(self.server)
        cut = False

        async def answer() -> None:
            while (data := await server.read(65536)) and not cut:
                back.write(data)
            back.transport.abort()

        answering = asyncio.create_task(answer())
        while data := await client.read(65536):
            if self.word and self.word in data:
                self.word, self.cuts, cut = b"", self.cuts + 1, True
                if not self.loses_answer:
                    break
            there.write(data)
        there.close()
        await answering


async def reach(url: URL) -> tuple[StreamReader, StreamWriter]:
    host = url.host or str(url.query.get("host", "localhost"))
    port = url.port or 5432
    if host.startswith("/"):  # the folder of a Unix socket
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)
