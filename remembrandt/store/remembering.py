"""Idempotency keys: the same request twice is one deed and one answer.

`reserve` also gives the id under which the deed is to be done. Whoever comes again after a crash gets the same id, and
finds what was made under it.
"""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import delete, insert, select, update

from remembrandt.settings import Wrong
from remembrandt.store import schema
from remembrandt.store import transaction as within
from remembrandt.store.connect import writing
from remembrandt.store.rows import Kept
from remembrandt.store.store import Store
from remembrandt.store.transaction import new_id

PATIENCE = 60.0  # seconds after which whoever reserved a key is thought dead
LIFE = 86400.0  # seconds that an answer is kept


class Differs(Wrong):
    """The key was used for another request."""


class InFlight(Wrong):
    """The first request with this key is not answered yet."""


def reserve(store: Store, key: str, fingerprint: str) -> Kept:
    """The answer that was given, or without one the leave to do it, under `id`."""
    t, now = schema.kept, time.time()
    mine = (t.c.owner == store.owner) & (t.c.key == key)
    with writing(store.engine) as connection:
        connection.execute(delete(t).where(t.c.created < now - LIFE))
        row = connection.execute(select(t).where(mine)).one_or_none()
        if row is None:
            made = Kept(store.owner, key, fingerprint, new_id(), None, now)
            connection.execute(insert(t), asdict(made))
            return made
        held = within.read(Kept, row)
        if held.fingerprint != fingerprint:
            raise Differs("this Idempotency-Key was used for another request: take a new one")
        if held.answer is None and held.created > now - PATIENCE:
            raise InFlight("the first request with this Idempotency-Key is not answered yet: try again")
        if held.answer is None:
            connection.execute(update(t).where(mine).values(created=now))
        return replace(held, created=now)


def renew(store: Store, key: str) -> None:
    """It is still being done."""
    t = schema.kept
    mine = (t.c.owner == store.owner) & (t.c.key == key)
    with writing(store.engine) as connection:
        connection.execute(update(t).where(mine).values(created=time.time()))


def remember(store: Store, key: str, answer: dict[str, Any]) -> None:
    """What was answered, for a day."""
    _mine(store, key, answer)


def release(store: Store, key: str) -> None:
    """Nothing came of it: the key is free again."""
    _mine(store, key, None)


def _mine(store: Store, key: str, answer: dict[str, Any] | None) -> None:
    t = schema.kept
    mine = (t.c.owner == store.owner) & (t.c.key == key)
    with writing(store.engine) as connection:
        connection.execute(delete(t).where(mine) if answer is None else update(t).where(mine).values(answer=answer))
