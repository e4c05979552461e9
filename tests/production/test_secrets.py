"""What the page on tokens and TLS says beyond what its listings print."""

import asyncio
import contextlib
import ssl
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
import trustme
from sqlalchemy import URL, create_engine, event, make_url, text
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from tests.pools import MakeEngine, engine_for, with_psycopg
from tools.postgres import EmbeddedPostgres

ASK = text("SELECT 'longjing'")


@contextlib.asynccontextmanager
async def tls(url: URL, authority: trustme.CA) -> AsyncIterator[int]:
    """A port where TLS ends in front of PostgreSQL, with a certificate for `localhost`."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("localhost").configure_cert(context)

    async def forward(source: StreamReader, target: StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                target.write(data)
        target.close()

    async def serve(reader: StreamReader, writer: StreamWriter) -> None:
        await reader.readexactly(8)
        writer.write(b"S")
        try:
            await writer.start_tls(context)
        except OSError:
            writer.close()
            return
        upstream = await asyncio.open_connection(url.host, url.port)
        await asyncio.gather(forward(reader, upstream[1]), forward(upstream[0], writer))

    async with asyncio.TaskGroup() as tasks:
        listener = await asyncio.start_server(
            lambda *pair: tasks.create_task(serve(*pair)), "127.0.0.1", 0
        )
        try:
            yield listener.sockets[0].getsockname()[1]
        finally:
            listener.close()


async def use(make_engine: MakeEngine, url: URL, **connect_args: object) -> object:
    engine = make_engine(url, poolclass=NullPool, connect_args=connect_args)
    async with engine.connect() as connection:
        return await connection.scalar(ASK)


# Which words of asyncpg check the certificate


@pytest.mark.parametrize("word", [None, "prefer", "require"])
async def test_these_accept_any_certificate(
    word: str | None, make_engine: MakeEngine, database_url: str
) -> None:
    url = make_url(database_url)
    async with tls(url, trustme.CA()) as port:
        near = url.set(host="127.0.0.1", port=port)  # for which the certificate is not
        found = await use(make_engine, near, **({"ssl": word} if word else {}))
    assert found == "longjing"


async def test_true_checks_certificate_and_host(make_engine: MakeEngine, database_url: str) -> None:
    url = make_url(database_url)
    async with tls(url, trustme.CA()) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
            await use(make_engine, url.set(host="localhost", port=port), ssl=True)


@pytest.mark.parametrize("word", ["verify-ca", "verify-full"])
async def test_words_that_check_want_a_file_in_the_home_folder(
    word: str,
    make_engine: MakeEngine,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    url, authority = make_url(database_url), trustme.CA()
    with pytest.raises(Exception, match=r"root\.crt"):
        await use(make_engine, url, ssl=word)
    folder = tmp_path / ".postgresql"
    folder.mkdir()
    authority.cert_pem.write_to_path(str(folder / "root.crt"))
    async with tls(url, authority) as port:
        assert await use(make_engine, url.set(host="localhost", port=port), ssl=word) == "longjing"
        other = url.set(host="127.0.0.1", port=port)
        if word == "verify-ca":
            assert await use(make_engine, other, ssl=word) == "longjing"
        else:
            with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
                await use(make_engine, other, ssl=word)


async def test_require_to_a_server_without_tls_is_refused_and_prefer_goes_on_in_the_clear(
    make_engine: MakeEngine,
) -> None:
    with EmbeddedPostgres() as server:
        url = make_url(server.url())
        with pytest.raises(ConnectionError, match="rejected SSL upgrade"):
            await use(make_engine, url, ssl="require")
        assert await use(make_engine, url, ssl="prefer") == "longjing"
        assert await use(make_engine, url) == "longjing"


async def test_psycopg_takes_libpqs_words_in_the_url(
    make_engine: MakeEngine, database_url: str, tmp_path: Path
) -> None:
    url, authority = make_url(database_url), trustme.CA()
    file = tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    words = {"sslmode": "verify-full", "sslrootcert": str(file), "channel_binding": "prefer"}
    async with tls(url, authority) as port:
        near = with_psycopg(url.set(host="localhost", port=port)).update_query_dict(words)
        assert await use(make_engine, near) == "longjing"
        with pytest.raises(Exception, match="does not match host name"):
            await use(make_engine, near.set(host="127.0.0.1"))


# Tokens


async def test_async_creator_leaves_the_url_and_connect_args_unread(
    make_engine: MakeEngine, database_url: str
) -> None:
    place = make_url(database_url).translate_connect_args(username="user")

    async def connect() -> Any:
        return await asyncpg.connect(**place)

    engine = make_engine(
        "postgresql+asyncpg://nowhere/none",
        async_creator=connect,
        connect_args={"server_settings": {"application_name": "shop"}},
    )
    async with engine.connect() as connection:
        assert await connection.scalar(text("SHOW application_name")) != "shop"


async def test_async_creator_makes_connections_of_psycopg_too(
    make_engine: MakeEngine, database_url: str
) -> None:
    conninfo = make_url(database_url).set(drivername="postgresql")

    async def connect() -> Any:
        return await psycopg.AsyncConnection.connect(conninfo.render_as_string(False))

    engine = make_engine("postgresql+psycopg://", async_creator=connect)
    async with engine.connect() as connection:
        assert await connection.scalar(ASK) == "longjing"


async def test_a_password_function_on_psycopg_is_no_password(
    make_engine: MakeEngine, database_url: str
) -> None:
    async def token() -> str:
        return make_url(database_url).password or ""

    with pytest.raises(Exception, match="password authentication failed"):
        await use(make_engine, with_psycopg(database_url).set(password=None), password=token)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
async def test_a_do_connect_listener_awaits_by_await_only(
    database_url: str, make_engine: MakeEngine, driver: str
) -> None:
    async def fetch() -> str:
        await asyncio.sleep(0)
        return str(make_url(database_url).password)

    def give(dialect: object, record: object, args: object, words: dict[str, object]) -> None:
        words["password"] = await_only(fetch())

    bare = make_url(database_url).set(password=None)
    engine = engine_for(make_engine, bare, driver)
    event.listen(engine.sync_engine, "do_connect", give)
    async with engine.connect() as connection:
        assert await connection.scalar(ASK) == "longjing"


async def test_an_engine_does_not_show_its_password() -> None:
    engine = create_engine("postgresql+psycopg://tea:secret@db.example/tea")
    event.listen(engine, "do_connect", lambda *_: None)
    assert "secret" not in f"{engine!r} {engine.url} {engine.url!r}"
