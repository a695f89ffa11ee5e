"""Delete-me: what a user gave and what was made of it goes at once; shared weights are rebuilt without it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from remembrandt.jobs.files import Home, remove
from remembrandt.jobs.process import alive
from remembrandt.store import audit, blobs, leaving, lineage, users
from remembrandt.store.rows import Concept, Model
from remembrandt.store.store import Store

PATIENCE = 10.0  # seconds for workers to let go of the user's jobs
Document = dict[str, Any]


def leave(store: Store, home: Home, who: str, where: Document) -> Document:
    """The receipt: `{user, models, concepts, photos, adapters, pictures, uploads, jobs, bytes, rebuilds}`.

    `where` holds the `device` and `precision` of the rebuilds, which are jobs of the home's own user.
    """
    store = store.of("")
    held = users.user(store, who)
    who = held.id if held else who
    running = leaving.close(store, who, alive)
    _settled(store, who, [job.id for job in running])
    own, shared = leaving.taught(store, who)
    ids = {m.id for m in own}
    concepts = [c for c in lineage.everything(store)[2] if c.model in ids] + [c for _, c in shared]
    jobs = [job.id for job in store.of(who).jobs()]
    adapters = _adapters(store, home, who, own, shared)
    rebuilds = [_rebuild(store, model, concept, where) for model, concept in shared if _woven(model)]
    photos = _photos(store, home, concepts)
    counts = leaving.scrub(store, who)
    freed = remove([*adapters, *photos, *(home.job(key) for key in jobs)]) + blobs.sweep(store, home.path, grace=0)
    receipt = {
        "user": held.name if held else who,
        "models": [m.name for m in own],
        "concepts": [c.identifier for c in concepts],
        "photos": len(photos),
        "adapters": len(adapters),
        "pictures": counts["images"],
        "uploads": counts["uploads"],
        "jobs": counts["jobs"],
        "bytes": freed,
        "rebuilds": rebuilds,
    }
    audit.note(store.of(who), "left", None, {k: v for k, v in receipt.items() if k != "user"})
    return receipt


def _settled(store: Store, who: str, keys: list[str]) -> None:
    """A worker hears of a cancellation within two seconds; what is still at work then writes nothing any more."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        found = [store.of(who).job(key) for key in keys]
        if all(job is None or job.state != "running" for job in found):
            return
        time.sleep(0.1)


def _woven(model: Model) -> bool:
    """Whether one set of weights holds all concepts."""
    return model.memory != "gated"


def _adapters(store: Store, home: Home, who: str, own: list[Model], shared: list[tuple[Model, Concept]]) -> list[Path]:
    """Where weights of theirs alone lie, once no row knows them any more."""
    known = [c for c in lineage.everything(store)[2] if c.model in {m.id for m in own}]
    places = [home.path / c.folder for c in known]
    for model in own:
        places += [home.path / v.weights for v in lineage.all_versions(store, model) if v.weights]
        lineage.drop(store.of(who), model, _never)
    for model, concept in shared:
        if not _woven(model):
            lineage.erase(store, model, concept, _never)
            places.append(home.path / concept.folder)
    return [p for p in dict.fromkeys(places) if p.exists()]


def _rebuild(store: Store, model: Model, concept: Concept, where: Document) -> Document:
    request = {"model": model.name, "concept": concept.id, "erase": True, **where}
    job = store.queue("forget", request, priority=10)
    return {"model": model.name, "concept": concept.identifier, "job": job.id}


def _photos(store: Store, home: Home, concepts: list[Concept]) -> list[Path]:
    """Those that no concept of somebody else was taught with."""
    gone = {c.id for c in concepts}
    still = {a for c in lineage.everything(store)[2] if c.id not in gone for a in _shown(c)}
    own = sorted({a for c in concepts for a in _shown(c)} - still)
    return [place for a in own if (place := home.photos / f"{a}.png").exists()]


def _shown(concept: Concept) -> list[str]:
    return [*concept.photos, *concept.facts.get("masks", ())]


def _never(worker: str) -> bool:
    """Nobody is at work any more."""
    return False
