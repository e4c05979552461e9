"""Without await nothing was sent: there is a coroutine instead of a result.

漏了 await，什么都没有发出去：手里是协程，不是查询结果。
"""

import asyncio
import os
import warnings
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

engine = create_async_engine(os.environ["DATABASE_URL"])
OOLONG = text("SELECT 'oolong'")


async def main() -> None:
    async with AsyncSession(engine) as session:
        with warnings.catch_warnings(record=True, action="always") as caught:
            result: Any = session.execute(OOLONG)
            try:
                print(result.scalar_one())
            except AttributeError as error:
                print(f"{error}")
                #> 'coroutine' object has no attribute 'scalar_one'
            del result  # Python warns when the coroutine goes
        print(caught[0].message)
        #> coroutine 'AsyncSession.execute' was never awaited

        result = await session.execute(OOLONG)
        print("awaited:", result.scalar_one())
        #> awaited: oolong
    await engine.dispose()


asyncio.run(main())
