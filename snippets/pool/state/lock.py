"""An advisory lock over several commits needs a connection of its own.

咨询锁要跨几次提交，得有一个自己的连接。
"""

import asyncio
import os
from contextlib import suppress
from secrets import randbits

from sqlalchemy import NullPool, text
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

URL = os.environ["DATABASE_URL"]
engine = create_async_engine(URL)
async_session = async_sessionmaker(engine)
elsewhere = create_async_engine(URL, poolclass=NullPool)
KEY = {"key": randbits(62)}
LOCK = text("SELECT pg_advisory_lock(:key)")
UNLOCK = text("SELECT pg_advisory_unlock(:key)")
XACT_LOCK = text("SELECT pg_advisory_xact_lock(:key)")
TRY = text("SELECT pg_try_advisory_xact_lock(:key)")
WORK = text("SELECT 'pu-erh'")


async def rival_gets_it() -> bool:
    async with elsewhere.connect() as rival:
        return bool(await rival.scalar(TRY, KEY))


async def main() -> None:
    async with engine.connect(), engine.connect():
        pass  # two connections lie in the pool
    async with async_session() as job:
        await job.execute(LOCK, KEY)
        await job.commit()
        print("unlocked after a commit:", await job.scalar(UNLOCK, KEY))
        #> unlocked after a commit: False
    print("the job is over, a rival gets it:", await rival_gets_it())
    #> the job is over, a rival gets it: False
    await engine.dispose()  # this ends the lock

    async with async_session() as job:
        await job.execute(XACT_LOCK, KEY)
        await job.commit()
        print("xact lock, committed, a rival gets it:", await rival_gets_it())
        #> xact lock, committed, a rival gets it: True

    with suppress(ValueError):
        async with elsewhere.connect() as keeper, async_session() as job:
            await keeper.execution_options(isolation_level="AUTOCOMMIT")
            await keeper.execute(LOCK, KEY)
            for _ in range(2):
                await job.execute(WORK)
                await job.commit()
            print("own connection, a rival gets it:", await rival_gets_it())
            #> own connection, a rival gets it: False
            raise ValueError("the job fails")
    print("the job failed, a rival gets it:", await rival_gets_it())
    #> the job failed, a rival gets it: True
    await engine.dispose()


asyncio.run(main())
