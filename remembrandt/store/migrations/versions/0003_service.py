"""Many users: tokens, a queue of jobs with leases, uploads, pictures, webhooks, kept answers, audit lines."""

import time

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def queue() -> tuple[sa.Column, ...]:
    return (
        sa.Column("priority", sa.Integer, nullable=True),
        sa.Column("lease", sa.Float, nullable=True),
        sa.Column("heartbeat", sa.Float, nullable=True),
        sa.Column("not_before", sa.Float, nullable=False, server_default="0"),
        sa.Column("deaths", sa.Integer, nullable=False, server_default="0"),
        sa.Column("fruitless", sa.Integer, nullable=False, server_default="0"),
        sa.Column("reached", sa.String, nullable=True),
        sa.Column("cancel", sa.Boolean, nullable=False, server_default="0"),
        sa.Column("webhook", sa.JSON, nullable=True),
    )


def upgrade() -> None:
    for column in queue():
        op.add_column("jobs", column)
    users = op.create_table(
        "users",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("name", sa.String, nullable=False, unique=True),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("quota", sa.Integer, nullable=True),
        sa.Column("consent", sa.Float, nullable=True),
        sa.Column("secret", sa.String, nullable=True),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("gone", sa.Float, nullable=True),
    )
    everything = ["private", "private_meta", "meta", "pretrained"]
    local = {"id": "", "name": "local", "scopes": everything, "created": time.time()}  # whose home it was alone
    op.bulk_insert(users, [local])
    op.create_table(
        "tokens",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("user", sa.String, sa.ForeignKey("users.id"), nullable=False, index=True),
        sa.Column("hash", sa.String, nullable=False, unique=True),
        sa.Column("label", sa.String, nullable=True),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("revoked", sa.Float, nullable=True),
    )
    op.create_table(
        "blobs",
        sa.Column("sha", sa.String, primary_key=True),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("touched", sa.Float, nullable=False),
    )
    op.create_table(
        "uploads",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False, index=True),
        sa.Column("sha", sa.String, sa.ForeignKey("blobs.sha"), nullable=False, index=True),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("media", sa.String, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
        sa.Column("expires", sa.Float, nullable=True),
    )
    op.create_table(
        "images",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False, index=True),
        sa.Column("sha", sa.String, sa.ForeignKey("blobs.sha"), nullable=False, index=True),
        sa.Column("job", sa.String, nullable=True),
        sa.Column("model", sa.String, nullable=True),
        sa.Column("recipe", sa.JSON, nullable=False),
        sa.Column("size", sa.Integer, nullable=False),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("owner", sa.String, nullable=False, index=True),
        sa.Column("job", sa.String, sa.ForeignKey("jobs.id"), nullable=False, index=True),
        sa.Column("seq", sa.Integer, nullable=False),
        sa.Column("kind", sa.String, nullable=False),
        sa.Column("url", sa.String, nullable=False),
        sa.Column("body", sa.String, nullable=True),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("not_before", sa.Float, nullable=True, index=True),
        sa.Column("status", sa.Integer, nullable=True),
        sa.Column("error", sa.String, nullable=True),
        sa.Column("delivered", sa.Float, nullable=True),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "kept",
        sa.Column("owner", sa.String, primary_key=True),
        sa.Column("key", sa.String, primary_key=True),
        sa.Column("fingerprint", sa.String, nullable=False),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("answer", sa.JSON, nullable=True),
        sa.Column("created", sa.Float, nullable=False),
    )
    op.create_table(
        "audit",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("time", sa.Float, nullable=False),
        sa.Column("owner", sa.String, nullable=False),
        sa.Column("what", sa.String, nullable=False),
        sa.Column("model", sa.String, nullable=True, index=True),
        sa.Column("data", sa.JSON, nullable=False),
    )


def downgrade() -> None:
    for name in ("audit", "kept", "deliveries", "images", "uploads", "blobs", "tokens", "users"):
        op.drop_table(name)
    for column in queue():  # one by one: made anew, the table would leave its events without their jobs
        op.drop_column("jobs", column.name)
