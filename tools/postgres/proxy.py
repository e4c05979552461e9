"""A TCP proxy before PostgreSQL: it cuts its lines, holds, swallows, delays and counts."""

import asyncio
import struct
from asyncio import StreamReader, StreamWriter
from collections.abc import Callable
from contextlib import suppress
from socket import SO_LINGER, SOL_SOCKET
from typing import Literal, Self

from sqlalchemy import URL, make_url

Side = Literal["client", "server"]
RESET = struct.pack("ii", 1, 0)


class Proxy:
    """A way to a server: `async with Proxy(url) as proxy`, and connect to `proxy.url`.

    Args:
        server: Where new lines lead; a database URL with host and port.
    """

    def __init__(self, server: str | URL) -> None:
        self.server = make_url(server)
        self.accepts = True
        """Whether a new line is let in; else it is cut at once."""
        self.delay = 0.0
        """Seconds that passing on takes, in each direction."""
        self.flows = asyncio.Event()
        """Nothing is passed on while this is cleared."""
        self.flows.set()
        self.edit: Callable[[Side, bytes], bytes] = lambda side, data: data
        """What is passed on of what a side has said; it may cut the lines as well."""
        self.turns: list[Side] = []
        """Who spoke; a round trip is a turn of the client."""
        self.clients: set[StreamWriter] = set()
        """The clients' ends of the open lines."""
        self._writers: set[StreamWriter] = set()
        self._swallowed: set[StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        host, port = self._listener.sockets[0].getsockname()
        self.url = self.server.set(host=host, port=port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for writer in self._writers:
            writer.close()
        await asyncio.sleep(0)  # in which their sockets are closed

    def swallow(self) -> None:
        """From now on pass nothing on, on the lines that are open; new ones work."""
        self._swallowed |= self._writers

    def cut(self, *, reset: bool = False) -> None:
        """End the lines that are open: with a FIN, or an RST. The server gets what was sent."""
        for writer in self.clients:
            if reset:
                writer.get_extra_info("socket").setsockopt(SOL_SOCKET, SO_LINGER, RESET)
            writer.transport.abort()
        self.clients.clear()

    def _accept(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._tasks.add(asyncio.create_task(self._serve(reader, writer)))

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        try:
            if not self.accepts:
                raise ConnectionRefusedError
            source, target = await asyncio.open_connection(self.server.host, self.server.port)
        except OSError:
            writer.transport.abort()
            return
        self.clients.add(writer)
        self._writers |= {writer, target}
        await asyncio.gather(
            self._pass_on("client", reader, target), self._pass_on("server", source, writer)
        )

    async def _pass_on(self, side: Side, source: StreamReader, target: StreamWriter) -> None:
        later = asyncio.get_running_loop().call_later
        with suppress(OSError):
            while data := await source.read(65536):
                if self.turns[-1:] != [side]:
                    self.turns.append(side)
                await self.flows.wait()
                if target not in self._swallowed and (data := self.edit(side, data)):
                    later(self.delay, target.write, data)
        later(self.delay, target.close)
