"""What the page on a request's connection claims beyond the lines that its snippets print."""

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from fastapi import (
    BackgroundTasks,
    Depends,
    FastAPI,
    HTTPException,
    Request,
    Response,
    WebSocket,
)
from fastapi.responses import FileResponse, StreamingResponse
from fastapi.sse import EventSourceResponse
from sqlalchemy import text
from sqlalchemy.ext.asyncio import (
    AsyncEngine,
    AsyncSession,
    async_scoped_session,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.pools import checked_out
from tests.report import require_on
from tests.serving import serving
from tests.waiting import DEADLINE, eventually
from tools.paths import SNIPPETS
from tools.proof.snippets import OUTPUT

PAGE = "sessions/request"
SELECT = text("SELECT 'oolong'")
FOLDER = SNIPPETS / "sessions" / "request"
CallNext = Callable[[Request], Awaitable[Response]]


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


@pytest.fixture
async def engine(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = create_async_engine(database_url, pool_timeout=0.2)
    gc.disable()  # a leak must be found by the test, not by the collector
    yield engine
    gc.enable()
    await engine.dispose()


class Sessions:
    """The usual dependency, which remembers the sessions it made and closes what leaked."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.made: list[AsyncSession] = []

    async def yielded(self) -> AsyncIterator[AsyncSession]:
        async with AsyncSession(self.engine) as session:
            self.made.append(session)
            yield session

    async def returned(self) -> AsyncSession:
        async with AsyncSession(self.engine) as session:
            self.made.append(session)
            return session


@pytest.fixture
async def sessions(engine: AsyncEngine) -> AsyncIterator[Sessions]:
    sessions = Sessions(engine)
    yield sessions
    for session in sessions.made:
        await session.close()


def test_the_page_names_the_versions_that_ran() -> None:
    require_on(PAGE, f"FastAPI {version('fastapi')}")
    require_on(PAGE, f"uvicorn {version('uvicorn')}")


# The record of older versions


def recorded(name: str) -> dict[str, list[str]]:
    """What each version printed, by its number."""
    _, *parts = (FOLDER / name).read_text("utf-8").split("\n\nFastAPI ")
    found = ((part.splitlines()[0], part.splitlines()[1:]) for part in parts)
    return {version: lines for versions, lines in found for version in versions.split(", ")}


def printed(name: str) -> list[str]:
    """The lines in a snippet, which the FastAPI of this environment printed."""
    lines = (FOLDER / name).read_text("utf-8").splitlines()
    return [OUTPUT.sub("", line) for line in lines if OUTPUT.match(line)]


def test_the_connection_came_back_before_the_response_from_0_106_to_0_117() -> None:
    said, today = recorded("after_yield.txt"), printed("after_yield.py")
    assert said["0.105.0"] == said["0.118.0"] == today
    assert said["0.106.0"] == said["0.117.1"]
    assert said["0.106.0"][0] == "response: idle" != today[0]


def test_scope_came_with_0_121() -> None:
    said = recorded("background.txt")
    [refusal] = said["0.120.4"]
    require_on(PAGE, refusal)
    assert said["0.121.0"] == printed("background.py")


@pytest.mark.parametrize(("reason", "lent"), [(None, 1), (404, 0)])
async def test_after_an_exception_the_dependency_ends_before_the_response(
    engine: AsyncEngine, sessions: Sessions, reason: int | None, lent: int
) -> None:
    app, seen = FastAPI(), list[int]()

    class Look:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            async def look(message: Message) -> None:
                if message["type"] == "http.response.start":
                    seen.append(checked_out(engine))
                await send(message)

            await self.app(scope, receive, look)

    app.add_middleware(Look)

    @app.get("/")
    async def pour(session: Annotated[AsyncSession, Depends(sessions.yielded)]) -> None:
        await session.execute(SELECT)
        if reason:
            raise HTTPException(reason)

    async with serving(app) as client:
        assert (await client.get("/")).status_code == (reason or 200)
    assert seen == [lent]


@pytest.mark.parametrize(("scope", "status"), [("request", 200), ("function", 500)])
async def test_a_commit_after_yield_that_fails_is_seen_by_the_client_in_the_shorter_scope(
    engine: AsyncEngine, scope: Literal["function", "request"], status: int
) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE tray (id int UNIQUE DEFERRABLE)"))

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session
            await session.commit()

    app = FastAPI()

    @app.get("/")
    async def pour(
        session: Annotated[AsyncSession, Depends(get_session, scope=scope)],
    ) -> None:
        await session.execute(text("SET CONSTRAINTS ALL DEFERRED"))
        await session.execute(text("INSERT INTO tray VALUES (1), (1)"))

    async with serving(app) as client:
        assert (await client.get("/")).status_code == status


async def test_a_background_task_that_raises_skips_the_commit_after_yield(
    engine: AsyncEngine,
) -> None:
    ended: list[str] = []

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            try:
                yield session
            except LookupError:
                ended.append("skipped")
                raise
            await session.commit()
            ended.append("committed")

    async def fail() -> None:
        raise LookupError("out of oolong")

    app = FastAPI()

    @app.get("/")
    async def pour(
        session: Annotated[AsyncSession, Depends(get_session)], background: BackgroundTasks
    ) -> None:
        await session.execute(SELECT)
        background.add_task(fail)

    async with serving(app) as client:
        assert (await client.get("/")).status_code == 200
        await eventually("the dependency has ended", lambda: ended)
    assert ended == ["skipped"]


async def test_a_file_holds_the_connection_until_the_client_has_it(
    engine: AsyncEngine, sessions: Sessions, tmp_path: Path
) -> None:
    file = tmp_path / "menu"
    file.write_bytes(bytes(30_000_000))  # more than the sockets hold
    app = FastAPI()

    @app.get("/")
    async def pour(session: Annotated[AsyncSession, Depends(sessions.yielded)]) -> FileResponse:
        await session.execute(SELECT)
        return FileResponse(file)

    async with serving(app) as client:
        async with client.stream("GET", "/") as response:
            assert checked_out(engine) == 1
            await response.aread()
        await eventually("the connection is back", lambda: checked_out(engine) == 0)


# Streams


def streaming(sessions: Sessions, until: asyncio.Event) -> FastAPI:
    """Every kind of long answer, each of them with one query before it begins."""
    app = FastAPI()
    Session = Annotated[AsyncSession, Depends(sessions.yielded)]

    @app.get("/sse", response_class=EventSourceResponse)
    async def sse(session: Session) -> AsyncIterator[str]:
        await session.execute(SELECT)
        yield "oolong"
        await until.wait()

    @app.websocket("/websocket")
    async def websocket(socket: WebSocket, session: Session) -> None:
        await session.execute(SELECT)
        await socket.accept()
        await until.wait()

    return app


async def test_server_sent_events_hold_the_connection(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    ended = asyncio.Event()
    async with (
        serving(streaming(sessions, ended)) as client,
        client.stream("GET", "/sse") as response,
    ):
        pieces = response.aiter_lines()
        assert "oolong" in await anext(pieces)
        assert checked_out(engine) == 1
        ended.set()
    assert checked_out(engine) == 0


async def test_a_websocket_holds_the_connection(engine: AsyncEngine, sessions: Sessions) -> None:
    ended, accepted = asyncio.Event(), asyncio.Event()

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    async def send(message: Message) -> None:
        if message["type"] == "websocket.accept":
            accepted.set()

    scope: Scope = {
        "type": "websocket", "path": "/websocket", "headers": [], "query_string": b"",
        "subprotocols": [],
    }  # fmt: skip
    connected = asyncio.create_task(streaming(sessions, ended)(scope, receive, send))
    await accepted.wait()
    assert checked_out(engine) == 1
    ended.set()
    await connected
    assert checked_out(engine) == 0


@pytest.mark.parametrize(
    ("commit", "keep", "left_out", "read"),
    [(False, True, 1, "oolong"), (True, True, 0, "oolong"), (True, False, 0, "longjing")],
)
async def test_between_two_messages_a_commit_frees_the_connection_and_a_kept_object_stays_old(
    engine: AsyncEngine, commit: bool, keep: bool, left_out: int, read: str
) -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    sessions = async_sessionmaker(engine, expire_on_commit=False)
    async with sessions.begin() as session:
        session.add(Order(id=1, drink="oolong"))

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with sessions() as session:
            yield session

    app = FastAPI()
    kept: list[Order] = []
    seen: list[tuple[str, int]] = []

    @app.websocket("/")
    async def talk(
        socket: WebSocket, session: Annotated[AsyncSession, Depends(get_session, scope="function")]
    ) -> None:
        await socket.accept()
        async for _ in socket.iter_text():
            order = await session.get_one(Order, 1)
            if keep:
                kept.append(order)
            if commit:
                await session.commit()
            seen.append((order.drink, checked_out(engine)))
            del order
            async with sessions.begin() as another:
                (await another.get_one(Order, 1)).drink = "longjing"

    await ask_twice(app)
    assert seen == [("oolong", left_out), (read, left_out)]
    assert checked_out(engine) == 0


async def ask_twice(app: FastAPI) -> None:
    """Open a WebSocket, say something twice, and go."""
    said: Iterator[Message] = iter([
        {"type": "websocket.connect"},
        *[{"type": "websocket.receive", "text": "how is my order?"}] * 2,
        {"type": "websocket.disconnect", "code": 1000},
    ])  # fmt: skip

    async def receive() -> Message:
        return next(said)

    async def send(message: Message) -> None:
        pass

    call: Scope = {"type": "websocket", "path": "/", "headers": [], "query_string": b""}
    await app(call, receive, send)


async def test_between_two_pieces_with_short_sessions_the_connection_is_back(
    engine: AsyncEngine,
) -> None:
    app = FastAPI()
    seen: list[int] = []

    @app.get("/")
    async def pour() -> StreamingResponse:
        async def brew() -> AsyncIterator[str]:
            for _ in range(2):
                async with AsyncSession(engine) as session:
                    drink = str(await session.scalar(SELECT))
                seen.append(checked_out(engine))
                yield drink

        return StreamingResponse(brew())

    async with serving(app) as client:
        assert (await client.get("/")).text == "oolongoolong"
    assert seen == [0, 0]


async def test_a_client_that_leaves_a_stream_has_its_half_committed(engine: AsyncEngine) -> None:
    app = FastAPI()
    happened: list[str] = []

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            yield session
            await session.commit()
            happened.append("committed")

    @app.get("/")
    async def pour(session: Annotated[AsyncSession, Depends(get_session)]) -> StreamingResponse:
        async def brew() -> AsyncIterator[str]:
            await session.execute(SELECT)
            yield "oolong"
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                happened.append("cancelled")
                raise

        return StreamingResponse(brew())

    async with serving(app) as client:
        async with client.stream("GET", "/") as response:
            pieces = response.aiter_text()
            assert await anext(pieces) == "oolong"
        await eventually("two things have happened", lambda: len(happened) == 2)
    assert happened == ["cancelled", "committed"]
    assert checked_out(engine) == 0


@pytest.mark.parametrize(
    ("announced", "seen"),
    [
        ("2.3", ["cancelled", "committed"]),
        ("2.4", ["went on", "ClientDisconnect"]),
    ],
)
async def test_under_asgi_2_4_the_dependency_of_a_stream_hears_that_the_client_has_left(
    engine: AsyncEngine, announced: str, seen: list[str]
) -> None:
    app = FastAPI()
    happened: list[str] = []
    begun, left = asyncio.Event(), asyncio.Event()

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            try:
                yield session
            except ClientDisconnect as error:
                happened.append(type(error).__name__)
                raise
            await session.commit()
            happened.append("committed")

    @app.get("/")
    async def pour(session: Annotated[AsyncSession, Depends(get_session)]) -> StreamingResponse:
        async def brew() -> AsyncIterator[str]:
            yield str(await session.scalar(SELECT))
            begun.set()
            try:
                await left.wait()
                if announced == "2.3":
                    await asyncio.Event().wait()
            except asyncio.CancelledError:
                happened.append("cancelled")
                raise
            happened.append("went on")
            yield "the second half"

        return StreamingResponse(brew())

    await leave_halfway(app, announced, begun, left)
    assert happened == seen
    assert checked_out(engine) == 0


async def leave_halfway(
    app: FastAPI, announced: str, begun: asyncio.Event, left: asyncio.Event
) -> None:
    """Ask as a server does that announces a version of ASGI, and whose client leaves.

    The client leaves once the stream has begun; `left` is set when it has its first half.
    """
    asked = asyncio.Event()

    async def receive() -> Message:
        if not asked.is_set():
            asked.set()
            return {"type": "http.request"}
        await begun.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message.get("body") == b"the second half":
            raise OSError("the client has left")
        if message.get("body"):
            left.set()

    call: Scope = {
        "type": "http", "method": "GET", "path": "/", "headers": [], "query_string": b"",
        "asgi": {"version": "3.0", "spec_version": announced},
    }  # fmt: skip
    async with asyncio.timeout(DEADLINE):
        with suppress(ClientDisconnect):
            await app(call, receive, send)


async def test_an_endpoint_runs_on_when_its_client_has_left(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    app = FastAPI()
    arrived, left = asyncio.Event(), asyncio.Event()
    happened: list[str] = []

    @app.get("/")
    async def pour(
        session: Annotated[AsyncSession, Depends(sessions.yielded)], request: Request
    ) -> None:
        await session.execute(SELECT)
        arrived.set()
        await left.wait()
        while not await request.is_disconnected():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        happened.append("ended")

    async with serving(app) as client:
        asking = asyncio.create_task(client.get("/"))
        await arrived.wait()
        asking.cancel()
        await asyncio.wait([asking])
        assert checked_out(engine) == 1
        left.set()
        await eventually("the stream has ended", lambda: happened == ["ended"])
    assert checked_out(engine) == 0


# Used after the dependency has ended


@pytest.mark.parametrize(
    ("way", "scope", "left_out"),
    [
        ("endpoint", "function", 0),
        ("stream", "request", 0),
        ("stream", "function", 1),
        ("yield", "request", 0),
        ("yield", "function", 1),
    ],
)
async def test_a_stream_that_uses_a_session_of_the_function_leaks(
    engine: AsyncEngine,
    sessions: Sessions,
    way: str,
    scope: Literal["function", "request"],
    left_out: int,
) -> None:
    app = FastAPI()
    Session = Annotated[AsyncSession, Depends(sessions.yielded, scope=scope)]

    @app.get("/endpoint")
    async def endpoint(session: Session) -> str:
        return str(await session.scalar(SELECT))

    @app.get("/stream")
    async def stream(session: Session) -> StreamingResponse:
        async def brew() -> AsyncIterator[str]:
            yield str(await session.scalar(SELECT))

        return StreamingResponse(brew())

    @app.get("/yield", response_class=StreamingResponse)
    async def generator(session: Session) -> AsyncIterator[str]:
        yield str(await session.scalar(SELECT))

    async with serving(app) as client:
        assert "oolong" in (await client.get(f"/{way}")).text
    assert checked_out(engine) == left_out


@pytest.mark.parametrize(("commit", "left_out"), [(False, 1), (True, 0)])
async def test_a_background_task_that_commits_returns_the_connection(
    engine: AsyncEngine, sessions: Sessions, commit: bool, left_out: int
) -> None:
    app = FastAPI()

    async def note(session: AsyncSession) -> None:
        await session.execute(SELECT)
        if commit:
            await session.commit()

    @app.get("/")
    async def pour(
        session: Annotated[AsyncSession, Depends(sessions.yielded, scope="function")],
        background: BackgroundTasks,
    ) -> None:
        background.add_task(note, session)

    async with serving(app) as client:
        await client.get("/")
    assert checked_out(engine) == left_out


async def test_a_dependency_that_returns_its_session_leaks(
    engine: AsyncEngine, sessions: Sessions
) -> None:
    app = FastAPI()

    @app.get("/")
    async def pour(session: Annotated[AsyncSession, Depends(sessions.returned)]) -> str:
        return str(await session.scalar(SELECT))

    async with serving(app) as client:
        assert (await client.get("/")).json() == "oolong"
    assert checked_out(engine) == 1


# Middleware


@pytest.mark.parametrize(
    ("middleware", "status", "begun"),
    [("answers", 401, 0), ("raises", 500, 0), ("raises afterwards", 500, 1)],
)
async def test_a_middleware_that_answers_or_raises_leaves_no_session_open(
    engine: AsyncEngine, middleware: str, status: int, begun: int
) -> None:
    app = FastAPI()
    entered, ended = [], []

    async def get_session() -> AsyncIterator[AsyncSession]:
        entered.append(1)
        try:
            async with AsyncSession(engine) as session:
                yield session
        finally:
            ended.append(1)

    @app.middleware("http")
    async def sign_in(request: Request, call_next: CallNext) -> Response:
        if middleware == "answers":
            return Response(status_code=401)
        if middleware == "raises":
            raise PermissionError
        await call_next(request)
        raise PermissionError

    @app.get("/")
    async def pour(session: Annotated[AsyncSession, Depends(get_session)]) -> str:
        return str(await session.scalar(SELECT))

    async with serving(app) as client:
        assert (await client.get("/")).status_code == status
    assert (len(entered), len(ended)) == (begun, begun)
    assert checked_out(engine) == 0


@pytest.mark.parametrize(
    ("scope", "committed"), [("request", ["CancelledError"]), ("function", ["committed"])]
)
async def test_a_middleware_that_raises_afterwards_skips_the_commit_after_yield(
    engine: AsyncEngine, scope: Literal["request", "function"], committed: list[str]
) -> None:
    app, seen = FastAPI(), list[str]()

    async def get_session() -> AsyncIterator[AsyncSession]:
        async with AsyncSession(engine) as session:
            try:
                yield session
            except BaseException as error:
                seen.append(type(error).__name__)
                raise
            await session.commit()
            seen.append("committed")

    @app.middleware("http")
    async def count(request: Request, call_next: CallNext) -> Response:
        await call_next(request)
        raise PermissionError

    @app.get("/")
    async def pour(session: Annotated[AsyncSession, Depends(get_session, scope=scope)]) -> str:
        return str(await session.scalar(SELECT))

    async with serving(app) as client:
        assert (await client.get("/")).status_code == 500
    assert seen == committed
    assert checked_out(engine) == 0


async def test_a_stream_leaks_the_session_of_a_middleware(engine: AsyncEngine) -> None:
    app = FastAPI()
    made: list[AsyncSession] = []
    closed = asyncio.Event()

    @app.middleware("http")
    async def session_for_all(request: Request, call_next: CallNext) -> Response:
        async with AsyncSession(engine) as session:
            made.append(session)
            response = await call_next(request)
        closed.set()
        return response

    @app.get("/")
    async def pour() -> StreamingResponse:
        async def brew() -> AsyncIterator[str]:
            await closed.wait()
            yield str(await made[0].scalar(SELECT))

        return StreamingResponse(brew())

    async with serving(app) as client:
        assert (await client.get("/")).text == "oolong"
    assert checked_out(engine) == 1
    await made[0].close()


Scoped = async_scoped_session[AsyncSession]


def with_decorator(app: FastAPI, session: Scoped) -> None:
    @app.middleware("http")
    async def remove(request: Request, call_next: CallNext) -> Response:
        try:
            return await call_next(request)
        finally:
            await session.remove()


def with_class(app: FastAPI, session: Scoped) -> None:
    class Remove:
        def __init__(self, app: ASGIApp) -> None:
            self.app = app

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            try:
                await self.app(scope, receive, send)
            finally:
                await session.remove()

    app.add_middleware(Remove)


def with_class_around_another(app: FastAPI, session: Scoped) -> None:
    @app.middleware("http")
    async def another(request: Request, call_next: CallNext) -> Response:
        return await call_next(request)

    with_class(app, session)


@pytest.mark.parametrize(
    ("middleware", "statuses", "left_out"),
    [
        (with_decorator, [200] * 15 + [500], 15),
        (with_class, [200] * 16, 0),
        (with_class_around_another, [200] * 15 + [500], 15),
    ],
)
async def test_remove_in_a_middleware_works_only_in_the_task_of_the_endpoint(
    engine: AsyncEngine, middleware: Any, statuses: list[int], left_out: int
) -> None:
    app = FastAPI()
    session = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
    middleware(app, session)

    @app.get("/")
    async def pour() -> None:
        await session.execute(SELECT)

    async with serving(app) as client:
        assert [(await client.get("/")).status_code for _ in range(16)] == statuses
    gc.collect()
    assert checked_out(engine) == left_out
    for left in session.registry.registry.values():
        await left.close()


async def test_a_request_that_commits_leaves_its_session_behind_without_a_connection(
    engine: AsyncEngine,
) -> None:
    app = FastAPI()
    session = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
    with_decorator(app, session)

    @app.get("/")
    async def pour() -> None:
        await session.execute(SELECT)
        await session.commit()

    async with serving(app) as client:
        for _ in range(2):
            await client.get("/")
    assert (len(session.registry.registry), checked_out(engine)) == (2, 0)


async def test_a_stream_has_a_task_of_its_own_where_remove_does_not_find_its_session(
    engine: AsyncEngine,
) -> None:
    app = FastAPI()
    session = async_scoped_session(async_sessionmaker(engine), scopefunc=asyncio.current_task)
    with_class(app, session)

    @app.get("/")
    async def pour() -> StreamingResponse:
        async def brew() -> AsyncIterator[str]:
            yield str(await session.scalar(SELECT))

        return StreamingResponse(brew())

    async with serving(app) as client:
        assert (await client.get("/")).text == "oolong"
    assert checked_out(engine) == 1
    for left in session.registry.registry.values():
        await left.close()
