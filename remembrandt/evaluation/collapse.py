"""Context collapse: pictures of a concept that repeat the surroundings of a photo it was taught from.

The seed's own failure: a hand in every picture of a bottle. What is compared lies outside the middle, where the subject
of a square photo stands, so that a dog that looks like itself is not held against it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

SIDE = 32  # pixels of the small pictures that are compared
MIDDLE = 0.62  # of each side is the subject's
SHIFT = 2  # of those pixels, in each direction: the same room, seen from a little to the left
LEAST = 0.6  # correlation below which nothing is called a repetition
ABOVE = 0.1  # ... and how far it must lie above what the base paints for the same prompts


@dataclass(frozen=True)
class Repeats:
    """`times` of `pictures` repeat what surrounds the subject in photo number `photo`."""

    photo: int
    times: int
    pictures: int


def surroundings(one: Sequence[np.ndarray], photos: Sequence[np.ndarray]) -> NDArray[np.float64]:
    """(n, m): the correlation, at its best shift and mirroring, of pictures' and photos' surroundings; in [-1, 1]."""
    left, right = _small(one), _small(photos)
    inner = slice(SHIFT, SIDE - SHIFT)
    ring = torch.ones(SIDE, SIDE, dtype=torch.bool)
    edge = round(SIDE * (1 - MIDDLE) / 2)
    ring[edge : SIDE - edge, edge : SIDE - edge] = False
    ring = ring[inner, inner]
    own = _unit(left[:, :, inner, inner][:, :, ring])
    best = torch.full((len(left), len(right)), -1.0, dtype=torch.float64)
    for mirrored in (right, right.flip(-1)):
        for y in range(2 * SHIFT + 1):
            for x in range(2 * SHIFT + 1):
                other = mirrored[:, :, y : y + SIDE - 2 * SHIFT, x : x + SIDE - 2 * SHIFT]
                best = torch.maximum(best, own @ _unit(other[:, :, ring]).T)
    return best.numpy()


def repeated(
    pictures: Sequence[np.ndarray], photos: Sequence[np.ndarray], base: Sequence[np.ndarray]
) -> list[Repeats]:
    """The photos whose surroundings come back in `pictures`, the most repeated first.

    `pictures` are painted in places that the photos do not show; `base` are the base's for the same prompts without the
    identifier: what any picture of a beach has in common with the photo is not held against it.
    """
    found = surroundings(pictures, photos)
    usual = surroundings(base, photos).max() if len(base) else -1.0
    sure = max(LEAST, usual + ABOVE)
    which = found.argmax(1)[found.max(1) > sure]
    times = np.bincount(which, minlength=len(photos))
    order = np.argsort(-times, kind="stable")
    return [Repeats(int(k), int(times[k]), len(pictures)) for k in order if times[k]]


def _small(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    made = [torch.tensor(np.ascontiguousarray(p)).permute(2, 0, 1)[None].float() for p in pictures]
    return torch.cat([F.interpolate(x, (SIDE, SIDE), mode="area") for x in made]).double()


def _unit(x: torch.Tensor) -> torch.Tensor:
    x = x.flatten(1)
    return F.normalize(x - x.mean(1, keepdim=True), dim=1)
