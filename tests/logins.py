"""What a server that is no PostgreSQL reads of a login."""

import asyncio
import struct

SSL_REQUEST = 80877103
"""The code with which a client asks for TLS, in place of the version of the protocol."""


async def read_login(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Decline TLS, if asked for it, and read who wants to come in."""
    length, code = struct.unpack("!ii", await reader.readexactly(8))
    if code == SSL_REQUEST:
        writer.write(b"N")
        length, _ = struct.unpack("!ii", await reader.readexactly(8))
    await reader.readexactly(length - 8)
