"""A TaskGroup on one session reports its errors as an ExceptionGroup.

TaskGroup 里共用一个会话，错误打包成 ExceptionGroup 抛出来。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.exc import InvalidRequestError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
async_session = async_sessionmaker(engine)
SELECT = text("SELECT 'oolong'")


async def main() -> None:
    async with async_session() as session:
        try:
            async with asyncio.TaskGroup() as tasks:
                first = tasks.create_task(session.execute(SELECT))
                tasks.create_task(session.execute(SELECT))
                tasks.create_task(session.execute(SELECT))
        except ExceptionGroup as group:
            print(group.message, len(group.exceptions))
            #> unhandled errors in a TaskGroup 2
            ours = group.subgroup(InvalidRequestError)
            print(str(ours and ours.exceptions[0]).split(";")[0])
            #> This session is provisioning a new connection
        print("first task cancelled:", first.cancelled())
        #> first task cancelled: True
    await engine.dispose()


asyncio.run(main())
