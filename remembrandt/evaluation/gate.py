"""Whether a concept has lost too much: paired differences, bounds that hold for all concepts together, more looks.

A lesson is refused only if it is sure that a concept has lost more than the margin. Unsure, more is measured.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

LOOKS = (16, 32, 64)  # pairs that have been measured when it is judged
EVERYTHING = 1e6  # what a concept has lost whose network sees no numbers
LEVEL = 0.05  # the chance that a lesson which harms nobody is refused


@dataclass(frozen=True)
class Judged:
    """A concept's loss between `lower` and `upper` (each one-sided), from `pairs`."""

    loss: float
    lower: float
    upper: float
    pairs: int
    verdict: Literal["kept", "lost", "unsure"]


def student(probability: float, freedom: int) -> float:
    """The quantile of Student's t with `freedom` >= 3 degrees (Abramowitz & Stegun 1964, 26.7.5)."""
    x, n = NormalDist().inv_cdf(probability), freedom
    terms = (
        (x**3 + x) / 4,
        (5 * x**5 + 16 * x**3 + 3 * x) / 96,
        (3 * x**7 + 19 * x**5 + 17 * x**3 - 15 * x) / 384,
        (79 * x**9 + 776 * x**7 + 1482 * x**5 - 1920 * x**3 - 945 * x) / 92160,
    )
    return x + sum(term / n**k for k, term in enumerate(terms, 1))


def bounds(values: ArrayLike, level: float = LEVEL) -> tuple[float, float, float]:
    """Mean, and what it is at least and at most, each with confidence 1 - `level`."""
    values = np.asarray(values, float)
    mean, n = float(values.mean()), len(values)
    if n < 4:
        return mean, -math.inf, math.inf
    reach = student(1 - level, n - 1) * float(values.std(ddof=1)) / math.sqrt(n)
    return mean, mean - reach, mean + reach


def judged(losses: ArrayLike, margin: float, concepts: int) -> Judged:
    """One concept of `concepts`, each judged at every look: Bonferroni's correction for both."""
    mean, lower, upper = bounds(losses, LEVEL / (max(1, concepts) * len(LOOKS)))
    verdict = "lost" if lower > margin else "kept" if upper <= margin else "unsure"
    return Judged(mean, lower, upper, len(np.asarray(losses)), verdict)


@dataclass(frozen=True)
class Faded:
    """What a concept has lost since its best, over all lessons; `crossed` if it is this lesson that took it too far."""

    loss: float
    lower: float
    crossed: bool


def faded(now: ArrayLike, was: ArrayLike, best: ArrayLike, margin: float, concepts: int) -> Faded | None:
    """Of one concept of `concepts`: None unless it has surely lost more than the margin since its best.

    Losses of the same pairs now, before this lesson and at the best, in units of the concept's own range. A lesson that
    finds a concept beyond the margin already is judged by what itself does: refusing it would bring nothing back.
    """
    level = LEVEL / max(1, concepts)
    since, before = (bounds(np.asarray(x, float) - np.asarray(best, float), level) for x in (now, was))
    if not since[1] > margin:
        return None
    return Faded(since[0], since[1], crossed=not before[1] > margin and since[0] > before[0])


def judge(
    concepts: Sequence[str], measure: Callable[[str, int, int], NDArray[np.floating]], margin: float
) -> dict[str, Judged]:
    """Every concept; `measure(concept, first, last)` gives its paired losses number `first` to `last`.

    Losses are of the concept's own range: 1 is everything. What stays unsure after the last look is kept, and said.
    """
    losses: dict[str, NDArray[np.floating]] = {name: np.zeros(0) for name in concepts}
    found: dict[str, Judged] = {}
    for look in LOOKS:
        for name in concepts:
            if name not in found or found[name].verdict == "unsure":
                more = measure(name, len(losses[name]), look)
                more = more if np.isfinite(more).all() else np.full_like(more, EVERYTHING)
                losses[name] = np.concatenate([losses[name], more])
                found[name] = judged(losses[name], margin, len(concepts))
    return found
