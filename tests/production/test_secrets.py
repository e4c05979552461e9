"""What the page on tokens and TLS says beyond what its listings print."""

import asyncio
import contextlib
import os
import ssl
import subprocess
import sys
from asyncio import StreamReader, StreamWriter
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import asyncpg  # type: ignore[import-untyped]
import psycopg
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import URL, create_engine, event, make_url, text
from sqlalchemy.pool import NullPool
from sqlalchemy.util import await_only

from tests.asking import ask
from tests.loading import load_snippet
from tests.pools import MakeEngine, both_drivers, engine_for, with_psycopg
from tools.postgres import EmbeddedPostgres, dsn_of

ASK = text("SELECT 'longjing'")
COMMON_NAME = x509.NameOID.COMMON_NAME
STRICT = "Basic Constraints of CA cert not marked critical|Missing Authority Key Identifier"


@contextlib.asynccontextmanager
async def tls(
    url: URL, authority: trustme.CA | None = None, *files: Path, name: str = "localhost"
) -> AsyncIterator[int]:
    """A port where TLS ends in front of PostgreSQL, with a certificate for this name."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    if authority:
        authority.issue_cert(name).configure_cert(context)
    else:
        context.load_cert_chain(files[0], files[1])

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


@pytest.mark.parametrize("place", ["PGSSLROOTCERT", "HOME"])
async def test_require_checks_the_signature_where_it_finds_a_file(
    place: str,
    make_engine: MakeEngine,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / ".postgresql" / "root.crt"
    file.parent.mkdir()
    trustme.CA().cert_pem.write_to_path(str(file))
    monkeypatch.setenv(place, str(file if place == "PGSSLROOTCERT" else tmp_path))
    url = make_url(database_url)
    async with tls(url, trustme.CA()) as port:
        with pytest.raises(ssl.SSLCertVerificationError, match="unable to get local issuer"):
            await use(make_engine, url.set(host="localhost", port=port), ssl="require")


async def test_left_out_it_is_what_the_environment_says(
    make_engine: MakeEngine, database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, authority, file = make_url(database_url), trustme.CA(), tmp_path / "ca.pem"
    authority.cert_pem.write_to_path(str(file))
    monkeypatch.setenv("PGSSLMODE", "verify-full")
    monkeypatch.setenv("PGSSLROOTCERT", str(file))
    async with tls(url, authority) as port:
        assert await use(make_engine, url.set(host="localhost", port=port)) == "longjing"
        with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
            await use(make_engine, url.set(host="127.0.0.1", port=port))


async def test_a_bare_context_accepts_any_certificate(
    make_engine: MakeEngine, database_url: str
) -> None:
    url = make_url(database_url)
    with pytest.warns(DeprecationWarning, match="deprecated"):
        bare = ssl.SSLContext()
    async with tls(url, trustme.CA()) as port:
        near = url.set(host="127.0.0.1", port=port)
        assert await use(make_engine, near, ssl=bare) == "longjing"


async def test_an_intermediate_certificate_that_is_not_sent_makes_an_unknown_authority(
    make_engine: MakeEngine, database_url: str, tmp_path: Path
) -> None:
    url, authority, context = make_url(database_url), trustme.CA(), ssl.create_default_context()
    authority.configure_trust(context)
    leaf = authority.create_child_ca().issue_cert("localhost")
    files = tmp_path / "leaf.pem", tmp_path / "leaf.key"
    leaf.private_key_pem.write_to_path(str(files[1]))
    alone, whole = leaf.cert_chain_pems[:1], leaf.cert_chain_pems
    for sent, accepted in (alone, False), (whole, True):
        files[0].write_bytes(b"".join(each.bytes() for each in sent))
        async with tls(url, None, *files) as port:
            near = url.set(host="localhost", port=port)
            if accepted:
                assert await use(make_engine, near, ssl=context) == "longjing"
            else:
                with pytest.raises(ssl.SSLCertVerificationError, match="local issuer"):
                    await use(make_engine, near, ssl=context)


async def test_another_name_than_in_the_certificate_is_refused(
    make_engine: MakeEngine, database_url: str
) -> None:
    url, authority = make_url(database_url), trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    words = "Hostname mismatch, certificate is not valid for 'localhost'"
    async with tls(url, authority, name="tea.example") as port:
        with pytest.raises(ssl.SSLCertVerificationError, match=words):
            await use(make_engine, url.set(host="localhost", port=port), ssl=context)


async def test_a_chain_with_its_root_and_a_lone_certificate_are_called_self_signed(
    make_engine: MakeEngine, database_url: str, tmp_path: Path
) -> None:
    url, authority = make_url(database_url), trustme.CA()
    leaf = authority.issue_cert("localhost")
    chain = [*leaf.cert_chain_pems, authority.cert_pem]
    (tmp_path / "chain.pem").write_bytes(b"".join(each.bytes() for each in chain))
    leaf.private_key_pem.write_to_path(str(tmp_path / "chain.key"))
    key = ec.generate_private_key(ec.SECP256R1())
    own = certify(key, key, x509.BasicConstraints(ca=True, path_length=None))
    (tmp_path / "own.pem").write_bytes(own)
    (tmp_path / "own.key").write_bytes(pem_of(key))
    for name, message in ("chain", "self-signed certificate in"), ("own", "self-signed cert"):
        files = tmp_path / f"{name}.pem", tmp_path / f"{name}.key"
        async with tls(url, None, *files) as port:
            near = url.set(host="localhost", port=port)
            with pytest.raises(ssl.SSLCertVerificationError, match=message):
                await use(make_engine, near, ssl=True)
            trusting = ssl.create_default_context(cafile=tmp_path / f"{name}.pem")
            authority.configure_trust(trusting)
            assert await use(make_engine, near, ssl=trusting) == "longjing"


async def test_a_strict_context_refuses_an_authority_that_others_accept(
    make_engine: MakeEngine, database_url: str, tmp_path: Path
) -> None:
    authority, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = certify(authority, authority, x509.BasicConstraints(ca=True, path_length=None))
    leaf = certify(key, authority, x509.BasicConstraints(ca=False, path_length=None))
    file, served, secret = (tmp_path / name for name in ("ca.pem", "own.pem", "own.key"))
    for path, content in (file, issuer), (served, leaf), (secret, pem_of(key)):
        path.write_bytes(content)
    url, context = make_url(database_url), ssl.create_default_context(cafile=file)
    assert bool(context.verify_flags & ssl.VERIFY_X509_STRICT) == (sys.version_info >= (3, 13))
    async with tls(url, None, served, secret) as port:
        near = url.set(host="localhost", port=port)
        context.verify_flags |= ssl.VERIFY_X509_STRICT
        with pytest.raises(ssl.SSLCertVerificationError, match=STRICT):
            await use(make_engine, near, ssl=context)
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        assert await use(make_engine, near, ssl=context) == "longjing"


def certify(
    key: ec.EllipticCurvePrivateKey,
    by: ec.EllipticCurvePrivateKey,
    constraints: x509.BasicConstraints,
) -> bytes:
    """A certificate for `localhost`, as an authority makes it that leaves out `critical`."""
    names = ("authority" if each is by else "localhost" for each in (key, by))
    subject, issuer = (x509.Name([x509.NameAttribute(COMMON_NAME, name)]) for name in names)
    now, hosts = datetime.now(UTC), x509.SubjectAlternativeName([x509.DNSName("localhost")])
    return (
        x509.CertificateBuilder(issuer, subject, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(hosts, critical=False)
        .add_extension(constraints, critical=False)
        .sign(by, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def pem_of(key: ec.EllipticCurvePrivateKey) -> bytes:
    """A key, as a server's file has it."""
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


