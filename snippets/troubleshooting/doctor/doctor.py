"""Looks once at all connections of a server: which are ill, and what to do.

看一眼服务器上的全部连接：哪些有问题，下一步做什么。
"""

# /// script
# requires-python = ">=3.11"
# dependencies = ["asyncpg>=0.32"]
# ///

import asyncio
import json
import os
import re
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any
from unicodedata import east_asian_width

import asyncpg  # type: ignore[import-untyped]

SERVER = """
    SELECT current_setting('server_version') AS version, current_user AS role,
           pg_backend_pid() AS pid
"""
# What a role may not see is NULL, backend_type too.
CLIENTS = """
    SELECT *, coalesce(nullif(application_name, ''), '-') AS app,
           extract(epoch FROM clock_timestamp() - state_change)::float AS age
    FROM pg_stat_activity
    WHERE coalesce(backend_type, 'client backend') = 'client backend'
          AND datname <> '' AND usename <> '' AND pid <> pg_backend_pid()
"""
WAITS = """
    SELECT pid, pg_blocking_pids(pid) AS blockers, coalesce(
        extract(epoch FROM clock_timestamp() - min(waitstart)), 0)::float AS age
    FROM pg_locks WHERE NOT granted GROUP BY pid
"""
GROUPS = f"""
    WITH client AS ({CLIENTS}), waits AS ({WAITS})
    SELECT app, usename AS role, datname AS database, state,
        CASE
            WHEN pid IN (SELECT pid FROM waits WHERE age >= $1) THEN 'waiting'
            WHEN backend_type IS NULL OR state = 'disabled' THEN 'hidden'
            WHEN state = 'idle' THEN 'pooled'
            WHEN state = 'idle in transaction' AND age >= $2 THEN 'leaked'
            WHEN state = 'idle in transaction' AND age >= $3 THEN 'stuck'
            WHEN state LIKE '%(aborted)' AND age >= $4 THEN 'aborted'
            WHEN state = 'active' AND age >= $5 THEN 'slow'
            ELSE 'working'
        END AS kind,
        count(*), max(age) AS age, array_agg(pid ORDER BY age DESC) AS pids,
        (array_agg(query ORDER BY age DESC))[1] AS query
    FROM client GROUP BY 1, 2, 3, 4, 5 ORDER BY 1, 2, 3, 4, 5
"""
CHAINS = f"""
    WITH RECURSIVE waits AS ({WAITS}), chain AS (
        SELECT unnest(blockers) AS root, pid FROM waits
        UNION SELECT unnest(blockers), chain.pid
        FROM chain JOIN waits ON waits.pid = chain.root
    )
    SELECT 'blocking' AS kind, root AS pid, CASE root WHEN 0 THEN 'PREPARE' ELSE
               max(coalesce(nullif(application_name, ''), backend_type)) END AS app,
           max(state) AS state, count(*), max(waits.age) AS age, string_agg(
               chain.pid || ' -> ' || array_to_string(blockers, ' '), ', '
               ORDER BY waits.age DESC) AS chain
    FROM chain JOIN waits USING (pid)
         LEFT JOIN pg_stat_activity AS activity ON activity.pid = root
    WHERE root NOT IN (SELECT pid FROM waits)
    GROUP BY root HAVING max(waits.age) >= $1 ORDER BY count(*) DESC
"""
LIMITS = f"""
    WITH client AS ({CLIENTS}), ceiling (scope, name, room) AS (
        SELECT 'server', 'total', current_setting('max_connections')::int
            - current_setting('superuser_reserved_connections')::int
            - coalesce(current_setting('reserved_connections', true), '0')::int
        UNION ALL SELECT 'role', rolname, rolconnlimit
        FROM pg_roles WHERE rolconnlimit >= 0 AND NOT rolsuper
        UNION ALL SELECT 'database', datname, datconnlimit
        FROM pg_database WHERE datconnlimit >= 0
        UNION ALL SELECT DISTINCT 'application', app, $1::int
        FROM client WHERE $1 > 0
    ), taken AS (
        SELECT *, (SELECT count(*) FROM client WHERE scope = 'server' OR name =
            CASE scope WHEN 'role' THEN usename WHEN 'database' THEN datname
                 ELSE app END) AS used
        FROM ceiling
    )
    SELECT CASE scope WHEN 'application' THEN 'surplus' ELSE 'full' END AS kind,
        *, CASE scope WHEN 'application' THEN used > room
        ELSE used >= greatest(room * $2::float / 100, 1) END AS ill
    FROM taken
"""
HOLDERS = """
    WITH holder (what, name, age, xids) AS (
        (SELECT 'pid', concat_ws(', ', pid, nullif(application_name, ''), state),
                NULL::float, greatest(age(backend_xid), age(backend_xmin)) AS xids
         FROM pg_stat_activity
         WHERE coalesce(backend_type, '') IN ('client backend', 'walsender', '')
               AND pid NOT IN (SELECT pid FROM pg_stat_progress_vacuum
                               UNION SELECT pg_backend_pid())
         ORDER BY xids DESC NULLS LAST, xact_start LIMIT 1)
        UNION ALL SELECT 'replication slot', slot_name, NULL,
                         greatest(age(xmin), age(catalog_xmin))
        FROM pg_replication_slots
        UNION ALL SELECT 'prepared transaction', gid,
                         extract(epoch FROM clock_timestamp() - prepared),
                         age(transaction)
        FROM pg_prepared_xacts
    )
    SELECT 'vacuum' AS kind, * FROM holder WHERE xids >= $1 OR age >= $2
    ORDER BY xids DESC
"""
# A name and a page of the guide; what to say and what to do about it, in
# English and in Chinese.
WORDS = """
stuck troubleshooting/idle/#waiting
  {app}: {count} idle in transaction for up to {age}, after {query}; pid {pids}
  commit() before the code waits for anything else; look again in a minute
  {app}：{count} 个停在 idle in transaction，最久 {age}，上一条 {query}；pid {pids}
  先 commit() 再等别的事；过一分钟再看一次
leaked troubleshooting/idle/#leaked
  {app}: {count} looks leaked, idle in transaction for up to {age}, after {query}; pid {pids}
  open sessions with async with; for now, SELECT pg_terminate_backend(pid) frees its locks
  {app}：{count} 个像是泄漏，停在 idle in transaction，最久 {age}，上一条 {query}；pid {pids}
  会话改用 async with 打开；要马上放开锁，SELECT pg_terminate_backend(pid)
aborted sessions/transactions/#failed
  {app}: {count} in a transaction that failed, for up to {age}, after {query}; pid {pids}
  let the error leave async with, or call rollback()
  {app}：{count} 个事务出错后没有回滚，最久 {age}，上一条 {query}；pid {pids}
  让异常离开 async with，或者调用 rollback()
slow sessions/cancellation/#cure
  {app}: {count} active with one statement for up to {age}: {query}; pid {pids}
  if nobody waits for it, SELECT pg_cancel_backend(pid); set a statement_timeout
  {app}：{count} 个在执行一条语句（active），最久 {age}：{query}；pid {pids}
  没有人在等它的结果，就 SELECT pg_cancel_backend(pid)；并设 statement_timeout
blocking troubleshooting/idle/#waiting
  {app} ({state}, pid {pid}) makes {count} wait for locks, for up to {age}: {chain}
  end its transaction first; the others in the chain wait themselves
  {app}（{state}，pid {pid}）占着锁，{count} 个在等，最久 {age}：{chain}
  先结束它的事务；链上其余的自己也在等
full sizing/arithmetic/#server
  {scope} {name}: {used} of {room} connections are taken
  see in the table who has them; add up the pools of all processes
  {scope} {name}：{room} 个连接用了 {used} 个
  在上面的表里看是谁占着；把各个进程的连接池加起来
surplus sessions/fastapi/#engine
  {name}: {used} connections, more than the {room} that --pool allows
  one engine for each process; if there is one, a leak: read pool.status()
  {name}：{used} 个连接，超过 --pool 说的 {room} 个
  一个进程一个引擎；已经是一个的话就是泄漏：看 pool.status()
vacuum troubleshooting/blocking/#vacuum
  {what} {name} keeps vacuum from the old rows of {xids} transactions
  end the transaction; if it was prepared, ROLLBACK PREPARED; drop a slot that nobody reads
  {what} {name} 让 vacuum 清不掉最近 {xids} 个事务留下的旧行
  结束这个事务；预备事务用 ROLLBACK PREPARED；没有人读的复制槽就删掉
hidden troubleshooting/idle/#diagnose
  {count} connections: neither their state nor their age
  GRANT pg_monitor TO {role}, and look again; or track_activities is off
  {count} 个连接：状态和时间
  GRANT pg_monitor TO {role}，再看一次；不然就是关掉了 track_activities
proxy sizing/arithmetic/#pgbouncer
  a proxy such as PgBouncer stands between: its clients, and those who wait in it
  SHOW CLIENTS and SHOW POOLS in PgBouncer; or connect to PostgreSQL itself
  中间有 PgBouncer 之类的代理：它的客户端，以及在里面排队的
  在 PgBouncer 里 SHOW CLIENTS、SHOW POOLS；或者直接连 PostgreSQL
"""
LABELS = {
    "columns": ("count application role database state longest verdict",
                "个数 应用 角色 数据库 状态 最久 结论"),
    "pooled": ("fine: kept by a pool", "正常：池里空闲"),
    "working": ("fine: at work", "正常：在工作"),
    "waiting": ("waits for a lock", "在等锁"),
    "hidden": ("not seen", "看不到"),
    "see": ("see {}", "见 {}"),
    "healthy": ("Nothing ill was seen.", "没有看到问题。"),
    "unseen": ("Not seen: {}", "看不到：{}"),
    "cannot": ("Cannot look: {}", "看不了：{}"),
}  # fmt: skip
LANGUAGES = "en", "zh"
LINES = [line.strip() for line in WORDS.strip().splitlines()]
KINDS = {
    name: (page, LINES[at + 1 : at + 3], LINES[at + 3 : at + 5])
    for at in range(0, len(LINES), 5)
    for name, page in [LINES[at].split()]
}
NUMBERS = {
    "stuck": (60.0, "seconds idle in transaction"),
    "leaked": (900.0, "seconds idle in transaction until it looks leaked"),
    "aborted": (10.0, "seconds in a transaction that failed"),
    "slow": (300.0, "seconds in one statement"),
    "waiting": (5.0, "seconds of waiting for a lock"),
    "near": (80.0, "percent of a limit"),
    "xids": (100_000, "transactions whose old rows vacuum cannot remove"),
    "pool": (0, "connections that one application's pools may keep; 0: any"),
    "timeout": (5.0, "seconds until it gives up"),
    "watch": (0.0, "seconds until it looks again; 0: it looks once"),
}
FULL, ERRORS = "sizing/arithmetic/#refused", "start/quickstart/#errors"
ILL = "stuck", "leaked", "aborted", "slow"
PLACES = {"host", "port", "user", "password", "sslmode", "sslrootcert"}
FAULTS = OSError, ValueError, asyncpg.PostgresError, asyncpg.InterfaceError
Facts = dict[str, Any]


