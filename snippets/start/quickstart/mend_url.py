"""A cloud provider's URL needs another scheme and `ssl` for `sslmode`.

云厂商给的 URL 要改两处：协议头换掉，`sslmode` 改成 `ssl`。
"""

from sqlalchemy import URL, make_url


def for_asyncpg(url: str) -> URL:
    """The same database, addressed the way asyncpg understands."""
    mended = make_url(url).set(drivername="postgresql+asyncpg")
    sslmode = mended.query.get("sslmode")
    if sslmode is None:
        return mended
    mended = mended.difference_update_query(["sslmode"])
    return mended.update_query_dict({"ssl": sslmode})


for url in (
    "postgres://tea:secret@db.example/tea",
    "postgresql://tea:secret@db.example/tea?sslmode=require",
):
    print(for_asyncpg(url))
    #> postgresql+asyncpg://tea:***@db.example/tea
    #> postgresql+asyncpg://tea:***@db.example/tea?ssl=require
