"""A version knows the one that it came from, so that a step back finds it after others were given up."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("versions") as table:
        table.add_column(sa.Column("parent", sa.Integer, nullable=False, server_default="0"))
    op.execute("UPDATE versions SET parent = number - 1")


def downgrade() -> None:
    with op.batch_alter_table("versions") as table:
        table.drop_column("parent")
