"""The tables. Paths in them are relative to the home, so that a home can be moved."""

from __future__ import annotations

from sqlalchemy import JSON, Column, Float, ForeignKey, Integer, MetaData, String, Table
from sqlalchemy import UniqueConstraint as Unique

METADATA = MetaData()
HEAD = "0002"  # the newest file in migrations/versions; a test compares


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
