"""A model made from another one: all its concepts at once, in one version."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import insert, select, update

from remembrandt.settings import Wrong
from remembrandt.store import schema
from remembrandt.store import transaction as within
from remembrandt.store.connect import writing
from remembrandt.store.rows import Concept, Job, Model, Version
from remembrandt.store.store import Store
from remembrandt.store.transaction import Alive


def begin(
    store: Store,
    key: str,
    kind: str,
    model: Model,
    request: dict[str, Any],
    alive: Alive,
    priority: int | None = None,
    webhook: dict[str, Any] | None = None,
) -> Job:
    """Queue job `key`, which makes `model` or its next version; one transaction."""
    with writing(store.engine) as connection:
        held = within.model(connection, replace(model, owner="" if model.scope == "meta" else store.owner))
        if priority is None:
            within.not_taught_now(connection, held, alive)
        queued = {"owner": store.owner, "created": time.time(), "priority": priority, "webhook": webhook}
        job = Job(key, kind, held.id, "queued", request, **queued)
        connection.execute(insert(schema.jobs), asdict(job))
    return job


def adopt(store: Store, job: Job, concepts: Sequence[Concept], base: dict, result: dict, weights: str) -> dict:
    """The model's next version holds these `concepts` and no others; its job has succeeded. One transaction.

    Returns the result with its version; `Wrong` if the model was made anew meanwhile.
    """
    now, t = time.time(), schema.models
    with writing(store.engine) as connection:
        within.wanted(connection, job)
        held = within.read(Model, connection.execute(select(t).where(t.c.id == job.model)).one())
        if held.version != job.request["version"]:
            raise Wrong(f"{held.name} has changed since this consolidation began: consolidate anew")
        number = within.following(connection, held.id)
        result = {**result, "model": held.name, "version": number}
        ids = [c.id for c in concepts]
        row = Version(held.id, number, job.id, ids, weights, result["retention"], held.version, now)
        connection.execute(insert(schema.versions), asdict(row))
        connection.execute(
            insert(schema.concepts), [asdict(replace(c, model=held.id, lesson=number, created=now)) for c in concepts]
        )
        connection.execute(update(t).where(t.c.id == held.id).values(version=number, base=base))
        done = {"state": "succeeded", "result": result, "finished": now, "error": None}
        within.change(connection, job, **done, step=result["steps"], total=result["steps"])
        within.happened(connection, job.id, "succeeded", result)
        if held.scope == "meta":
            told = {"job": job.id, "name": held.name, "version": number, "concepts": [c.identifier for c in concepts]}
            within.noted(connection, job.owner, "consolidation published", held.id, told)
    return result