async def test_a_token_goes_in_as_it_is(make_engine: MakeEngine) -> None:
    token = "host:5432/?Action=connect&X-Amz-Credential=a%2Fb"
    with EmbeddedPostgres() as server:
        await ask(server.url(), f"CREATE ROLE guest LOGIN PASSWORD '{token}'")
        url = make_url(server.url()).set(username="guest")
        assert await use(make_engine, url, password=lambda: token) == "longjing"
        with pytest.raises(Exception, match="password authentication failed"):
            await use(make_engine, url, password=lambda: quote_plus(token))


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


HOMELESS = """
import asyncio, os, ssl, sys
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine


async def ask(**options: object) -> None:
    engine = create_async_engine(sys.argv[1], connect_args=options)
    try:
        async with engine.connect() as connection:
            print(await connection.scalar(text("SELECT 'longjing'")))
    except OSError as error:
        print(type(error).__name__, error)
    await engine.dispose()


async def main() -> None:
    await ask(ssl=False)
    if os.geteuid() == 0:
        os.seteuid(65534)  # all is imported by now
    await ask()
    await ask(ssl=ssl.create_default_context())


asyncio.run(main())
"""


def test_a_home_that_is_another_users_is_a_permission_error(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700 if os.geteuid() == 0 else 0)
    with EmbeddedPostgres() as server:
        ran = subprocess.run(
            [sys.executable, "-c", HOMELESS, server.url()],
            env=os.environ | {"HOME": str(home)},
            capture_output=True,
            encoding="utf-8",
            check=False,
        )
    home.chmod(0o700)
    assert ran.stdout.splitlines() == [
        "longjing",
        f"PermissionError [Errno 13] Permission denied: '{home}/.postgresql/postgresql.key'",
        f'ConnectionError PostgreSQL server at "127.0.0.1:{server.port}" rejected SSL upgrade',
    ], ran.stderr


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