def clean_url(url: str) -> str:
    """DATABASE_URL, as SQLAlchemy or a provider writes it, for asyncpg."""
    place, _, words = re.sub(r"^(\w+)\+\w+:", r"\1:", url).partition("?")
    words = re.sub(r"\bssl=", "sslmode=", words)
    kept = [word for word in words.split("&") if word.split("=")[0] in PLACES]
    return f"{place}?{'&'.join(kept)}"


def clean_row(row: Mapping[str, Any], queries: bool) -> Facts:
    """Of a query its first words; nothing that a terminal would obey."""
    facts = dict(row)
    if facts.get("query") and not queries:
        words = re.match(r"\s*((?:[A-Za-z_][\w.]*\s*){,3})", facts["query"])
        facts["query"] = f"{words and words[1].strip()} ...".strip()
    for name, value in facts.items():
        if isinstance(value, str):
            line = " ".join(value.split())
            facts[name] = "".join(c if c.isprintable() else "?" for c in line)
    return facts


async def look(at: Namespace) -> dict[str, list[Facts]]:
    """One read-only transaction, which PostgreSQL ends after --timeout."""
    states = at.waiting, at.leaked, at.stuck, at.aborted, at.slow
    queries = {
        "server": (SERVER,),
        "groups": (GROUPS, *states),
        "chains": (CHAINS, at.waiting),
        "limits": (LIMITS, at.pool, at.near),
        "holders": (HOLDERS, at.xids, at.leaked),
    }
    connection = await asyncpg.connect(
        clean_url(at.url),
        timeout=at.timeout,
        command_timeout=at.timeout,
        statement_cache_size=0,  # for PgBouncer
        server_settings={"application_name": "doctor"},
    )
    found = {}
    try:
        async with (
            asyncio.timeout(at.timeout),
            connection.transaction(readonly=True),
        ):
            await connection.execute(
                f"SET LOCAL statement_timeout = {1000 * at.timeout:.0f}"
            )
            for name, query in queries.items():
                rows = await connection.fetch(*query)
                found[name] = [clean_row(row, at.queries) for row in rows]
    finally:
        await connection.close(timeout=at.timeout)
    [server] = found["server"]
    server["proxy"] = server.pop("pid") != connection.get_server_pid()
    return found


