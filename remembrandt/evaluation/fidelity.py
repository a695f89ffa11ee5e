"""What is left of what was taught: small functions of features and of the matrix of fidelities.

Features are unit vectors, one row a picture. The matrix is A[t, i], the fidelity of concept i after lesson t, not a
number (nan) before it was taught. Definitions: docs/reference.md, `retention`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.floating]


def similarity(one: ArrayLike, other: ArrayLike) -> float:
    """Mean cosine between all pairs, in [-1, 1]; DINO and CLIP-I of DreamBooth (Ruiz et al. 2022, section 4.2)."""
    return float((np.asarray(one) @ np.asarray(other).T).mean())


def ceiling(real: ArrayLike) -> float:
    """Mean cosine of real pictures to each other, each to the rest: what a perfect copy would score; nan of one."""
    real = np.asarray(real)
    n = len(real)
    return float(((real @ real.T).sum() - n) / (n * (n - 1))) if n > 1 else math.nan


def normalised(score: ArrayLike, floor: float, ceiling: float) -> Array:
    """A score on the scale where `floor` (another of its kind, or the base) is 0 and `ceiling` 1; nan if they meet."""
    score, span = np.asarray(score, float), ceiling - floor
    return (score - floor) / span if span > 0 else np.full_like(score, math.nan)


def identified(pictures: ArrayLike, instances: ArrayLike, own: int) -> float:
    """ID@1: the share of pictures whose nearest instance (n, d) is number `own`."""
    return float((nearest(pictures, instances) == own).mean())


def nearest(pictures: ArrayLike, instances: ArrayLike) -> NDArray[np.integer]:
    """The number of each picture's nearest instance."""
    return (np.asarray(pictures) @ np.asarray(instances).T).argmax(1)


def confusion(pictures: list[ArrayLike], instances: ArrayLike) -> Array:
    """(i, j): the share of concept i's pictures whose nearest instance is j; rows sum to 1."""
    count = len(np.asarray(instances))
    return np.stack([np.bincount(nearest(p, instances), minlength=count) / len(np.asarray(p)) for p in pictures])


def precision(pictures: ArrayLike, prompts: ArrayLike, own: ArrayLike) -> float:
    """R-precision: the share of pictures whose own prompt is the nearest of all (Xu et al. 2018, AttnGAN, eq. 10)."""
    return float((nearest(pictures, prompts) == np.asarray(own)).mean())


def final(matrix: ArrayLike) -> float:
    """A_T: the mean fidelity of all concepts after the last lesson."""
    return float(np.nanmean(np.asarray(matrix, float)[-1]))


def forgetting(matrix: ArrayLike) -> float:
    """F_T: how far, on average, concepts before the last lie below their own best (Chaudhry et al. 2018, eq. 3).

    At least 0; 0 where there is one lesson.
    """
    matrix = np.asarray(matrix, float)
    older = [i for i in range(matrix.shape[1]) if len(matrix) > 1 and np.isfinite(matrix[:-1, i]).any()]
    return float(np.mean([np.nanmax(matrix[:, i]) - matrix[-1, i] for i in older])) if older else 0.0


def retention(matrix: ArrayLike) -> Array:
    """(n,): each concept's fidelity after the last lesson, by its fidelity after its own; nan where that is not > 0."""
    matrix = np.asarray(matrix, float)
    found = []
    for column in matrix.T:
        known = column[np.isfinite(column)]
        found.append(known[-1] / known[0] if len(known) and known[0] > 0 else math.nan)
    return np.array(found)


def lag(matrix: ArrayLike) -> Array:
    """Ret(k): the mean share that is left k lessons later, k = 0 ... T-1; nan where nothing was measured."""
    matrix = np.asarray(matrix, float)
    shares: list[list[float]] = [[] for _ in matrix]
    for column in matrix.T:
        known = np.flatnonzero(np.isfinite(column))
        if len(known) and column[known[0]] > 0:
            for t in known:
                shares[t - known[0]].append(column[t] / column[known[0]])
    return np.array([np.mean(s) if s else math.nan for s in shares])


def half_life(curve: ArrayLike) -> float:
    """The lag at which half is left, of A exp(-k / tau) fitted to the log of `lag`; inf if nothing fades."""
    curve = np.asarray(curve, float)
    known = np.flatnonzero(np.isfinite(curve) & (curve > 0))
    if len(known) < 2:
        return math.inf
    slope = np.polyfit(known, np.log(curve[known]), 1)[0]
    return math.log(2) / -slope if slope < -1e-12 else math.inf


def drift(now: ArrayLike, before: ArrayLike) -> float:
    """Mean (1 - cosine) / 2 of pictures painted from equal prompts and seeds, in [0, 1] (PEFT's image-gen measure)."""
    return float(((1 - (np.asarray(now) * np.asarray(before)).sum(1)) / 2).mean())


def diversity(pictures: ArrayLike) -> float:
    """Mean cosine distance of pictures of one prompt to each other, in [0, 2]: DreamBooth's DIV, of these features."""
    return 1 - ceiling(pictures)


def vendi(pictures: ArrayLike) -> float:
    """How many different pictures there are, 1 to n: exp of the entropy of K/n's eigenvalues (Friedman 2023, eq. 2)."""
    pictures = np.asarray(pictures)
    values = np.linalg.eigvalsh(pictures @ pictures.T / len(pictures))
    values = values[values > 1e-12]
    return float(np.exp(-(values * np.log(values)).sum()))


def corrected(rate: float, sensitivity: float, specificity: float) -> float:
    """A rate as a perfect reader would have found it, in [0, 1] (Rogan & Gladen 1978)."""
    return float(np.clip((rate + specificity - 1) / (sensitivity + specificity - 1), 0, 1))


def composed(both: ArrayLike, first: float, second: float) -> float:
    """The composition gap: success of both in one picture less the product of each alone; below 0 they disturb."""
    return float(np.asarray(both, float).mean()) - first * second
