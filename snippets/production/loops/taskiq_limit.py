"""A task queue that runs more tasks at once than the pool lends loses some.

任务队列同时跑的任务比连接池能借的还多，就会有任务失败。
"""

import asyncio
import logging
import os
from collections import Counter
from collections.abc import AsyncGenerator

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from taskiq import AsyncBroker, BrokerMessage
from taskiq.api import run_receiver_task
from taskiq.brokers.inmemory_broker import InmemoryResultBackend

logging.getLogger("taskiq").setLevel(logging.CRITICAL)
engine = create_async_engine(
    os.environ["DATABASE_URL"], pool_size=5, max_overflow=0, pool_timeout=0.2
)


class Broker(AsyncBroker):
    queue = asyncio.Queue[bytes]()

    async def kick(self, message: BrokerMessage) -> None:
        await self.queue.put(message.message)

    async def listen(self) -> AsyncGenerator[bytes, None]:
        while True:
            yield await self.queue.get()


broker = Broker().with_result_backend(InmemoryResultBackend())


@broker.task
async def brew() -> None:
    async with AsyncSession(engine) as session:
        await session.execute(text("SELECT 'oolong', pg_sleep(1)"))


async def main() -> None:
    await broker.startup()
    for at_once in (100, 5):
        worker = run_receiver_task(broker, max_async_tasks=at_once)
        working = asyncio.create_task(worker)
        sent = [await brew.kiq() for _ in range(12)]
        results = [await task.wait_result() for task in sent]
        failed = Counter(type(each.error).__name__ for each in results)
        done = failed.pop("NoneType")
        print(f"{at_once} at once: {done} done,", dict(failed))
        #> 100 at once: 5 done, {'TimeoutError': 7}
        #> 5 at once: 12 done, {}
        working.cancel()
        await asyncio.wait([working])
    await broker.shutdown()
    await engine.dispose()


asyncio.run(main())
