"""What becomes of models and concepts after their lessons: each use case returns its receipt.

Rows first, then files: killed between the two, a file is left that no row names, and `clean` takes it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from remembrandt.jobs import painters
from remembrandt.jobs.files import Home, document, remove, size
from remembrandt.jobs.painters import MODEL_NAME, RESERVED
from remembrandt.jobs.process import alive
from remembrandt.report import link, write_atomic
from remembrandt.settings import Denied, Missing, Wrong, nearest
from remembrandt.store import lineage
from remembrandt.store.rows import Concept, Job, Model, Version
from remembrandt.store.store import Store, new_id

Document = dict[str, Any]


def versions(store: Store, home: Home, name: str) -> list[Document]:
    """The versions of a model, oldest first; `bytes` is what each needs beyond the base, shared or not."""
    held = painters.taught(store, name)
    known = {c.id: c for c in lineage.everything(store)[2]}
    return [
        {
            "version": v.number,
            "present": v.number == held.version,
            "parent": v.parent,
            "concepts": [known[key].identifier for key in v.concepts],
            **_rungs(home, next((known[key] for key in v.concepts if known[key].lesson == v.number), None)),
            "mean_retention": v.retention.get("mean"),
            "worst_retention": v.retention.get("worst"),
            "bytes": size(home.path / place for place in _places(v, known, held)),
            "job": v.job,
            "created": v.created,
        }
        for v in store.versions(held.id)
    ]


def _rungs(home: Home, concept: Concept | None) -> Document:
    """Of the lesson that made a version: its steps, and the rungs that `pick` can publish."""
    if concept is None:
        return {"steps": None, "rungs": []}
    return {"steps": concept.facts["options"].get("steps"), "rungs": (_ladder(home, concept) or {"kept": []})["kept"]}


def _ladder(home: Home, concept: Concept) -> Document | None:
    return document(home.path / concept.folder / "ladder" / "ladder.json")


def pick(
    store: Store, home: Home, name: str, steps: int, word: str | None, judge: Callable[[str, Path], Document]
) -> Document:
    """Publish another rung of a concept's lesson (without `word` the newest one's), without training again.

    Where weights moved that older concepts share, `judge(job, weights)` says what they lost: `Wrong` if too much.
    """
    held = painters.taught(store, name)
    concept = find(store, held, word) if word else store.concepts(held)[-1]
    now = store.version(held.id, held.version)
    assert now is not None
    found, source = _ladder(home, concept), home.path / concept.folder
    if found is None:
        raise Wrong(f"the lesson on {concept.identifier!r} left no ladder: teach it with --steps auto")
    rung, moved, was = source / "ladder" / f"{steps:06d}", now.weights is not None, concept.facts["options"]["steps"]
    if steps not in found["kept"] or steps == was:
        there = ", ".join(f"{k}{' (published)' * (k == was)}" for k in found["kept"]) or "none was kept"
        raise Wrong(f"{concept.identifier!r} has no other rung of {steps} steps: {there}")
    if moved and (concept.lesson != held.version or (rung / "manifest.json").is_file()):
        raise Wrong(f"the weights of {held.name} hold more than this rung: teach {concept.identifier!r} anew instead")
    new = _rung(home, held, concept, rung)
    known = next(doc["known"] for doc in found["rungs"] if doc["steps"] == steps)
    kept: Document = {"mean": 1.0, "worst": 1.0}
    if moved:
        kept = {"mean": None, "worst": None, "measure": "not measured"}
    if moved and len(now.concepts) > 1:
        kept = judge(concept.job, home.path / new.folder)
        if not kept["published"]:
            remove([home.path / new.folder])
            raise Wrong(f"the rung of {steps} steps is not published: {kept['why']}")
    kept |= {"published": True, "picked": steps, "concepts": {**kept.get("concepts", {}), new.id: known}}
    made = lineage.exchange(store, held, concept, new, new.folder if moved else None, kept, alive)
    told = {"model": held.name, "version": made.number, "was": held.version, "concept": new.id}
    about = {"identifier": concept.identifier, "steps": steps, "steps_before": was}
    return {**told, **about, "undo": f"models rollback {held.name}"}


def _rung(home: Home, held: Model, concept: Concept, rung: Path) -> Concept:
    """The concept as it was at a rung, with files of its own that share what is equal."""
    key, source, steps = new_id(), home.path / concept.folder, int(rung.name)
    target = home.concept(held.name, key)
    draft, own = target.with_name(f".{key}"), {p.name for p in rung.iterdir()}
    link(source, draft, ignore=lambda folder, names: own if Path(folder) == source else ())
    link(rung, draft, dirs_exist_ok=True)
    if "manifest.json" in own:
        told = {**(document(rung / "manifest.json") or {}), "concept": key}
        write_atomic(draft / "manifest.json", json.dumps(told, indent=1, sort_keys=True) + "\n")
    draft.rename(target)
    facts = {**concept.facts, "options": {**concept.facts["options"], "steps": steps}}
    return replace(concept, id=key, folder=home.relative(target), facts=facts)


def weight(store: Store, home: Home, model: Model) -> int:
    """Bytes of all versions of a model together, beyond its base."""
    known = {c.id: c for c in lineage.everything(store)[2]}
    return size(home.path / place for v in store.versions(model.id) for place in _places(v, known, model))


def _places(version: Version, known: dict[str, Concept], model: Model) -> list[str]:
    """What a version needs: where weights are shared, a concept has no folder but that of some version."""
    own = [known[key].folder for key in version.concepts if model.memory != "replay"]
    return own if version.weights is None else [*own, version.weights]


def rollback(store: Store, name: str) -> Document:
    """One version back."""
    held = painters.taught(store, name)
    had = {c.id: c.identifier for c in store.concepts(held)}
    now = lineage.rollback(store, held, alive)
    return {
        "model": held.name,
        "version": now.number,
        "was": held.version,
        "lost": [word for key, word in had.items() if key not in now.concepts],
        "concepts": [c.identifier for c in store.concepts(painters.taught(store, name))],
    }


def forget(store: Store, home: Home, name: str, word: str) -> Document:
    """Take one concept out again. Its files stay until `clean`, so that `models rollback` brings it back."""
    held = painters.taught(store, name)
    concept = find(store, held, word)
    _one_of_many(held, "forget")
    made = lineage.without(store, held, concept, alive)
    return {
        "model": held.name,
        "version": made.number,
        "was": held.version,
        "concept": concept.id,
        "identifier": concept.identifier,
        "bytes": size([home.path / concept.folder]),
        "undo": f"models rollback {held.name}",
    }


def _one_of_many(model: Model, what: str) -> None:
    if model.scope == "private":
        raise Wrong(f"{model.name} is private and holds one concept: `models delete {model.name}` takes both")
    if model.memory == "consolidated":
        raise Wrong(f"{model.name} is consolidated: {what} the concept in its gated source, then consolidate again")


def rename(store: Store, name: str, to: str) -> Document:
    """Another name for a model."""
    held = painters.taught(store, name)
    if to in RESERVED or not MODEL_NAME.fullmatch(to):
        raise Wrong(f"model name {to!r} is the base's, or not letters, digits, '-', '_' and '.', 64 at most")
    lineage.rename(store, held, to, alive)
    return {"model": to, "was": held.name, "version": held.version}


def delete(store: Store, home: Home, name: str) -> Document:
    """A model with all its versions, concepts and photos, for good; or an imported LoRA."""
    guests = [p.parent for p in home.loras.glob("[!.]*/manifest.json") if p.parent.name == name]
    if guests and not store.owner and not any(m.name == name for m in store.models()):
        return {"lora": name, "bytes": remove(guests)}
    held = painters.taught(store, name)
    rows, concepts = store.versions(held.id), [c for c in lineage.everything(store)[2] if c.model == held.id]
    lineage.drop(store, held, alive)
    own = [c.folder for c in concepts] + [v.weights for v in rows if v.weights]
    places = [*(home.path / place for place in own), *_alone(store, home, concepts)]
    told = {"versions": len(rows), "concepts": [c.identifier for c in concepts]}
    return {"model": held.name, **told, "bytes": remove(places)}


def call(store: Store, model: Model, concept: Concept, check: Callable[[Collection[str]], str]) -> Document:
    """Another name for a concept; `check(taken)` gives it as it will be written."""
    others = [c for c in store.concepts(model) if c.id != concept.id]
    names = {c.name for c in others if c.name} | {w for c in (*others, concept) for w in c.category.lower().split()}
    told = check(names | store.used(model.id))
    lineage.call(store, concept, told)
    facts = {"concept": concept.id, "identifier": concept.identifier, "model": model.name}
    return {**facts, "name": told, "was": concept.name}


def erase(store: Store, home: Home, model: Model, concept: Concept) -> Document:
    """A concept with its adapter and photos, out of every version, for good."""
    _one_of_many(model, "delete")
    if model.memory == "replay":
        raise Wrong(f"the weights of {model.name} hold all concepts: `models forget` teaches the others without it")
    lineage.erase(store, model, concept, alive)
    freed = remove([home.path / concept.folder, *_alone(store, home, [concept])])
    told = {"concept": concept.id, "identifier": concept.identifier, "name": concept.name, "model": model.name}
    return {**told, "bytes": freed}


def clean(store: Store, home: Home) -> Document:
    """Free what no model needs any more.

    Versions that `models rollback` cannot reach, adapters, weights, photos and bases that no version
    holds, class images (which are painted anew when they are wanted), and files of ended jobs.
    """
    if store.owner:
        raise Denied("only the home's own user cleans it")
    gone = lineage.prune(store, alive)
    models, rows, concepts = lineage.everything(store)
    shared = {m.id for m in models if m.memory == "replay"}
    needed = {v.weights for v in rows} | {m.base["folder"] for m in models}
    needed |= {c.folder for c in concepts if c.model not in shared}
    kept = {home.path / Path(place) for place in needed if place}
    kept |= {p.parent for p in kept}  # a base that is one file lies in a folder of its own
    photos = {f"{address}.png" for c in concepts for address in _shown(c)}
    waiting = lineage.unfinished(store)
    kept |= {home.concept(j.request["model"], key) for j in waiting for key in _making(j)}
    jobs = {j.id for j in waiting} | {v.job for v in rows} | {c.job for c in concepts}
    found = {
        "weights": [p for p in home.path.glob("models/*/*") if p not in kept],
        "bases": [p for p in home.bases.glob("*") if p not in kept],
        "photos": [p for p in home.photos.glob("*") if p.name not in photos],
        "class_images": list(home.class_pictures.glob("*")),
        "jobs": [p for p in home.path.glob("jobs/*") if p.name not in jobs],
    }
    counts = {what: len(places) for what, places in found.items()}
    freed = remove(place for places in found.values() for place in places)
    return {"bytes": freed, "versions": len(gone), **counts}


def _making(job: Job) -> list[str]:
    """The ids of what a job publishes: the folders may lie there already, the rows not yet."""
    if job.kind == "consolidate":
        return [job.id, *(concept["id"] for concept in job.request["older"])]
    return [job.request["concept"]["id"]] if "concept" in job.request else []


def find(store: Store, model: Model, word: str) -> Concept:
    """The concept of a model by identifier, name or id."""
    known = store.concepts(model)
    found = next((c for c in known if word.lower() in (c.identifier, c.name, c.id)), None)
    if found is None:
        hint = nearest(word, [w for c in known for w in (c.identifier, c.name) if w])
        raise Missing(f"{model.name} knows no concept {word!r}.{hint} `concepts list` names them")
    return found


def _shown(concept: Concept) -> list[str]:
    """The addresses of what it was taught from: its photos, and their masks."""
    return [*concept.photos, *concept.facts.get("masks", ())]


def _alone(store: Store, home: Home, concepts: list[Concept]) -> list[Path]:
    """The photos and lessons' files of these concepts, but for photos that others were taught with too."""
    still = {address for c in lineage.everything(store)[2] for address in _shown(c)}
    photos = {home.photos / f"{a}.png" for c in concepts for a in _shown(c) if a not in still}
    return [*sorted(photos), *(home.job(c.job) for c in concepts)]
