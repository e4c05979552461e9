"""URL.create() takes the parts as they are and encodes the password itself.

`URL.create()` 按原样接受各个部分，密码由它编码。
"""

from sqlalchemy import URL

url = URL.create(
    "postgresql+asyncpg",
    username="tea",
    password="p@ss/#",
    host="db.example",
    port=5432,
    database="tea",
)
print(url)
#> postgresql+asyncpg://tea:***@db.example:5432/tea
print(url.render_as_string(hide_password=False))
#> postgresql+asyncpg://tea:p%40ss%2F%23@db.example:5432/tea