def diagnose(found: Mapping[str, list[Facts]], at: Namespace) -> Facts:
    """What is there, what is ill, and what could not be seen."""
    [server], groups, limits = found["server"], found["groups"], found["limits"]
    ill = [row for row in groups if row["kind"] in ILL]
    full = [limit for limit in limits if limit.pop("ill")]
    findings = [*ill, *found["chains"], *full, *found["holders"]]
    hidden = [row["count"] for row in groups if row["kind"] == "hidden"]
    unseen = [
        {"kind": kind, "count": count, "role": server["role"]}
        for kind, count in (("hidden", sum(hidden)), ("proxy", server["proxy"]))
        if count
    ]
    return {
        "time": datetime.now().astimezone().isoformat(" ", "seconds"),
        "server": server,
        "limits": limits,
        "groups": groups,
        "findings": [tell(one, at) for one in findings],
        "unseen": [tell(one, at) for one in unseen],
    }


def tell(facts: Facts, at: Namespace) -> Facts:
    """The facts, what to say and to do about them, and where to read on."""
    page, *words = KINDS[facts["kind"]]
    pids = str(facts.get("pids", [])[:5])[1:-1]
    shown = {**facts, "age": span(facts.get("age")), "pids": pids}
    says, do = (text.format(**shown) for text in words[at.lang])
    return {**facts, "says": says, "do": do, "page": address(page, at)}


