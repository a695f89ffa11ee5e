"""What a job does: a function of (request, files, progress) that gives a result.

No SQL and no queue: who runs it and where it is recorded is the runner's business. Requests and
results are JSON.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from remembrandt.adapters import adapter as adapters
from remembrandt.adapters.adapter import MANIFEST
from remembrandt.engine import recipe, safety
from remembrandt.engine.engine import Engine, Painted
from remembrandt.engine.request import Request
from remembrandt.family.family import Family
from remembrandt.jobs import controls, copying, hands, imagining, replay, varying
from remembrandt.jobs.files import Files, Home, read
from remembrandt.jobs.snapshot import Known
from remembrandt.memory import consolidation, lesson
from remembrandt.memory.library import Concept, Library
from remembrandt.memory.measuring import Subject
from remembrandt.report import Event, Progress, write_atomic
from remembrandt.settings import Wrong
from remembrandt.training import cost, methods, options, photo
from remembrandt.training.distillation import Distillation

Document = dict[str, Any]


def finetune(request: Document, files: Files, progress: Progress) -> Document:
    """Teach one concept; what was learned lies in the job's `staging` until it is published."""
    photos = files.squares()
    if not photos:
        raise Wrong(f"the files of job {files.key} are gone: teach anew")
    with threads(request["threads"]):
        method = methods.method(request["method"], request["options"])
        family = based(request, files, own=request["memory"] == "replay")
        concept = Concept(**request["concept"])
        about = {k: request[k] for k in ("prompts", "number", "seed", "memory", "rungs", "told") if k in request}
        about["masks"] = [mask[..., 0] for mask in files.squares("masks")]
        matter, chosen = lesson.Matter(concept, **about), request["options"]
        seconds = cost.pace(family, chosen)
        said = cost.line(family, chosen, cost.count(family, methods.moved(method)), seconds)
        progress(Event("preparing", 0, 1, message=said))
        taught = lesson.teach(
            family,
            library(request, files.home),
            matter,
            method,
            photos,
            files.folder,
            beside=lambda: replay.priors(family, request, files, progress) if "replay" in request else [],
            progress=cost.corrected(progress, seconds),
        )
        began, kept = time.monotonic(), taught.retention
        if "replay" in request and request["older"]:
            judged = replay.judge(request, files, files.folder / "staging", progress)
            kept = {**judged, "concepts": {**judged["concepts"], **kept["concepts"]}}
    found = {
        "moved": taught.moved,
        "steps": taught.steps,
        "seconds": round(taught.seconds + time.monotonic() - began, 2),
        "retention": kept,
        "ladder": taught.ladder and {**_scores(taught.ladder), "picture": str(files.folder / "ladder.png")},
    }
    write_atomic(files.result, json.dumps(found))
    return found


def _scores(ladder: Document) -> Document:
    rungs = [{k: doc[k] for k in ("steps", "identity", "prompt")} for doc in ladder["rungs"]]
    return {k: ladder[k] for k in ("chosen", "why", "measure")} | {"rungs": rungs}


def consolidate(request: Document, files: Files, progress: Progress) -> Document:
    """Distil a gated model; weights and words lie in the job's `staging` until they are published."""
    with threads(request["threads"]):
        known = library(request, files.home)
        prompts = [about["facts"]["prompts"][0] for about in request["about"]]
        photos = [_kept(files.home, about["photos"]) for about in request["about"]]
        made = consolidation.consolidate(
            based(request, files),
            known,
            [Subject(*row) for row in zip(known.concepts, prompts, photos, strict=True)],
            options.build(Distillation, request["options"]),
            files.folder,
            seed=request["seed"],
            margin=request["margin"],
            progress=progress,
        )
    found = {"steps": made.steps, "seconds": made.seconds, "retention": made.retention}
    write_atomic(files.result, json.dumps(found))
    return found


def _kept(home: Home, addresses: Sequence[str]) -> list[np.ndarray]:
    """Photos, those that are still there."""
    places = [home.photos / f"{address}.png" for address in addresses]
    return [read(place) for place in places if place.is_file()]


def generate(request: Document, files: Files, progress: Progress) -> Document:
    """Paint and save under `request["out"]`: `{images: [{path, ...the recipe}]}`."""
    [pictures] = paint([request], files, progress)
    return {"images": [keep(p, Path(request["out"]), request["format"]) for p in pictures]}


def paint(requests: Sequence[Document], files: Files, progress: Progress) -> list[list[Painted]]:
    """The pictures of requests of one model, painted together, each with its recipe."""
    policies = [request.get("safety") for request in requests]
    for policy in policies:
        safety.known(policy)
    family = based(requests[0], files)
    known = library(requests[0], files.home)
    for notice in family.notices:
        progress(Event("painting", 0, 1, message=notice))
    opened = cache(open_picture)  # once for all cells of a grid
    reads = varying.reader(family, opened), controls.reader(family, files.home, opened)
    asked, said = zip(*(asked_of(request, known, family, opened, *reads) for request in requests), strict=True)
    painted = Engine(family).paint(asked, progress)
    found = []
    for request, pictures, own, policy in zip(requests, painted, said, policies, strict=True):
        told = [replace(p, recipe={**p.recipe, **own}) for p in pictures]
        told = copying.told(request, told, opened, files.home, progress)
        found.append(safety.guarded(family, told, policy, progress))
    return found


