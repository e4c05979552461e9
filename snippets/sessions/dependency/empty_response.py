"""Returned without a response model, an expired object becomes `200 {}`.

没有响应模型时，过期的对象直接返回，客户端收到的是 200 {}。
"""

import asyncio
import os
from secrets import token_hex

import httpx
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = f"guide_orders_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    drink: Mapped[str]


engine = create_async_engine(os.environ["DATABASE_URL"])
app = FastAPI()


@app.post("/orders", response_model=None)
async def place(expire: bool) -> Order:
    async with AsyncSession(engine, expire_on_commit=expire) as session:
        order = Order(drink="longjing")
        session.add(order)
        await session.commit()
        return order


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    web = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=web, base_url="http://t") as client:
        for expire in (True, False):
            answer = await client.post(f"/orders?expire={expire}")
            print(f"expire_on_commit={expire}: {answer} {answer.text}")
            #> expire_on_commit=True: <Response [200 OK]> {}
            #> expire_on_commit=False: <Response [200 OK]> {"drink":"longjing","id":2}
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
