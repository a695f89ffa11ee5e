"""One lesson, from squares of photos to what may be published. Read this page first.

A lesson is a function of what it is given and of the folder it works in: killed at any moment and
called again, it goes on from its newest checkpoint and leaves the same files, bit for bit.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from remembrandt import __version__
from remembrandt.adapters import adapter as adapters
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import Worn, merge
from remembrandt.engine.engine import UNPAINTED, Engine
from remembrandt.engine.request import Request
from remembrandt.family import load as families
from remembrandt.family.family import Family
from remembrandt.memory import ladder as ladders
from remembrandt.memory import measuring, retention
from remembrandt.memory.ladder import Ladder
from remembrandt.memory.library import Concept, Library
from remembrandt.report import Event, Progress, silent, write_atomic
from remembrandt.training import examples, methods
from remembrandt.training.dreambooth import exact
from remembrandt.training.examples import Example
from remembrandt.training.method import Lesson, Method, first_rows

PREVIEWS = 4  # in a lesson
PREVIEW_STEPS = 12


@dataclass(frozen=True)
class Matter:
    """What is taught: a concept that is new to the library, and under which prompts."""

    concept: Concept
    prompts: Sequence[str]
    number: int = 1  # of the lesson; says which older concepts it measures
    seed: int = 0
    memory: str = "gated"
    rungs: Sequence[int] = ()  # of the ladder, in steps; the last is the whole lesson
    told: Sequence[Sequence[str]] | None = None  # of each photo, instead of the prompts
    masks: Sequence[np.ndarray] = ()  # of each photo, uint8 (s, s): white is learned, black is not


@dataclass(frozen=True)
class Taught:
    """What lies in `folder`: an adapter, or a whole family where the UNet itself moved."""

    folder: Path
    moved: bool
    steps: int
    seconds: float
    retention: dict[str, Any]
    ladder: dict[str, Any] | None = None


def teach(
    family: Family,
    library: Library,
    matter: Matter,
    method: Method,
    photos: Sequence[np.ndarray],
    folder: Path,
    *,
    beside: Callable[[], list[Example]] = list,
    progress: Progress = silent,
) -> Taught:
    """Teach `matter` from `photos` (uint8, (s, s, 3)) by `method`, working in `folder`.

    `beside` makes the class examples, if there are any. Raises `loop.Diverged`; whatever `progress`
    raises passes through and leaves a checkpoint.
    """
    began, staging = time.monotonic(), folder / "staging"
    gated = method.added and matter.memory == "gated"
    progress(Event("preparing", 0, 1))
    asked = retention.prompts(*_measured(library, matter)) if gated else {}
    before = _once(folder / "before.json", lambda: retention.hashes(family, library, asked))
    subject = measuring.Subject(matter.concept, matter.prompts[0], photos, matter.masks)
    bare = _once(folder / "base.json", lambda: _bare(family, library, subject, shared=not gated))
    found = _examples(family, matter, measuring.taught(photos), folder, beside)
    manifest = _manifest(family, matter, method)
    ladder = Ladder(family, subject, np.array(bare["losses"]), folder / ladders.NAME, manifest, methods.moved(method))
    if matter.rungs:
        ladder.rung(0, None)
    progress(Event("preparing", 1, 1))

    preview = _preview(family, matter, folder, progress)
    if not gated and not (folder / "checkpoints").is_dir():
        preview(0, None)  # a word that was there before: what it meant is on record
    every = {_interval(method): preview}
    if matter.rungs:
        every = dict.fromkeys(matter.rungs, _look(ladder, matter.rungs, folder, progress))
    lesson = Lesson(found, _words(family, matter, method) if gated else {}, matter.seed)
    learned = methods.learn(method, family, lesson, folder=folder, progress=progress, every=every)

    progress(Event("checking", 0, 1))
    shutil.rmtree(staging, ignore_errors=True)
    climbed = ladder.finish(matter.rungs) if matter.rungs else None
    if climbed:
        learned = replace(learned, adapter=ladder.take(climbed["chosen"]), steps=climbed["chosen"])
    moved = not gated
    if moved:
        if learned.adapter is not None:  # taught as an adapter, kept in the weights that all concepts share
            exact(family)
            merge(family.unet, learned.adapter)
        families.save(family, staging)
    else:
        assert learned.adapter is not None
        adapters.save(learned.adapter, staging, ladders.at(manifest, learned.steps))
    if climbed:
        ladder.keep(climbed, staging / ladders.NAME)
    new = replace(matter.concept, folder=staging)
    grown = replace(library, concepts=[*library.concepts, new])
    after = retention.hashes(family, grown, asked)
    kept = retention.compare(before, after, len(library.concepts))
    known = replace(library, concepts=[replace(matter.concept, folder=None)]) if moved else grown
    kept["concepts"] = {matter.concept.id: _known(family, known, subject, bare, folder / "samples")}
    progress(Event("checking", 1, 1))
    seconds = time.monotonic() - began
    return Taught(staging, moved, learned.steps, round(seconds, 2), kept, climbed)


def _bare(family: Family, library: Library, subject: measuring.Subject, *, shared: bool) -> dict[str, Any]:
    """How well the photos are denoised before the lesson; where later ones can undo it, also on pairs kept apart."""
    found = {"losses": list(measuring.losses(family, library, subject, subject.plain))}
    return found | ({"apart": measuring.apart(family, library, subject, subject.plain)} if shared else {})


def _known(
    family: Family, library: Library, subject: measuring.Subject, bare: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """How well the concept is known now, and a strip of it that later reports show."""
    concept = subject.concept
    word = f"{concept.identifier} {concept.category}"
    now = measuring.losses(family, library, subject, subject.prompt)
    with suppress(*UNPAINTED):  # the numbers above are what counts
        measuring.strip(family, library, subject.scenes(word), folder / concept.id)
    told = measuring.learned(now, np.array(bare["losses"]), subject)
    if "apart" in bare:
        told["apart"] = [bare["apart"], measuring.apart(family, library, subject, subject.prompt)]
        told |= {"peak": now.tolist()} if "best" in told else {}
    return told


def _measured(library: Library, matter: Matter) -> tuple[list[Concept], str, str]:
    older = retention.turn(library.concepts, matter.number)
    return older, matter.concept.identifier, matter.concept.category


def _words(family: Family, matter: Matter, method: Method) -> Mapping[str, torch.Tensor]:
    """The rows that the identifier starts from, an added token."""
    rows = first_rows(family, matter.concept.category, getattr(method, "vectors", 1))
    return {matter.concept.identifier: rows}


def _examples(
    family: Family,
    matter: Matter,
    photos: Sequence[np.ndarray],
    folder: Path,
    beside: Callable[[], list[Example]],
) -> list[Example]:
    """What the loop reads, encoded once: at another batch shape the last bits would differ."""
    path = folder / "examples.safetensors"
    if not path.is_file():
        told = matter.told or [matter.prompts] * len(photos)
        rows = zip(photos, told, matter.masks or [None] * len(photos), strict=False)  # one held out has its own, too
        about = [(([photo], said), {"masks": [mask], "weight": 1 / len(photos)}) for photo, said, mask in rows]
        taught = [e for given, how in about for e in examples.encode(family, *given, **how)]
        examples.save([*taught, *beside()], path)
    return examples.load(path)


def _interval(method: Method) -> int:
    return max(1, -(-getattr(method, "steps", PREVIEWS) // PREVIEWS))


def _preview(
    family: Family, matter: Matter, folder: Path, progress: Progress
) -> Callable[[int, Adapter | None], None]:
    """Paints the concept as it is now; the lesson's own randomness does not see it."""

    def preview(step: int, adapter: Adapter | None) -> None:
        worn = () if adapter is None else (Worn(adapter),)
        words = {}
        if adapter is not None and adapter.rows is not None:
            words[matter.concept.identifier] = adapter.rows
        asked = Request(prompt=matter.prompts[0], words=words, wears=worn, steps=PREVIEW_STEPS)
        path = folder / "previews" / f"{step:06d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            Image.fromarray(Engine(family).paint([asked])[0][0].pixels).save(path)
        except UNPAINTED as fault:  # a lesson in trouble; its loss decides, not its preview
            progress(Event("preview", step, step, message=str(fault)))
        else:
            progress(Event("preview", step, step, preview=path))

    return preview


