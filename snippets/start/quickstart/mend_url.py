"""libpq's words in a URL become what asyncpg calls them, or go.

URL 里 libpq 的参数：能换成 asyncpg 写法的换掉，用不上的删掉。
"""

import ssl
from typing import Any

from sqlalchemy import URL, make_url

# asyncpg has no such option, or SQLAlchemy's pool does it.
DROPPED = "channel_binding", "gssencmode", "pgbouncer", "connection_limit"


def for_asyncpg(address: str) -> tuple[URL, dict[str, Any]]:
    """The same database, as `create_async_engine` takes it with asyncpg."""
    url = make_url(address).set(drivername="postgresql+asyncpg")
    words: dict[str, Any] = dict(url.query)
    connect_args: dict[str, Any] = {}
    for word in DROPPED:
        words.pop(word, None)
    if "connect_timeout" in words:
        # To libpq 0 means no limit, to asyncpg no time at all.
        connect_args["timeout"] = float(words.pop("connect_timeout")) or None
    for word in {"application_name", "options"} & words.keys():
        connect_args.setdefault("server_settings", {})[word] = words.pop(word)
    mode = words.pop("sslmode", None)
    authority = words.pop("sslrootcert", None)
    if authority and mode not in ("disable", "allow", "prefer"):
        system = authority == "system"
        context = ssl.create_default_context(
            cafile=None if system else authority
        )
        context.check_hostname = system or mode == "verify-full"
        connect_args["ssl"] = context
    elif mode:
        words["ssl"] = mode
    return url.set(query=words), connect_args


for address in (
    "postgres://tea:secret@db.example/tea",
    "postgresql://tea:secret@db.example/tea"
    "?sslmode=require&channel_binding=require",
    "postgresql://tea:secret@db.example/tea"
    "?application_name=shop&connect_timeout=10&pgbouncer=true",
):
    url, connect_args = for_asyncpg(address)
    print(url, connect_args)
    #> postgresql+asyncpg://tea:***@db.example/tea {}
    #> postgresql+asyncpg://tea:***@db.example/tea?ssl=require {}
    #> postgresql+asyncpg://tea:***@db.example/tea {'timeout': 10.0, 'server_settings': {'application_name': 'shop'}}
