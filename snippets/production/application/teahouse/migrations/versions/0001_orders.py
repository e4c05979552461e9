"""The table of orders.

订单表。
"""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0001", None


def upgrade() -> None:
    time, now = sa.DateTime(timezone=True), sa.func.now()
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer(), primary_key=True),
        sa.Column("tea", sa.String(), nullable=False),
        sa.Column("placed_at", time, server_default=now, nullable=False),
    )


def downgrade() -> None:
    op.drop_table("orders")
