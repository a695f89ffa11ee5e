"""The tables. Paths in them are relative to the home, so that a home can be moved."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Integer, MetaData, String, Table
from sqlalchemy import UniqueConstraint as Unique

METADATA = MetaData()
HEAD = "0003"  # the newest file in migrations/versions; a test compares


def _table(name: str, *parts: Column | Unique) -> Table:
    return Table(name, METADATA, *parts)


def _text(name: str, *rest, nullable: bool = False, **options) -> Column:
    return Column(name, String, *rest, nullable=nullable, **options)


models = _table(
    "models",
    _text("id", primary_key=True),
    _text("owner"),
    _text("name"),
    _text("scope"),
    _text("memory"),
    _text("worn_by"),
    Column("base", JSON, nullable=False),
    Column("version", Integer, nullable=False),  # 0: nothing was taught yet
    Column("created", Float, nullable=False),
    Unique("owner", "name"),
)

versions = _table(
    "versions",
    _text("model", ForeignKey("models.id"), primary_key=True),
    Column("number", Integer, primary_key=True),
    _text("job"),
    Column("concepts", JSON, nullable=False),
    _text("weights", nullable=True),  # a family folder, where the UNet itself was moved
    Column("retention", JSON, nullable=False),
    Column("created", Float, nullable=False),
    Column("parent", Integer, nullable=False, server_default="0"),  # the version it came from; 0: none
)

concepts = _table(
    "concepts",
    _text("id", primary_key=True),
    _text("model", ForeignKey("models.id"), index=True),
    _text("identifier"),
    _text("name", nullable=True),
    _text("category"),
    _text("method"),
    _text("folder"),
    _text("job"),
    Column("lesson", Integer, nullable=False),  # the version of the model that it made
    Column("photos", JSON, nullable=False),
    Column("facts", JSON, nullable=False),
    Column("created", Float, nullable=False),
)

# A row here is never deleted: an identifier is handed out once, also if its lesson failed.
identifiers = _table(
    "identifiers",
    _text("model", ForeignKey("models.id"), primary_key=True),
    _text("word", primary_key=True),
    _text("job"),
    Column("taken", Float, nullable=False),
)

jobs = _table(
    "jobs",
    _text("id", primary_key=True),
    _text("kind"),
    _text("owner"),
    _text("model", ForeignKey("models.id"), nullable=True, index=True),
    _text("state", index=True),
    _text("stage", nullable=True),
    Column("step", Integer, nullable=False),
    Column("total", Integer, nullable=False),
    Column("loss", Float, nullable=True),
    _text("error", nullable=True),
    Column("request", JSON, nullable=False),
    Column("result", JSON, nullable=True),
    _text("worker", nullable=True),
    Column("attempt", Integer, nullable=False),
    Column("seq", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("started", Float, nullable=True),
    Column("finished", Float, nullable=True),
    Column("priority", Integer, nullable=True),  # NULL: it runs in somebody's foreground, no worker takes it
    Column("lease", Float, nullable=True),  # until when its worker holds it; `attempt` is the fence
    Column("heartbeat", Float, nullable=True),
    Column("not_before", Float, nullable=False, server_default="0"),
    Column("deaths", Integer, nullable=False, server_default="0"),
    Column("fruitless", Integer, nullable=False, server_default="0"),  # deaths since the last new checkpoint
    _text("reached", nullable=True),  # the newest checkpoint at the last death
    Column("cancel", Boolean, nullable=False, server_default="0"),
    Column("webhook", JSON, nullable=True),
)

events = _table(
    "events",
    _text("job", ForeignKey("jobs.id"), primary_key=True),
    Column("seq", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    _text("kind"),
    Column("data", JSON, nullable=False),
)

families = _table(
    "families",
    _text("name", primary_key=True),
    _text("source"),
    Column("created", Float, nullable=False),
)

users = _table(
    "users",
    _text("id", primary_key=True),
    _text("name", unique=True),
    Column("scopes", JSON, nullable=False),
    Column("quota", Integer, nullable=True),  # bytes of uploads and pictures; NULL: the home's setting
    Column("consent", Float, nullable=True),  # when the right to the photos was affirmed
    _text("secret", nullable=True),  # signs webhooks
    Column("created", Float, nullable=False),
    Column("gone", Float, nullable=True),
)

tokens = _table(
    "tokens",
    _text("id", primary_key=True),
    _text("user", ForeignKey("users.id"), index=True),
    _text("hash", unique=True),
    _text("label", nullable=True),
    Column("created", Float, nullable=False),
    Column("revoked", Float, nullable=True),
)

blobs = _table(
    "blobs",
    _text("sha", primary_key=True),
    Column("size", Integer, nullable=False),
    Column("touched", Float, nullable=False),
)

uploads = _table(
    "uploads",
    _text("id", primary_key=True),
    _text("owner", index=True),
    _text("sha", ForeignKey("blobs.sha"), index=True),
    _text("name"),
    _text("media"),
    Column("size", Integer, nullable=False),
    Column("created", Float, nullable=False),
    Column("expires", Float, nullable=True),
)

images = _table(
    "images",
    _text("id", primary_key=True),
    _text("owner", index=True),
    _text("sha", ForeignKey("blobs.sha"), index=True),
    _text("job", nullable=True),
    _text("model", nullable=True),
    Column("recipe", JSON, nullable=False),
    Column("size", Integer, nullable=False),
    Column("created", Float, nullable=False),
)

# The outbox: a row is written in the transaction that changes the job, and sent later.
deliveries = _table(
    "deliveries",
    _text("id", primary_key=True),
    _text("owner", index=True),
    _text("job", ForeignKey("jobs.id"), index=True),
    Column("seq", Integer, nullable=False),
    _text("kind"),
    _text("url"),
    _text("body", nullable=True),  # the bytes that were signed: a retry sends the same
    Column("tries", Integer, nullable=False),
    Column("not_before", Float, nullable=True, index=True),  # NULL: there is nothing left to do
    Column("status", Integer, nullable=True),
    _text("error", nullable=True),
    Column("delivered", Float, nullable=True),
    Column("created", Float, nullable=False),
)

kept = _table(
    "kept",
    _text("owner", primary_key=True),
    _text("key", primary_key=True),
    _text("fingerprint"),
    _text("id"),
    Column("answer", JSON, nullable=True),
    Column("created", Float, nullable=False),
)

audit = _table(
    "audit",
    Column("id", Integer, primary_key=True),
    Column("time", Float, nullable=False),
    _text("owner"),
    _text("what"),
    _text("model", nullable=True, index=True),
    Column("data", JSON, nullable=False),
)
