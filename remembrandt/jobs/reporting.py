"""The retention report of a model: what its lessons wrote down, and what is measured now."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from remembrandt.evaluation import features, fidelity
from remembrandt.family.family import Family
from remembrandt.jobs import painters, work
from remembrandt.jobs.files import Files, document, read
from remembrandt.memory import measuring, page, retention, seen
from remembrandt.memory.library import Concept as Known
from remembrandt.memory.library import Library
from remembrandt.memory.measuring import Subject
from remembrandt.report import Event, Progress, write_atomic
from remembrandt.store import lineage
from remembrandt.store.rows import Concept, Model, Version
from remembrandt.store.store import Store

Document = dict[str, Any]


def report(
    store: Store, files: Files, name: str, out: Path, where: Document, *, full: bool = False, progress: Progress
) -> Document:
    """Write `report.html`, `report.json` and `retention.png` under `out`; the answer is that of `report.json`.

    Without `full` at most eight concepts are measured, by turns; the others keep the figures that they had.
    """
    held = painters.taught(store, name)
    request = {**painters.painter(store, name), **where}
    family, library = work.based(request, files), work.library(request, files.home)
    concepts, lessons = store.concepts(held), [v for v in lineage.ancestry(store, held) if v.job]
    numbered = {v.number: k for k, v in enumerate(lessons)}
    turn = concepts if full else retention.turn(concepts, held.version)  # type: ignore[arg-type]
    now = {c.id for c in turn}
    bare = family if held.memory == "gated" else work.based({**request, "weights": None}, files)
    judges, rows = seen.eyes(bare), []
    for k, concept in enumerate(concepts):
        progress(Event("measuring", k, len(concepts)))
        row = _row(held, concept, lessons, numbered, family, bare, library, files, concept.id in now, full)
        rows.append(row | {"judged": _judged(held, concept, row, lessons, judges, bare, files)})
    progress(Event("measuring", len(concepts), len(concepts)))
    base = _base(held, rows, lessons, family, bare, judges, library, files)
    kept = [row["retention"] for row in rows if row["retention"] is not None]
    matrix = np.array([[np.nan if f is None else f for f in row["fidelity"]] for row in rows], float).T
    told = {
        "model": held.name,
        "version": held.version,
        "memory": held.memory,
        "base": held.base["name"],
        "lessons": [_lesson(v, store) for v in lessons],
        "concepts": rows,
        "mean_retention": float(np.mean(kept)) if kept else None,
        "worst_retention": min(kept, default=None),
        "forgetting": fidelity.forgetting(matrix) if matrix.size else 0.0,
        "lag": [None if np.isnan(x) else float(x) for x in fidelity.lag(matrix)] if matrix.size else [],
        **base,
        "page": str(out / "report.html"),
    }
    page.write(told, out)
    return told


def _lesson(version: Version, store: Store) -> Document:
    job = store.job(version.job)
    about = job.request.get("concept", {}) if job else {}
    if word := version.retention.get("forgot"):  # the others were taught anew, which is no lesson on one of them
        return {"version": version.number, "identifier": None, "category": None, "forgot": word}
    return {"version": version.number, "identifier": about.get("identifier"), "category": about.get("category")}


def _row(
    held: Model, concept: Concept, lessons: Sequence[Version], numbered: dict[int, int],
    family: Family, bare: Family, library: Library, files: Files, measure: bool, full: bool,
) -> Document:  # fmt: skip
    """One concept: its fidelity after every lesson, its strips, and how freely it is painted."""
    known = library.find(concept.identifier)
    kept = (concept.photos, concept.facts.get("masks") or ())
    photos, masks = ([files.home.photos / f"{address}.png" for address in some] for some in kept)
    pairs = [(p, mask) for p, mask in zip_longest(photos, masks) if p.is_file()]
    photos, shades = [p for p, _ in pairs], [read(mask)[..., 0] for _, mask in pairs if mask and mask.is_file()]
    prompt, squares = concept.facts["prompts"][0], [read(p) for p in photos]
    subject = Subject(known, prompt, squares, shades if len(shades) == len(photos) else ())
    gated, own = held.memory == "gated", numbered.get(concept.lesson, 0)
    told = [v.retention.get("concepts", {}).get(concept.id) for v in lessons]
    first = told[own] if own < len(told) else None
    docs = [first if gated and k >= own else t for k, t in enumerate(told)]
    fidelities = [t.get("fidelity") if t and first else None for t in docs]
    measured = [k == own or t is not None for k, t in enumerate(told)]
    if first and photos and fidelities and (full or (measure and not gated)):
        fidelities[-1] = measuring.remaining(measuring.losses(family, library, subject, subject.prompt), first)
        measured[-1] = True
    strips = _strips(held, concept, lessons[own:], subject, family, library, files, measure)
    free = _freely(held, concept, subject, family, bare, library, files) if measure and photos else {}
    for repeat in free.get("repeats", []):
        repeat["name"] = _named(concept, repeat["photo"])
    row = {k: getattr(concept, k) for k in ("id", "identifier", "name", "category", "method")}
    return row | {
        "lesson": own + 1,
        "fidelity": fidelities,
        "measured": measured,
        "retention": _retained(held.memory, fidelities),
        **{k: (first or {}).get(k) for k in ("gain", "noise", "held_out", "pairs")},
        "photos": [str(p) for p in photos],
        "strips": strips,
        "freely": free,
        "advice": measuring.advice(first or {}, free),
    }


def _retained(memory: str, fidelities: Sequence[float | None]) -> float | None:
    """Of a gated concept all: what changed a picture was never published. A consolidated one's fidelity is already of
    its teacher's.
    """
    if memory == "gated":
        return 1.0
    return fidelities[-1] if memory == "consolidated" and fidelities else fidelity_kept(fidelities)


def _judged(held, concept, row, lessons, judges, bare, files) -> list[Document | None]:
    """What the judges see in the strip that each lesson left of a concept; of a gated one the same from its own on."""
    if judges.look is None and judges.judge is None:
        return [None] * len(lessons)
    photos = [read(Path(path)) for path in row["photos"]]
    subject = Subject(Known(concept.id, concept.identifier, concept.category), concept.facts["prompts"][0], photos)
    scenes, base = subject.scenes(concept.category), files.home.job(concept.job) / "samples" / f"{concept.id}-base"
    plain = [read(path) for path in measuring.strip(bare, Library(), scenes, base)]
    found: dict[int, Document] = {}
    for strip in row["strips"]:
        pictures = [read(Path(path)) for path in strip["paths"]]
        found[strip["version"]] = seen.judged(judges, subject, (pictures, scenes[: len(pictures)]), (plain, scenes))
    told = [found.get(version.number) for version in lessons]
    own = row["lesson"] - 1
    return [told[own] if held.memory == "gated" and k > own else t for k, t in enumerate(told)]


def fidelity_kept(fidelities: Sequence[float | None]) -> float | None:
    """The last fidelity by the first; None if it is not measurable."""
    known = [f for f in fidelities if f is not None]
    return known[-1] / known[0] if known and fidelities[-1] is not None and known[0] > 0 else None


def _named(concept: Concept, number: int) -> str:
    names = concept.facts.get("names") or []
    return names[number] if number < len(names) else f"photo {number + 1}"


def _strips(held, concept, lessons, subject, family, library, files, measure) -> list[Document]:
    """`{lesson, paths}` of every lesson since its own that left pictures of it; in a gated model one stands for all."""
    found = []
    for version in lessons[:1] if held.memory == "gated" else lessons:
        folder = files.home.job(version.job) / "samples" / concept.id
        if measure and version is lessons[-1] and not folder.is_dir():
            measuring.strip(family, library, subject.scenes(f"{concept.identifier} {concept.category}"), folder)
        if folder.is_dir():
            paths = sorted(folder.glob("*.png"))
            found.append({"version": version.number, "paths": [str(p) for p in paths]})
    return found


def _freely(held, concept, subject, family, bare, library, files) -> Document:
    """Measured once for a gated concept, which nothing later can change."""
    place = files.home.job(concept.job) / "samples" / concept.id / "freely.json"
    if held.memory == "gated" and (told := document(place)) is not None:
        return told
    told = measuring.freely(family, library, subject, bare)
    if held.memory == "gated":
        write_atomic(place, json.dumps(told))
    return told


def _base(held, rows, lessons, family, bare, judges, library, files) -> Document:
    """What became of the base: its categories and its styles, in pictures and in three numbers.

    In a gated model both are 0, proved by the gate and checked in every lesson by picture hashes.
    """
    classes = [f"a {c}" for c in dict.fromkeys(row["category"] for row in rows)][: retention.MOST]
    prompts = [*classes, *measuring.BASE]
    mark = hashlib.sha256(json.dumps(prompts).encode()).hexdigest()[:8]
    folder = files.home.job(lessons[-1].job if lessons else "none") / "samples" / f"base-{mark}"
    now = measuring.strip(family, library, prompts, folder) if lessons else []
    told: Document = {"base_strips": [{"prompt": p, "path": str(f)} for p, f in zip(prompts, now, strict=False)]}
    if held.memory == "gated":
        proved = all(v.retention.get("base_unchanged", True) for v in lessons)
        drift, kept = (0.0, 1.0) if proved else (None, None)
        return {"base_drift": drift, "prior_shift": drift, "styles_kept": kept, "proved": proved, **told}
    styled = seen.styles(judges.judge, bare, family) if judges.judge is not None else {"kept": None, "styles": {}}
    before = measuring.paint(bare, Library(), prompts)
    _, look = next(iter(features.looks(bare).items()), ("", features.plain))
    after, count = [read(path) for path in now], len(classes)
    return {
        "base_drift": fidelity.drift(look(after[count:]), look(before[count:])),
        "prior_shift": _shift(look, rows, classes, before, after),
        "styles_kept": styled["kept"],
        "styles": styled["styles"],
        "proved": False,
        **told,
    }


def _shift(look: Callable, rows: Sequence[Document], classes: Sequence[str], before, after) -> float:
    """By how much "a dog" has come nearer to the photos of the dogs: the change of DreamBooth's PRES."""
    moved = []
    for row in rows:
        k = classes.index(f"a {row['category']}") if f"a {row['category']}" in classes else None
        if k is not None and row["photos"]:
            real = look([read(Path(p)) for p in row["photos"]])
            moved.append(fidelity.similarity(look([after[k]]), real) - fidelity.similarity(look([before[k]]), real))
    return float(np.mean(moved)) if moved else 0.0