def address(page: str, at: Namespace) -> str:
    return f"{at.site}{('en/', '')[at.lang]}{page}"


def span(seconds: float | None) -> str:
    """As a person says it: 50 s, 3 min, 26 h."""
    if seconds is None:
        return "?"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.0f} h"


def align(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as their widest cell; Chinese takes two places."""

    def width(cell: str) -> int:
        return sum(1 + (east_asian_width(c) in "WF") for c in cell)

    widths = [max(map(width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = zip(row, widths, strict=True)
        line = "  ".join(c + " " * (room - width(c)) for c, room in cells)
        yield line.rstrip()


def render(report: Facts, at: Namespace) -> Iterator[str]:
    """The report for people, a paragraph at a time."""
    label = {name: words[at.lang] for name, words in LABELS.items()}
    color = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    red, green, plain = (f"\x1b[{n}m" if color else "" for n in (31, 32, 0))
    limits = [
        "{scope} {name} {used}/{room}".format(**one) for one in report["limits"]
    ]
    yield "  ".join(
        [report["time"], "PostgreSQL " + report["server"]["version"], *limits]
    )
    numbers = {
        str(one.get("pids")): n for n, one in enumerate(report["findings"], 1)
    }
    names = "count", "app", "role", "database", "state"
    rows = [label["columns"].split()]
    for row in report["groups"]:
        number = numbers.get(str(row["pids"]))
        verdict = label["see"].format(number) if number else label[row["kind"]]
        known = [str(row[name] or "?") for name in names]
        rows.append([*known, span(row["age"]), verdict])
    yield "\n".join(align(rows))
    for number, one in enumerate(report["findings"], 1):
        says = f"{red}{number}. {one['says']}{plain}"
        yield f"{says}\n   {one['do']}\n   {one['page']}"
    if not report["findings"]:
        yield f"{green}{label['healthy']}{plain}"
    for one in report["unseen"]:
        says = label["unseen"].format(one["says"])
        yield f"{says}\n   {one['do']}\n   {one['page']}"


def look_once(at: Namespace) -> int:
    """Print a report, or why there is none; the exit code."""
    try:
        report = diagnose(asyncio.run(look(at)), at)
    except FAULTS as error:
        says = str(error).partition("\n")[0] or "no answer in time"
        if type(error) is ValueError:  # which may quote some of the password
            says = "no URL like postgresql://user:password@host:5432/database"
        is_full = getattr(error, "sqlstate", "") == "53300"
        page = address(FULL if is_full else ERRORS, at)
        says = LABELS["cannot"][at.lang].format(says)
        print(f"{says}\n   {page}", file=sys.stderr, flush=True)
        return 2
    if at.json:
        print(json.dumps(report, ensure_ascii=False), flush=True)
    else:
        print("\n\n".join(render(report, at)), flush=True)
    return 1 if report["findings"] else 0


def read_options(words: Sequence[str] | None = None) -> Namespace:
    parser = ArgumentParser(description=__doc__)
    parser.epilog = "Exit code: 0 all fine, 1 something ill, 2 it cannot look."
    add = parser.add_argument
    add("--url", default=os.getenv("DATABASE_URL", ""), help="for DATABASE_URL")
    add("--lang", choices=LANGUAGES, default="en")
    add("--json", action="store_true", help="a line of JSON for each look")
    add("--queries", action="store_true", help="statements whole, with values")
    add("--site", default="", help="address of the guide, before its pages")
    for name, (value, what) in NUMBERS.items():
        what += f" ({value:g})"
        add(f"--{name}", type=type(value), default=value, help=what)
    at = parser.parse_args(words)
    at.lang = LANGUAGES.index(at.lang)
    return at


def main(words: Sequence[str] | None = None) -> int:
    at, code = read_options(words), 2
    with suppress(KeyboardInterrupt):
        code = look_once(at)
        while at.watch:
            time.sleep(at.watch)
            code = look_once(at)
    return code


if __name__ == "__main__":
    sys.exit(main())
