"""One SQLAlchemy engine for a home, migrated to the newest schema."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.pool import NullPool, StaticPool

from remembrandt.settings import Wrong
from remembrandt.store.schema import HEAD, METADATA

#: The first SQLite whose write-ahead log is free of the reset bug (details 36).
WAL_SINCE = (3, 51, 3)
PATIENCE = 30_000  # milliseconds that a writer waits for another


def connect(path: Path, *, create: bool) -> Engine:
    """The database at `path`; without `create`, a missing one reads as empty and is not made."""
    if not create and not path.is_file():
        return _empty()
    engine = _sqlite(f"sqlite:///{path}", poolclass=NullPool)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        migrate(engine)
    except OSError as fault:
        raise Wrong(f"the home {path.parent} cannot be written: {fault.strerror}") from None
    except OperationalError as fault:
        raise Wrong(f"the database {path} cannot be opened: {fault.orig}") from None
    except DatabaseError as fault:
        raise Wrong(f"{path} is not a database of Remembrandt: {fault.orig}") from None
    return engine


def migrate(engine: Engine) -> None:
    """Bring the schema to `HEAD`; costs one query where it is there already."""
    with engine.connect() as connection:
        version = _version(connection)
    if version == HEAD:
        return
    if version is not None and version > HEAD:
        raise Wrong(f"a newer Remembrandt wrote this home (schema {version}): update this one")
    from alembic import command  # costs a third of a second, once in the life of a home

    with writing(engine) as connection:
        config = alembic_config()
        config.attributes["connection"] = connection
        command.upgrade(config, "head")


def alembic_config():
    """Alembic's configuration, with the migrations of this package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    return config


def writing(engine: Engine):
    """A transaction that holds the write lock from its start, so that it never fails half-way."""
    return engine.execution_options(write=True).begin()


def journal(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> str:
    """The journal mode that is safe in this SQLite."""
    return "WAL" if version >= WAL_SINCE else "TRUNCATE"


def _sqlite(url: str, **options) -> Engine:
    engine = create_engine(url, **options)

    @event.listens_for(engine, "connect")
    def prepare(connection, record) -> None:
        connection.isolation_level = None  # we say BEGIN ourselves
        for pragma in (
            f"busy_timeout={PATIENCE}",
            "foreign_keys=ON",
            f"journal_mode={journal()}",
            "synchronous=FULL",
            "secure_delete=ON",  # what a user deletes is not left in the file's free pages
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        write = connection.get_execution_options().get("write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    return engine


def _empty() -> Engine:
    engine = _sqlite("sqlite://", poolclass=StaticPool)
    METADATA.create_all(engine)
    return engine


def _version(connection: Connection) -> str | None:
    there = text("SELECT count(*) FROM sqlite_master WHERE name = 'alembic_version'")
    if connection.dialect.name == "sqlite" and not connection.execute(there).scalar():
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
