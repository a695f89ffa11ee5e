"""Who did what to shared models and to a user's data; lines are only added."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from remembrandt.store import schema
from remembrandt.store import transaction as within
from remembrandt.store.connect import writing
from remembrandt.store.rows import Line
from remembrandt.store.store import Store


def note(store: Store, what: str, model: str | None, data: dict[str, Any]) -> None:
    """A line of the store's owner."""
    with writing(store.engine) as connection:
        within.noted(connection, store.owner, what, model, data)


def lines(store: Store, model: str | None = None) -> list[Line]:
    """All lines, of one model or every one, for the local user; of another user their own."""
    t = schema.audit
    query = select(t).order_by(t.c.id)
    if store.owner:
        query = query.where(t.c.owner == store.owner)
    return store._all(Line, query if model is None else query.where(t.c.model == model))
