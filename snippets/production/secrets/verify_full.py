"""require without a file checks nothing; a context, who signed and for whom.

require 没有 CA 文件就什么都不查；SSLContext 检查谁签发的、给哪个主机。
"""

import asyncio
import os
import ssl
from asyncio import StreamReader, StreamWriter, create_task
from typing import Any

import trustme
from sqlalchemy import URL, NullPool, make_url
from sqlalchemy.ext.asyncio import create_async_engine

DIRECT = make_url(os.environ["DATABASE_URL"])
authority = trustme.CA()
served = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
authority.issue_cert("localhost").configure_cert(served)


async def serve(reader: StreamReader, writer: StreamWriter) -> None:
    async def forward(source: StreamReader, target: StreamWriter) -> None:
        while data := await source.read(65536):
            target.write(data)
        target.close()

    await reader.readexactly(8)  # SSLRequest
    writer.write(b"S")
    await writer.start_tls(served)
    near, to = await asyncio.open_connection(DIRECT.host, DIRECT.port or 5432)
    await asyncio.gather(forward(reader, to), forward(near, writer))


async def connect(url: URL, **tls: Any) -> str:
    engine = create_async_engine(url, poolclass=NullPool, connect_args=tls)
    try:
        async with engine.connect():
            return "connected"
    except ssl.SSLCertVerificationError as error:
        return error.verify_message


async def main() -> None:
    ours = ssl.create_default_context()  # cafile="ca.pem" in your project
    authority.configure_trust(ours)
    handlers: list[asyncio.Task[None]] = []
    async with await asyncio.start_server(
        lambda *to: handlers.append(create_task(serve(*to))), "127.0.0.1"
    ) as listener:
        port = listener.sockets[0].getsockname()[1]
        pooler = DIRECT.set(host="localhost", port=port)
        print("require:", await connect(pooler, ssl="require"))
        #> require: connected
        print("our authority:", await connect(pooler, ssl=ours))
        #> our authority: connected
        print("address:", await connect(pooler.set(host="127.0.0.1"), ssl=ours))
        #> address: IP address mismatch, certificate is not valid for '127.0.0.1'.
        print("other authority:", await connect(pooler, ssl=True))
        #> other authority: unable to get local issuer certificate
    await asyncio.gather(*handlers, return_exceptions=True)


asyncio.run(main())
