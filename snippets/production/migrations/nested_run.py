"""In the event loop command.upgrade() fails; in a thread it runs.

command.upgrade() 在事件循环里报错，放到线程里能跑。
"""

import asyncio
import io
import logging
import os
import warnings
from contextlib import redirect_stdout
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
VERSIONS = f"guide_versions_{token_hex(4)}"
folder = TemporaryDirectory()
config = Config(f"{folder.name}/alembic.ini")
with redirect_stdout(io.StringIO()):
    command.init(config, f"{folder.name}/migrations", template="async")
    command.revision(config, "first")
config.set_main_option("sqlalchemy.url", URL.replace("%", "%%"))
env = Path(folder.name, "migrations/env.py")
own = f"(version_table={VERSIONS!r}, connection="
env.write_text(env.read_text("utf-8").replace("(connection=", own), "utf-8")


async def in_the_loop() -> None:
    command.upgrade(config, "head")


async def in_a_thread() -> None:
    await asyncio.to_thread(command.upgrade, config, "head")


async def main() -> None:
    try:
        await in_the_loop()
    except RuntimeError as error:
        print("in the loop:", error)
        #> in the loop: asyncio.run() cannot be called from a running event loop
    await in_a_thread()
    engine = create_async_engine(URL)
    async with engine.begin() as connection:
        found = f"SELECT count(*) FROM {VERSIONS}"
        print("in a thread, migrated:", await connection.scalar(text(found)))
        #> in a thread, migrated: 1
        await connection.execute(text(f"DROP TABLE {VERSIONS}"))
    await engine.dispose()


warnings.simplefilter("ignore", RuntimeWarning)  # "was never awaited"
logging.disable()
with folder:
    asyncio.run(main())
