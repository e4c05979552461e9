"""SQL before context.configure() has the whole migration rolled back.

在 context.configure() 之前执行 SQL，整个迁移会被悄悄回滚。
"""

import asyncio
import io
import logging
import os
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
CONFIGURE = "    context.configure(connection"
OWN = f"    context.configure(version_table={VERSIONS!r}, connection"
SET = "    connection.exec_driver_sql(\"SET lock_timeout = '2s'\")\n"
ENVS = {
    "SET": SET + OWN,
    "SET, commit": SET + "    connection.commit()\n" + OWN,
}


def upgrade(folder: str, configure: str) -> None:
    config = Config(f"{folder}/alembic.ini")
    with redirect_stdout(io.StringIO()):
        command.init(config, f"{folder}/migrations", template="async")
        command.revision(config, "first")
    config.set_main_option("sqlalchemy.url", URL.replace("%", "%%"))
    env = Path(folder, "migrations/env.py")
    source = env.read_text("utf-8").replace(CONFIGURE, configure)
    env.write_text(source, "utf-8")
    command.upgrade(config, "head")


async def find_table() -> str | None:
    engine = create_async_engine(URL)
    async with engine.begin() as connection:
        found = await connection.scalar(
            text(f"SELECT to_regclass('{VERSIONS}')")
        )
        await connection.execute(text(f"DROP TABLE IF EXISTS {VERSIONS}"))
    await engine.dispose()
    return found and "migrated"


logging.disable()
for way, configure in ENVS.items():
    with TemporaryDirectory() as folder:
        upgrade(folder, configure)
    print(f"{way}:", "no error,", asyncio.run(find_table()))
    #> SET: no error, None
    #> SET, commit: no error, migrated
