"""What waits and what runs, counted over all users: for the gallery's turns and for those who look after the server."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select

from remembrandt.store import schema
from remembrandt.store.rows import UNFINISHED, Job
from remembrandt.store.store import Store


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


def ended(store: Store) -> list[tuple[str, str, int]]:
    """How many jobs came to an end: kind, state, number."""
    t = schema.jobs
    with store.engine.begin() as connection:
        query = select(t.c.kind, t.c.state, func.count()).where(t.c.state.not_in(UNFINISHED))
        return [(kind, state, n) for kind, state, n in connection.execute(query.group_by(t.c.kind, t.c.state))]


def waited(store: Store) -> list[tuple[str, int, float]]:
    """Of the jobs that began once: kind, their number, and the seconds that they waited in all."""
    t = schema.jobs
    once = t.c.started.is_not(None) & (t.c.attempt == 1)
    with store.engine.begin() as connection:
        query = select(t.c.kind, func.count(), func.sum(t.c.started - t.c.created)).where(once).group_by(t.c.kind)
        return [(kind, n, seconds) for kind, n, seconds in connection.execute(query)]


def everyones(store: Store) -> list[Job]:
    """The jobs of all users, oldest first."""
    return store._all(Job, select(schema.jobs).order_by(schema.jobs.c.created))