def asked_of(
    request: Document,
    known: Library,
    family: Family,
    opened: Callable[[str, str | None], Any] | None = None,
    varied: varying.Varied | None = None,
    steered: controls.Steered | None = None,
) -> tuple[Request, Document]:
    """What the engine is asked for, and what the recipe says beside what the engine knows; `varied` reads pictures,
    `steered` finds controls.
    """
    opened = opened or open_picture
    image = opened("image", request.get("image"))
    embedding, seen = varied(request) if varied and "sees" in request else (None, {})
    if "imagines" in request:
        embedding, seen = imagining.imagined(request, family)
    prompt = request["prompt"] if embedding is None else ""  # it is in the embedding
    called = known.call_up(prompt, request["negative"], request["strengths"])
    asked = Request(
        prompt=called.prompt,
        negative=called.negative,
        n=request["n"],
        seed=request["seed"],
        sampler=request["sampler"],
        steps=request["steps"],
        guidance=request["guidance"],
        size=request["size"] and tuple(request["size"]),
        image=image,
        mask=opened("mask", request.get("mask")),
        depth=hands.near(request.get("depth"), image, family),
        task=hands.LARGE if request.get("upscale") else None,
        level=request.get("level", Request.level),
        expand=request.get("expand") and tuple(request["expand"]),
        strength=request.get("strength"),
        embedding=embedding,
        controls=steered(request) if steered else (),
        words=called.words,
        wears=called.wears,
        composition=called.composition,
    )
    said = {k: request[k] for k in ("prompt", "negative", "model", "version")} | seen
    if called.concepts:
        said["concepts"] = [c.identifier for c in called.concepts]
    if request["strengths"]:
        said["strength_of"] = request["strengths"]
    return asked, said


def open_picture(what: str, path: str | None) -> np.ndarray | None:
    """A picture, uint8 (h, w, 3); of a mask, bool (h, w), true where it is nearer to white."""
    if path is None:
        return None
    try:
        pixels = photo.whole(Path(path))
    except Wrong as fault:
        raise Wrong(f"the {what} {Path(path).name} {fault}") from None
    return pixels.mean(2) >= 128 if what == "mask" else pixels


def keep(painted: Painted, folder: Path, format: str) -> Document:
    """Save a picture, and beside it the hints that it follows: `{path, hints, ...its recipe}`.

    The same picture again is the same file; one withheld is none.
    """
    if safety.withheld(painted):
        return {"path": None, **painted.recipe}
    told = json.dumps(painted.recipe, sort_keys=True)
    mark = hashlib.sha256(told.encode() + painted.pixels.tobytes()).hexdigest()[:6]
    name = f"{_slug(painted.recipe)}-{painted.recipe['seed']}-{mark}.{format}"
    recipe.save(painted, folder / name)
    hints = {control: folder / f"{Path(name).stem}.{control}.png" for control in painted.hints}
    for control, place in hints.items():
        write_atomic(place, recipe.png(painted.hints[control]))
    shown = {"hints": {control: str(place) for control, place in hints.items()}} if hints else {}
    return {"path": str(folder / name), **shown, **painted.recipe}


def based(request: Document, files: Files, *, own: bool = False) -> Family:
    """The family that the model stands on: the home's own copy of it, if it has one.

    Shared with other requests, unless it is to be changed and hence one's `own`.
    """
    base = request["base"]
    place = standing(request, files.home)
    family = files.load(place, request["device"], request["precision"], own=own)
    if place == base["source"] and base["digest"] not in (None, family.digest):
        raise Wrong(f"{place} holds other weights than when this job began: give those back")
    return family


def standing(request: Document, home: Home) -> str | Path:
    """Where the weights lie: its base's for a task, the model's own, the home's copy of its base, or the original."""
    if (hand := hands.hand(request)) is not None:
        return hand
    own = request.get("weights") or request["base"]["folder"]
    return home.path / own if own else request["base"]["source"]


def library(request: Document, home: Home, load: Callable[..., Any] = adapters.load) -> Library:
    """The concepts that the model knew when the request was made; moved weights need no adapter but for a word."""

    def folder(place: Path) -> Path | None:
        return place if not request.get("weights") or (place / MANIFEST).is_file() else None

    older = [Concept(**{**row, "folder": folder(home.path / row["folder"])}) for row in request["older"]]
    return Library(older, request["base"]["digest"], request["worn_by"], home.loras, load=load)


@contextmanager
def threads(number: int) -> Iterator[None]:
    """As many as the job began with: sums in another order are other sums."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _slug(recipe: Mapping[str, Any]) -> str:
    said = f"{Path(recipe.get('input', '')).stem} {recipe['prompt']}"
    words = "".join(c if c.isalnum() else " " for c in said.lower()).split()
    return "-".join(words)[:60] or "picture"


def evaluate(request: Document, files: Files, progress: Progress) -> Document:
    """The retention report of a model, by what was `known` of it."""
    from remembrandt.jobs import reporting  # which needs this module

    known: Any = Known(request["known"])
    where = {k: request[k] for k in ("device", "precision")}
    out, full = files.folder / "report", request["full"]
    return reporting.report(known, files, request["model"], out, where, full=full, progress=progress)


def export(request: Document, files: Files, progress: Progress) -> Document:
    """A model for other tools, under the job's `export`."""
    from remembrandt.jobs import exporting

    known: Any = Known(request["known"])
    out = files.folder / "export"
    shutil.rmtree(out, ignore_errors=True)  # of an attempt that died
    asked = {k: request[k] for k in ("concept", "rank")}
    return exporting.write(known, files.home, request["model"], request["to"], out, **asked)


WORK: dict[str, Callable[[Document, Files, Progress], Document]] = {
    "finetune": finetune,
    "consolidate": consolidate,
    "generate": generate,
    "evaluate": evaluate,
    "export": export,
}
