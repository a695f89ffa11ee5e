"""Long lists a page at a time, newest first."""

from __future__ import annotations

import time
from typing import TypeVar

from sqlalchemy import ColumnElement, select, tuple_

from remembrandt.settings import Missing
from remembrandt.store import schema
from remembrandt.store.rows import Image, Job, Upload
from remembrandt.store.store import Store

T = TypeVar("T")


def jobs(store: Store, before: str | None, limit: int, of: str | None = None) -> list[Job]:
    """The owner's, of Replicate's kind `of` alone where it is given."""
    t = schema.jobs
    kind = [t.c.webhook["replicate"]["kind"].as_string() == of] if of else []
    return _page(store, Job, "jobs", before, limit, *kind)


def images(store: Store, before: str | None, limit: int) -> list[Image]:
    """The owner's pictures."""
    return _page(store, Image, "images", before, limit)


def uploads(store: Store, before: str | None, limit: int) -> list[Upload]:
    """The owner's files that have not expired."""
    t = schema.uploads
    return _page(store, Upload, "uploads", before, limit, t.c.expires.is_(None) | (t.c.expires > time.time()))


def _page(
    store: Store, kind: type[T], name: str, before: str | None, limit: int, *more: ColumnElement[bool]
) -> list[T]:
    """At most `limit` of the owner's rows, those after row `before`; `Missing` if that is not theirs."""
    t = schema.METADATA.tables[name]
    query = select(t).where(t.c.owner == store.owner, *more)
    if before is not None:
        with store.engine.begin() as connection:
            mine = select(t.c.created, t.c.id).where(t.c.id == before, t.c.owner == store.owner)
            last = connection.execute(mine).one_or_none()
        if last is None:
            raise Missing(f"`before` must be the id of one of your {name}")
        query = query.where(tuple_(t.c.created, t.c.id) < tuple_(last.created, last.id))
    return store._all(kind, query.order_by(t.c.created.desc(), t.c.id.desc()).limit(limit))
