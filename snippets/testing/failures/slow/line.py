"""A proxy that passes everything on, later.

一个代理：什么都转发，只是晚一些。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter

from sqlalchemy import make_url

URL = make_url(os.environ["DATABASE_URL"])


class Line:
    delay = 0.0

    async def admit(self, client: StreamReader, back: StreamWriter) -> None:
        server, there = await asyncio.open_connection(
            URL.host, URL.port or 5432
        )
        later = asyncio.get_running_loop().call_later

        async def pass_on(source: StreamReader, target: StreamWriter) -> None:
            while data := await source.read(65536):
                later(self.delay, target.write, data)
            target.close()

        await asyncio.gather(pass_on(client, there), pass_on(server, back))
