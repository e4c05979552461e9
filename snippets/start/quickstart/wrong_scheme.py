"""Only a URL that begins with `postgresql+asyncpg://` chooses asyncpg.

URL 以 `postgresql+asyncpg://` 开头，才会用 asyncpg。
"""

from sqlalchemy import make_url
from sqlalchemy.exc import NoSuchModuleError


def is_asyncpg(url: str) -> bool:
    return make_url(url).get_dialect().driver == "asyncpg"


try:
    is_asyncpg("postgres://localhost/tea")
except NoSuchModuleError as error:
    print("postgres://", error.args[0])
    #> postgres:// Can't load plugin: sqlalchemy.dialects:postgres
for scheme in ("postgresql", "postgresql+asyncpg"):
    print(f"{scheme}:// is asyncpg:", is_asyncpg(f"{scheme}://localhost/tea"))
    #> postgresql:// is asyncpg: False
    #> postgresql+asyncpg:// is asyncpg: True
