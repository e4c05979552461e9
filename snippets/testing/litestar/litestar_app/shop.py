"""A Litestar application whose session dependency takes its factory from the state.

一个 Litestar 应用：会话依赖从 app.state 里取会话工厂。
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from litestar import Litestar, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency, Provide
from litestar.params import FromQuery
from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import (
    AsyncSession,
    async_sessionmaker,
    create_async_engine,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    tea: Mapped[str]


@asynccontextmanager
async def database(app: Litestar) -> AsyncIterator[None]:
    app.state.engine = create_async_engine(os.environ["DATABASE_URL"])
    app.state.sessions = async_sessionmaker(app.state.engine)
    yield
    await app.state.engine.dispose()


async def get_session(state: State) -> AsyncIterator[AsyncSession]:
    async with state.sessions() as session:
        yield session


Session = NamedDependency[AsyncSession]


@post("/orders")
async def order(tea: FromQuery[str], session: Session) -> None:
    session.add(Order(tea=tea))
    await session.commit()


@get("/orders")
async def count(session: Session) -> int:
    return await session.scalar(select(func.count(Order.id))) or 0


app = Litestar(
    [order, count],
    dependencies={"session": Provide(get_session)},
    lifespan=[database],
)