def _look(
    ladder: Ladder, rungs: Sequence[int], folder: Path, progress: Progress
) -> Callable[[int, Adapter | None], None]:
    """A rung of the ladder, whose first picture is a preview too."""

    def look(step: int, adapter: Adapter | None) -> None:
        if step in rungs:
            place = folder / "previews" / f"{step:06d}.png"
            painted = ladder.rung(step, adapter) / "0.png"
            if painted.is_file() and not place.is_file():
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(painted, place)
                progress(Event("preview", step, step, preview=place))

    return look


def _manifest(family: Family, matter: Matter, method: Method) -> dict[str, Any]:
    """Who the adapter is. Nothing that varies between equal lessons."""
    concept = matter.concept
    return {
        "base": family.digest,
        "family": family.name,
        "revision": family.revision,
        "method": next(n for n, kind in methods.METHODS.items() if isinstance(method, kind)),
        "options": asdict(method),  # type: ignore[call-overload]
        "concept": concept.id,
        "identifier": concept.identifier,
        "name": concept.name,
        "category": concept.category,
        "prompts": list(matter.prompts),
        "seed": matter.seed,
        "versions": {"remembrandt": __version__, "torch": torch.__version__},
    }


def _once(path: Path, make: Callable[[], dict]) -> dict:
    if not path.is_file():
        write_atomic(path, json.dumps(make(), indent=1))
    return json.loads(path.read_text())
