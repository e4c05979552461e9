"""A later query does not overwrite an object that the session has.

会话里已有的对象，后来的查询不会覆盖它的值。
"""

import asyncio
import os
from secrets import token_hex

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    pass


class Tin(Base):
    __tablename__ = f"guide_tins_{token_hex(4)}"
    id: Mapped[int] = mapped_column(primary_key=True)
    left: Mapped[int]


engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine, expire_on_commit=False)


async def main() -> None:
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    async with async_session() as session:
        session.add(tin := Tin(left=9))
        await session.commit()

        async with async_session.begin() as another_guest:
            await another_guest.execute(update(Tin).values(left=2))

        await session.scalars(select(Tin))
        print("select:", tin.left)
        #> select: 9
        await session.scalars(select(Tin).with_for_update())
        print("with_for_update:", tin.left)
        #> with_for_update: 9
        anew = {"populate_existing": True}
        await session.scalars(select(Tin).execution_options(**anew))
        print("populate_existing:", tin.left)
        #> populate_existing: 2

    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.drop_all)
    await engine.dispose()


asyncio.run(main())