def test_a_kept_token_belongs_to_one_event_loop(database_url: str) -> None:
    class_of_token = load_snippet("production/secrets/cached.py", database_url)["Token"]

    async def fetch() -> str:
        await asyncio.sleep(0)
        return make_url(database_url).password or ""

    token = class_of_token(fetch, seconds=0)

    async def burst() -> list[object]:
        return list(await asyncio.gather(*(token() for _ in range(3)), return_exceptions=True))

    assert asyncio.run(burst()) == [make_url(database_url).password] * 3
    first, *others = asyncio.run(burst())
    assert first == make_url(database_url).password
    assert all("is bound to a different event loop" in str(each) for each in others)


async def test_a_token_that_fails_is_asked_for_by_each_that_waits(database_url: str) -> None:
    asked = list[str]()

    async def fetch() -> str:
        asked.append("token")
        await asyncio.sleep(0)
        raise OSError("the service is down")

    token = load_snippet("production/secrets/cached.py", database_url)["Token"](fetch, seconds=60)
    await asyncio.gather(*(token() for _ in range(3)), return_exceptions=True)
    assert len(asked) == 3


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
    async def connect() -> Any:
        return await psycopg.AsyncConnection.connect(dsn_of(database_url))

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


@both_drivers
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


@pytest.mark.parametrize(
    ("driver", "way"),
    [("asyncpg", "password"), ("asyncpg", "do_connect"), ("psycopg", "do_connect")],
)
async def test_a_token_from_a_thread_leaves_the_event_loop_free(
    make_engine: MakeEngine, database_url: str, driver: str, way: str
) -> None:
    loop = asyncio.get_running_loop()

    async def answer() -> str:
        return make_url(database_url).password or "any"

    def sign() -> str:
        """Wait for a task of the loop, in vain if the loop waits for this."""
        return asyncio.run_coroutine_threadsafe(answer(), loop).result(20)

    async def token() -> str:
        return await asyncio.to_thread(sign)

    bare = make_url(database_url).set(password=None)
    words = {"connect_args": {"password": token}} if way == "password" else {}
    engine = engine_for(make_engine, bare, driver, **words)
    if way == "do_connect":

        @event.listens_for(engine.sync_engine, "do_connect")
        def listen(dialect: Any, record: Any, args: Any, words: dict[str, Any]) -> None:
            words["password"] = await_only(asyncio.to_thread(sign))

    async with engine.connect() as connection:
        assert await connection.scalar(ASK) == "longjing"


async def test_an_engine_does_not_show_its_password() -> None:
    engine = create_engine("postgresql+psycopg://tea:secret@db.example/tea")
    event.listen(engine, "do_connect", lambda *_: None)
    assert "secret" not in f"{engine!r} {engine.url} {engine.url!r}"
    assert "secret" in str(make_url("postgresql+asyncpg://tea@db.example/tea?password=secret"))
