"""Events on their way to webhooks; `transaction.happened` writes the rows, with the change that they tell of."""

from __future__ import annotations

import time
from collections.abc import Collection

from sqlalchemy import func, select, update

from remembrandt.settings import Missing
from remembrandt.store import schema
from remembrandt.store.connect import writing
from remembrandt.store.rows import Delivery
from remembrandt.store.store import Store


def due(store: Store, now: float, each: int = 20, but: Collection[str] = ()) -> list[Delivery]:
    """What is to be sent by `now`, oldest first: of every user up to `each`, and nothing of the jobs `but`."""
    t = schema.deliveries
    turn = func.row_number().over(partition_by=t.c.owner, order_by=(t.c.created, t.c.seq)).label("turn")
    waits = t.c.not_before.is_not(None) & (t.c.not_before <= now) & t.c.job.not_in(but)
    ranked = select(t.c.id, turn).where(waits).subquery()
    chosen = select(t).join(ranked, ranked.c.id == t.c.id).where(ranked.c.turn <= each)
    return store._all(Delivery, chosen.order_by(t.c.created, t.c.seq))


def deliveries(store: Store, job: str | None = None) -> list[Delivery]:
    """The owner's, of one job or all, oldest first."""
    t = schema.deliveries
    mine = (t.c.owner == store.owner) if job is None else (t.c.owner == store.owner) & (t.c.job == job)
    return store._all(Delivery, select(t).where(mine).order_by(t.c.created, t.c.seq))


def write(store: Store, key: str, body: str) -> None:
    """The bytes that are signed and sent, once and for every retry."""
    _set(store, key, body=body)


def sent(store: Store, key: str, status: int) -> None:
    """It has arrived."""
    _tried(store, key, status=status, delivered=time.time(), not_before=None, error=None)


def again(store: Store, key: str, not_before: float, status: int | None, error: str) -> None:
    """It has not arrived and is tried again."""
    _tried(store, key, status=status, error=error, not_before=not_before)


def give_up(store: Store, key: str, status: int | None, error: str) -> None:
    """It is not tried again by itself."""
    _tried(store, key, status=status, error=error, not_before=None)


def replay(store: Store, key: str) -> Delivery:
    """Send one of the owner's once more, now."""
    t = schema.deliveries
    with writing(store.engine) as connection:
        mine = update(t).where(t.c.id == key, t.c.owner == store.owner)
        if not connection.execute(mine.values(not_before=0.0, delivered=None, error=None)).rowcount:
            raise Missing(f"there is no delivery {key!r}")
    found = store._one(Delivery, select(t).where(t.c.id == key))
    assert found is not None
    return found


def _tried(store: Store, key: str, **values) -> None:
    _set(store, key, **values, tries=schema.deliveries.c.tries + 1)


def _set(store: Store, key: str, **values) -> None:
    t = schema.deliveries
    with writing(store.engine) as connection:
        connection.execute(update(t).where(t.c.id == key).values(**values))
