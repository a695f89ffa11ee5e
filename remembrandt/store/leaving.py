"""A user leaves: what the database knows of them goes, but for the lines of what was done to shared models."""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import delete, select, update

from remembrandt.settings import Missing, Wrong
from remembrandt.store import schema
from remembrandt.store import transaction as within
from remembrandt.store.connect import writing
from remembrandt.store.rows import UNFINISHED, Concept, Job, Model
from remembrandt.store.store import Store
from remembrandt.store.transaction import Alive


def close(store: Store, who: str, alive: Alive) -> list[Job]:
    """From now on no token of theirs is valid and no job of theirs begins; those that living workers still run."""
    u, t, j, now = schema.users, schema.tokens, schema.jobs, time.time()
    if not who:
        raise Wrong("the local user is the home's own: delete the home instead")
    with writing(store.engine) as connection:
        gone = update(u).where(u.c.id == who, u.c.gone.is_(None))
        if not connection.execute(gone.values(gone=now, name=f"gone-{who}", secret=None, consent=None)).rowcount:
            raise Missing(f"there is no user {who!r}: `users list` names them")
        connection.execute(update(t).where(t.c.user == who, t.c.revoked.is_(None)).values(revoked=now))
        running = []
        for row in connection.execute(select(j).where(j.c.owner == who, j.c.state.in_(UNFINISHED))).all():
            lives = row.state == "running" and alive(row.worker or "")
            change = {"cancel": True} if lives else {"state": "canceled", "finished": now}
            connection.execute(update(j).where(j.c.id == row.id).values(**change))
            within.happened(connection, row.id, "canceling" if lives else "canceled", {})
            running += [within.read(Job, row)] * lives
        return running


def taught(store: Store, who: str) -> tuple[list[Model], list[tuple[Model, Concept]]]:
    """Their own models; and what they, or whoever promoted their concepts, taught to everyone's."""
    m, c, j = schema.models, schema.concepts, schema.jobs
    with store.engine.begin() as connection:
        models = within.several(connection, Model, select(m))
        concepts = within.several(connection, Concept, select(c))
        owners = {row.id: row.owner for row in connection.execute(select(j.c.id, j.c.owner))}
    own, shared = {x.id for x in models if x.owner == who}, {x.id: x for x in models if x.scope == "meta"}
    photos = {a for x in concepts if x.model in own or owners.get(x.job) == who for a in x.photos}
    theirs = [
        x
        for x in concepts
        if x.model in shared
        and (owners.get(x.job) == who or (owners.get(x.job, "") == "" and photos.intersection(x.photos)))
    ]
    return [x for x in models if x.owner == who], [(shared[x.model], x) for x in theirs]


def scrub(store: Store, who: str) -> dict[str, int]:
    """Uploads, pictures, kept answers, deliveries and the words of their jobs; how many of each."""
    counts: dict[str, int] = {}
    j = schema.jobs
    own: Any = select(j.c.id).where(j.c.owner == who)
    with writing(store.engine) as connection:
        for name in ("uploads", "images", "kept", "deliveries"):
            t = schema.METADATA.tables[name]
            counts[name] = connection.execute(delete(t).where(t.c.owner == who)).rowcount
        connection.execute(delete(schema.events).where(schema.events.c.job.in_(own)))
        bare = {"request": {}, "result": None, "error": None, "webhook": None, "model": None}
        counts["jobs"] = connection.execute(update(j).where(j.c.owner == who).values(**bare)).rowcount
    return counts
