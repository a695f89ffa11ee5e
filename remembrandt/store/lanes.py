"""What waits and what runs, counted over all users: for the gallery's turns and for those who look after the server."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select

from remembrandt.store import schema
from remembrandt.store.store import Store

UNFINISHED = ("queued", "running", "interrupted")


def owners(store: Store, kinds: Sequence[str]) -> set[str]:
    """Whose jobs of these kinds wait for a worker."""
    t = schema.jobs
    waits = t.c.state.in_(("queued", "interrupted")) & t.c.priority.is_not(None)
    with store.engine.begin() as connection:
        return set(connection.execute(select(t.c.owner).where(waits, t.c.kind.in_(kinds)).distinct()).scalars())


def unfinished(store: Store) -> list[tuple[str, str]]:
    """Kind and state of every job that has not ended."""
    t = schema.jobs
    with store.engine.begin() as connection:
        rows = connection.execute(select(t.c.kind, t.c.state).where(t.c.state.in_(UNFINISHED)))
        return [(row.kind, row.state) for row in rows]
