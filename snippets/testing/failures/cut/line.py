"""A proxy that cuts the line at a word of the client, or at the answer to it.

一个代理：客户端说到某个词时断线，或者等服务端答复时断线。
"""

import asyncio
import os
from asyncio import StreamReader, StreamWriter

from sqlalchemy import make_url

URL = make_url(os.environ["DATABASE_URL"])


class Line:
    word, loses_answer, cuts = b"", False, 0

    async def admit(self, client: StreamReader, back: StreamWriter) -> None:
        server, there = await asyncio.open_connection(
            URL.host, URL.port or 5432
        )
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
