"""A proxy that passes everything on, later.

一个代理：什么都转发，只是晚一些。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter

from sqlalchemy import URL, make_url


class Line:
    delay = 0.0

    def __init__(self) -> None:
        self.server = make_url(os.environ["DATABASE_URL"])

    async def admit(self, client: StreamReader, back: StreamWriter) -> None:
        server, there = await reach(self.server)
        later = asyncio.get_running_loop().call_later

        async def pass_on(source: StreamReader, target: StreamWriter) -> None:
            while data := await source.read(65536):
                later(self.delay, target.write, data)
            target.close()

        await asyncio.gather(pass_on(client, there), pass_on(server, back))


async def reach(url: URL) -> tuple[StreamReader, StreamWriter]:
    host = url.host or str(url.query.get("host", "localhost"))
    port = url.port or 5432
    if host.startswith("/"):  # the folder of a Unix socket
        return await asyncio.open_unix_connection(f"{host}/.s.PGSQL.{port}")
    return await asyncio.open_connection(host, port)
