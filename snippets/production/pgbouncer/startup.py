"""PgBouncer passes a few settings on, refuses others, or ignores them.

启动参数，PgBouncer 有的传过去，有的拒绝，有的悄悄丢掉。
"""

import asyncio
import os

from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

URL = os.environ["DATABASE_URL"]
SETTINGS = {
    "application_name": "teahouse",
    "timezone": "Asia/Shanghai",
    "statement_timeout": "5s",
    "jit": "off",
}


async def main() -> None:
    for name, value in SETTINGS.items():
        arguments = {"server_settings": {name: value}}
        engine = create_async_engine(URL, connect_args=arguments)
        try:
            async with engine.connect() as connection:
                said = await connection.scalar(text(f"SHOW {name}"))
        except Exception as error:  # 2.0 does not wrap it
            said = getattr(error, "orig", error)
        print(f"{name}={value}: {said}")
        #> application_name=teahouse: teahouse
        #> timezone=Asia/Shanghai: Asia/Shanghai
        #> statement_timeout=5s: unsupported startup parameter: statement_timeout
        #> jit=off: on
        await engine.dispose()


asyncio.run(main())
