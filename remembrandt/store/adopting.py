"""A model made from another one: all its concepts at once, in one version."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import insert, select, update

from remembrandt.settings import Wrong
from remembrandt.store import schema
from remembrandt.store.connect import writing
from remembrandt.store.rows import Concept, Job, Model, Version
from remembrandt.store.store import Alive, Store, _change, _happened, _model, _next, _not_taught_now, _read


def begin(store: Store, key: str, kind: str, model: Model, request: dict[str, Any], alive: Alive) -> Job:
    """Queue job `key`, which makes `model` or its next version; one transaction."""
    with writing(store.engine) as connection:
        held = _model(connection, model)
        _not_taught_now(connection, held, alive)
        job = Job(key, kind, held.id, "queued", request, owner=held.owner, created=time.time())
        connection.execute(insert(schema.jobs), asdict(job))
    return job


def adopt(store: Store, job: Job, concepts: Sequence[Concept], base: dict, result: dict, weights: str) -> dict:
    """The model's next version holds these `concepts` and no others; its job has succeeded. One transaction.

    Returns the result with its version; `Wrong` if the model was made anew meanwhile.
    """
    now, t = time.time(), schema.models
    with writing(store.engine) as connection:
        held = _read(Model, connection.execute(select(t).where(t.c.id == job.model)).one())
        if held.version != job.request["version"]:
            raise Wrong(f"{held.name} has changed since this consolidation began: consolidate anew")
        number = _next(connection, held.id)
        result = {**result, "model": held.name, "version": number}
        ids = [c.id for c in concepts]
        row = Version(held.id, number, job.id, ids, weights, result["retention"], held.version, now)
        connection.execute(insert(schema.versions), asdict(row))
        connection.execute(
            insert(schema.concepts), [asdict(replace(c, model=held.id, lesson=number, created=now)) for c in concepts]
        )
        connection.execute(update(t).where(t.c.id == held.id).values(version=number, base=base))
        done = {"state": "succeeded", "result": result, "finished": now, "error": None}
        _change(connection, job, **done, step=result["steps"], total=result["steps"])
        _happened(connection, job.id, "succeeded", result)
    return result
