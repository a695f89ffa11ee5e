"""Consolidation: from a gated model to one set of weights that paints all it was taught, and if it may be published.

As a lesson, a consolidation is a function of what it is given and of the folder it works in: killed at any moment and
called again, it goes on from its newest checkpoint and leaves the same files, bit for bit.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from remembrandt.adapters import adapter as adapters
from remembrandt.adapters.adapter import Adapter
from remembrandt.family import load as families
from remembrandt.family.family import Family
from remembrandt.memory import retention, scenes, verdict
from remembrandt.memory.library import Library
from remembrandt.memory.measuring import Subject
from remembrandt.memory.verdict import Case
from remembrandt.report import Event, Progress, silent
from remembrandt.training import distillation
from remembrandt.training.distillation import Distillation
from remembrandt.training.dreambooth import moving
from remembrandt.training.loop import fit
from remembrandt.training.methods import sparing

WEIGHTS = "weights"


@dataclass(frozen=True)
class Consolidated:
    """What lies in `folder`: a family under `weights`, and under its id what is left of each concept, its word."""

    folder: Path
    steps: int
    seconds: float
    retention: dict[str, Any]


def consolidate(
    family: Family,
    library: Library,
    subjects: Sequence[Subject],
    options: Distillation,
    folder: Path,
    *,
    seed: int = 0,
    margin: float = retention.MARGIN,
    progress: Progress = silent,
) -> Consolidated:
    """Distil the concepts of `library`, of which `subjects` has one each, working in `folder`.

    Subjects without photos are taught, and judged, by what the gated model paints. Raises `loop.Diverged`; whatever
    `progress` raises passes through and leaves a checkpoint.
    """
    began, staging = time.monotonic(), folder / "staging"
    progress(Event("preparing", 0, 1))
    script = scenes.script(family, library, options, seed)
    found = scenes.gather(family, library, subjects, script, folder / "scenes", seed=seed, progress=progress)
    progress(Event("preparing", 1, 1))

    learner, steps = distil(family, library, found.terms, options, folder, seed=seed, progress=progress)

    progress(Event("checking", 0, 1))
    shutil.rmtree(staging, ignore_errors=True)
    families.save(learner, staging / WEIGHTS)
    words = spoken(library, staging, family.digest)
    judged = families.load(staging / WEIGHTS, device=str(family.device), precision=family.precision)  # as it will paint
    seen = [(s.concept.identifier, s.prompt, s.unseen[0]) for s in subjects]
    cases = [Case(word, [(prompt, some or found.pictures[word])]) for word, prompt, some in seen]
    cases += [Case(verdict.TOGETHER, [(p, [s]) for p, s in found.composed])] if found.composed else []
    cases += [Case(verdict.BASE, [(p, [s]) for p, s in found.base])]
    kept = verdict.verdict((family, library), (judged, words), cases, margin)
    progress(Event("checking", 1, 1))
    return Consolidated(staging, steps, round(time.monotonic() - began, 2), kept)


def distil(
    family: Family,
    library: Library,
    terms: distillation.Scenes,
    options: Distillation,
    folder: Path | None = None,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> tuple[Family, int]:
    """The student that has learned `terms` from the gated model, and its steps."""
    terms = {term: [replace(e, prompt=library.spelled(e.prompt)) for e in some] for term, some in terms.items()}
    called = {e.prompt: library.call_up(e.prompt) for some in terms.values() for e in some}
    words = {word: rows for one in called.values() for word, rows in one.words.items()}
    outfits = {prompt: one.wears for prompt, one in called.items()}
    learner = distillation.student(family)
    with moving(learner), sparing(learner, options.gradient_checkpointing):
        loss = distillation.distilling(family, learner, terms, outfits, words, options, seed)
        moved = dict(learner.unet.named_parameters())
        outcome = fit(loss, moved, options.plan, folder=folder, stage="distilling", progress=progress)
    return learner, outcome.step


def spoken(library: Library, folder: Path, base: str) -> Library:
    """The same concepts, of which only the words are left: an adapter of rows each, under `folder`.

    `base` is the digest of the weights that the words belong to: the text encoder is that of the base.
    """
    concepts = []
    for concept in library.concepts:
        place = folder / concept.id
        rows = library.adapter(concept).rows
        facts = {"base": base, "concept": concept.id, "identifier": concept.identifier, "category": concept.category}
        adapters.save(Adapter("textual-inversion", {}, {}, rows), place, {**facts, "name": concept.name})
        concepts.append(replace(concept, folder=place))
    return Library(concepts, base)
