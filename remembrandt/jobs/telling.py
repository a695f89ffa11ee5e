"""Rows of the store as the documents that users see."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from remembrandt.jobs import painters
from remembrandt.jobs.files import Home, size
from remembrandt.jobs.keeping import weight
from remembrandt.jobs.painters import MINE, POCKET, PRETRAINED
from remembrandt.jobs.process import alive
from remembrandt.settings import Denied
from remembrandt.store import audit as lines
from remembrandt.store import lanes, queue, users
from remembrandt.store.lineage import PAST
from remembrandt.store.rows import ENDED, Concept, Job, Model
from remembrandt.store.store import Store

Document = dict[str, Any]


def models(store: Store, home: Home) -> list[Document]:
    """The base itself, then what was taught, then the LoRAs that were imported."""
    rows = [_untaught(PRETRAINED)]
    for held in store.models():
        row = {"name": held.name, "scope": held.scope, "memory": held.memory}
        facts = {"base": held.base["name"], "version": held.version}
        rows.append({**row, **facts, "concepts": len(store.concepts(held)), "bytes": weight(store, home, held)})
    for place in sorted(home.loras.glob("[!.]*/manifest.json")):
        guest = {"name": place.parent.name, "scope": "lora", "memory": None, "base": None, "version": 0, "concepts": 0}
        rows.append({**guest, "bytes": size([place.parent])})
    return rows


def model(store: Store, held: Model | None, name: str) -> Document:
    """Everything about one model; None is one that was taught nothing yet."""
    if held is None:
        return {**_untaught(name), "worn_by": Model.worn_by, "concepts": [], "versions": []}
    rows = [asdict(v) for v in store.versions(held.id)]
    versions = [{**row, "retention": {k: v for k, v in row["retention"].items() if k != PAST}} for row in rows]
    return {
        "name": held.name,
        "scope": held.scope,
        "memory": held.memory,
        "base": held.base,
        "version": held.version,
        "worn_by": held.worn_by,
        "created": held.created,
        "concepts": [concept(c, held) for c in store.concepts(held)],
        "versions": [{k: v for k, v in row.items() if k != "model"} for row in versions],
    }


def concept(row: Concept, held: Model) -> Document:
    """A concept of a model."""
    return {
        "id": row.id,
        "identifier": row.identifier,
        "name": row.name,
        "category": row.category,
        "model": held.name,
        "method": row.method,
        "lesson": row.lesson,
        "photos": len(row.photos),
        "job": row.job,
        "created": row.created,
        **{k: row.facts.get(k) for k in ("prompts", "class_prompt", "options", "seed")},
    }


def job(row: Job, store: Store, places: dict[str, int] | None = None) -> Document:
    """A job as everybody sees it; one whose process is gone is interrupted, whoever looks.

    `position`: 0 runs, 1 is next, None waits for nobody; `eta` in seconds; `seq` is that of its last event.
    """
    gone = row.state == "running" and not alive(row.worker or "")
    about = row.request.get("concept", {})
    named = about if isinstance(about, dict) else {}
    ended = row.state in ENDED
    places = places if places is not None or ended else queue.places(store)
    place = None if ended else 0 if row.state == "running" else (places or {}).get(row.id)
    return {
        "id": row.id,
        "kind": row.kind,
        "state": "interrupted" if gone else row.state,
        "stage": row.stage,
        "step": row.step,
        "total": row.total,
        "loss": row.loss,
        "model": row.request.get("model"),
        "identifier": named.get("identifier"),
        "category": named.get("category"),
        "error": row.error,
        "position": place,
        "eta": None if ended or gone or place is None else queue.eta(store, row, place),
        "seq": row.seq,
        "created": row.created,
        "started": row.started,
        "finished": row.finished,
    }


def jobs(store: Store, rows: list[Job]) -> list[Document]:
    """Several, whose positions are looked up once."""
    places = queue.places(store)
    return [job(row, store, places) for row in rows]


def everyones_jobs(store: Store) -> list[Document]:
    """With whose each is; for the home's own user."""
    if store.owner:
        raise Denied("only the home's own user sees everyone's jobs")
    own, rows = _names(store), lanes.everyones(store)
    told = zip(rows, jobs(store, rows), strict=True)
    return [{**document, "user": own.get(row.owner, row.owner)} for row, document in told]


def audit(store: Store, model: str | None = None) -> list[Document]:
    """The lines `{time, user, what, model, data}`, of one model or all; of a server's user their own."""
    own = _names(store)
    names = {m.id: m.name for m in store.models()}
    held = None if model is None else painters.taught(store, model)
    found = lines.lines(store, held and held.id)
    return [
        {"time": x.time, "user": own.get(x.owner, x.owner), "what": x.what, "model": names.get(x.model or "", x.model)}
        | {"data": x.data}
        for x in found
    ]


def samplers() -> list[Document]:
    """As `Service.samplers` tells them."""
    from remembrandt.diffusion.samplers import SAMPLERS

    return [
        {
            "name": name,
            "label": row.label,
            "order": row.order,
            "calls_per_step": row.calls,
            "steps": row.steps,
            "stochastic": row.stochastic,
            "advice": row.advice,
        }
        for name, row in SAMPLERS.items()
    ]


def _names(store: Store) -> dict[str, str]:
    return {u.id: u.name for u in users.users(store)}


def _untaught(name: str) -> Document:
    mine = name == MINE
    scope, memory = ("private_meta", "gated") if mine else (PRETRAINED, None)
    fresh = {"version": 0, "concepts": 0, "bytes": 0}
    return {"name": name, "scope": scope, "memory": memory, "base": POCKET, **fresh}
