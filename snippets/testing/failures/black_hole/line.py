"""A proxy that swallows what the open connections say; new ones work.

一个代理：已打开的连接发什么都没有响应，新连接照常。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter

from sqlalchemy import URL, make_url


class Line:
    url: URL

    def __init__(self) -> None:
        self.server = make_url(os.environ["DATABASE_URL"])
        self.intact: set[StreamWriter] = set()
        self.ends: set[StreamWriter] = set()

    async def admit(self, client: StreamReader, back: StreamWriter) -> None:
        server, there = await reach(self.server)
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


async def reach(url: URL) -> tuple[StreamReader, StreamWriter]:
    host = url.host or str(url.query.get("host", "localhost"))
    port = url.port or 5432
    if host.startswith("/"):  # the folder of a Unix socket
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)
