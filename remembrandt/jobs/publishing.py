"""How a consolidation that passed becomes a model; no torch, as the runner has none."""

from __future__ import annotations

from typing import Any

from remembrandt.jobs import files as places
from remembrandt.jobs.files import Files
from remembrandt.store import adopting
from remembrandt.store.rows import Concept, Job
from remembrandt.store.store import Store

Document = dict[str, Any]


def consolidated(store: Store, job: Job, files: Files, found: Document) -> Document:
    """Make it a model's next version: files first, each folder moved in one piece; then one transaction."""
    request, home = job.request, files.home
    weights = home.concept(request["model"], job.id)
    places.move(files.folder / "staging" / "weights", weights)
    places.share(weights, [home.path / place for place in (request["base"]["folder"],) if place])
    rows = []
    for known, about in zip(request["older"], request["about"], strict=True):
        folder = home.concept(request["model"], known["id"])
        places.move(files.folder / "staging" / known["id"], folder)
        own = {k: known[k] for k in ("id", "identifier", "name", "category")}
        more = {k: about[k] for k in ("method", "photos", "facts")}
        rows.append(Concept(**own, **more, model="", folder=home.relative(folder), job=job.id, lesson=0))
    result = adopting.adopt(store, job, rows, request["base"], report(job, found), home.relative(weights))
    files.tidy()
    return result


def report(job: Job, found: Document) -> Document:
    """What `consolidate` tells, but for its version."""
    request = job.request
    shown = ("identifier", "name", "category")
    return {
        "model": request["model"],
        "version": request["version"],
        "source": request["source"],
        "concepts": [{k: row[k] for k in shown} for row in request["older"]],
        "memory": request["memory"],
        "scope": request["scope"],
        "base": request["base"]["name"],
        "steps": found["steps"],
        "seconds": found["seconds"],
        "job": job.id,
        "retention": found["retention"],
    }
