"""Whether one set of weights may stand for a gated model: what it denoises worse, of each concept, of two, of the base.

Pairs of (picture, time, noise) are the same for teacher and student, and are read from the weights as they were saved.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from remembrandt.evaluation import denoising, gate
from remembrandt.evaluation.denoising import ROWS
from remembrandt.family.family import Family
from remembrandt.memory import retention
from remembrandt.memory.library import Library
from remembrandt.memory.scenes import plain

BASE, TOGETHER = "the base", "two together"  # no identifier holds a space
Model = tuple[Family, Library]
Losses = NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class Case:
    """What is judged: pictures (each (s, s, 3) uint8) with the prompt that they are denoised under."""

    name: str
    shown: Sequence[tuple[str, Sequence[np.ndarray]]]


def verdict(teacher: Model, student: Model, cases: Sequence[Case], margin: float) -> dict[str, Any]:
    """What `retention.judged` says, with `mean` and `worst` of the concepts, `cases` by name and `concepts` by id.

    A loss is of the case's own range: 0 where the teacher is, 1 where the base is that is told of no concept. A range
    that is not above 0 for sure cannot be lost: not measurable, None. For the base it is the rise of its loss.
    """
    library, known = teacher[1], {case.name: case for case in cases}

    @cache
    def taught(name: str, first: int, last: int) -> Losses:
        return losses(teacher, known[name], first, last)

    ranges = {case.name: _range(case, teacher, taught) for case in cases}
    spans = {name: told["base"] - told["best"] for name, told in ranges.items() if told["sure"]}
    spans[BASE] = ranges[BASE]["best"]

    def lost(name: str, first: int, last: int) -> Losses:
        return (losses(student, known[name], first, last) - taught(name, first, last)) / spans[name]

    judged = gate.judge([*spans], lost, margin)
    rows = {name: _row(judged.get(name), told) for name, told in ranges.items()}
    concepts = {c.id: rows[c.identifier] for c in library.concepts}
    kept = [row["fidelity"] for row in concepts.values() if row["fidelity"] is not None]
    told = retention.judged(judged, margin) | {"mean": float(np.mean(kept)) if kept else None}
    return told | {"worst": min(kept, default=None), "margin": margin, "cases": rows, "concepts": concepts}


def _range(case: Case, teacher: Model, taught: Callable[[str, int, int], Losses]) -> dict[str, Any]:
    """Where the teacher is (`best`), where the base is that is told of no concept (`base`), and if that is `sure`."""
    best = np.concatenate([taught(case.name, 0, gate.LOOKS[0]), taught(case.name, *gate.LOOKS[:2])])
    bare = Case(case.name, [(plain(prompt, teacher[1].concepts), some) for prompt, some in case.shown])
    base = losses(teacher, bare, 0, gate.LOOKS[1])
    gain, low, high = gate.bounds((base - best) / base.mean())
    told = {"base": float(base.mean()), "best": float(best.mean()), "gain": gain, "noise": (high - low) / 2}
    return {**told, "sure": low > 0 and case.name != BASE}


def losses(model: Model, case: Case, first: int, last: int) -> Losses:
    """The losses of a case's pairs number `first` to `last`, multiples of `ROWS`; its prompts take turns by batches."""
    family, library = model
    found = []
    for start in range(first, last, ROWS):
        prompt, some = case.shown[start // ROWS % len(case.shown)]
        called = library.call_up(prompt)
        told = called.prompt, called.words, called.wears
        found.append(denoising.losses(family, some, *told, first=start, last=start + ROWS))
    return np.concatenate(found)


def _row(one: gate.Judged | None, told: dict[str, Any]) -> dict[str, Any]:
    """As `measuring.learned` tells of a lesson, and what the gate says."""
    figures = {k: told[k] for k in ("gain", "noise", "base", "best")}
    if one is None:
        return {"fidelity": None, "verdict": "not measurable", "pairs": gate.LOOKS[1], "held_out": False, **figures}
    kept = {"fidelity": 1 - one.loss, "lower": 1 - one.upper, "upper": 1 - one.lower}
    return {**kept, "verdict": one.verdict, "pairs": one.pairs, "held_out": False, **figures}
