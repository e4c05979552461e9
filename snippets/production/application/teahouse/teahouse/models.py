"""The tables; migrations make them, the application never does.

数据表的定义；建表由迁移完成，应用自己不建表。
"""

from datetime import datetime

from sqlalchemy import DateTime, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True)}


class Order(Base):
    __tablename__ = "orders"
    id: Mapped[int] = mapped_column(primary_key=True)
    tea: Mapped[str]
    placed_at: Mapped[datetime] = mapped_column(server_default=func.now())
