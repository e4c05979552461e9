"""The application's tables and its engine's settings, which migrations use too.

应用的表和引擎设置，迁移也用它们。
"""

import os
from secrets import token_hex

from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

URL = os.environ["DATABASE_URL"]
SCHEMA = os.environ.setdefault("SHOP_SCHEMA", f"guide_shop_{token_hex(4)}")
SETTINGS = {"application_name": "shop", "search_path": SCHEMA}


class Base(DeclarativeBase):
    pass


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    tea: Mapped[str]
