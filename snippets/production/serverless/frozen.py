"""A frozen process keeps its connections, and does not hear that they ended.

进程冻结时连接还占着；连接断了，它也不知道。
"""

import asyncio
import os
import signal
import sys
from subprocess import DEVNULL, PIPE, Popen

from sqlalchemy import NullPool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

URL = os.environ["DATABASE_URL"]
NAME = os.environ.setdefault("TEAHOUSE", f"teahouse_{os.urandom(4).hex()}")
OURS = f"FROM pg_stat_activity WHERE application_name = '{NAME}'"
NAMED = {"server_settings": {"application_name": NAME}}
GUARD = ["sh", "-c", '"$@" & exec >&-; read _; kill -9 $!; wait $!', "sh"]
plain = create_async_engine(URL, connect_args=NAMED)
pinging = create_async_engine(URL, connect_args=NAMED, pool_pre_ping=True)


async def order(engine: AsyncEngine) -> str:
    try:
        async with engine.connect() as connection:
            return str(await connection.scalar(text("SELECT 'oolong'")))
    except DBAPIError as error:
        return f"{type(error).__name__}: {error.orig}"


async def ask(what: str) -> object:
    watcher = create_async_engine(URL, poolclass=NullPool)
    async with watcher.connect() as connection:
        return await connection.scalar(text(f"SELECT {what} {OURS}"))


if "INSTANCE" in os.environ:
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCONT])
    with asyncio.Runner() as runner:
        while True:
            drinks = [runner.run(order(each)) for each in (plain, pinging)]
            print(os.getpid(), *drinks, sep="|", flush=True)
            signal.sigwait([signal.SIGCONT])  # until the next invocation
os.environ["INSTANCE"] = "of the function"
command = [*GUARD, sys.executable, __file__]
with Popen(command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL) as process:
    assert process.stdout
    pid, *drinks = process.stdout.readline().decode().strip().split("|")
    print("first invocation:", *drinks)
    #> first invocation: oolong oolong
    os.kill(int(pid), signal.SIGSTOP)
    print("frozen, connections:", asyncio.run(ask("count(*)")))
    #> frozen, connections: 2
    asyncio.run(ask("count(pg_terminate_backend(pid, 60000))"))
    os.kill(int(pid), signal.SIGCONT)
    _, *drinks = process.stdout.readline().decode().strip().split("|")
    print("default:", drinks[0])
    #> default: DBAPIError: connection was closed in the middle of operation: terminating connection due to administrator command
    print("pool_pre_ping:", drinks[1])
    #> pool_pre_ping: oolong
