"""What samplers are made of: the walk, the split of an ancestral step, the increments of DPM-Solver."""

from __future__ import annotations

import math
from collections.abc import Generator

from torch import Tensor

#: Yields (x, sigma), is sent the denoised estimate of x, returns where it ended.
Walk = Generator[tuple[Tensor, float], Tensor, Tensor]


def ancestral(sigma: float, following: float) -> tuple[float, float]:
    """(down, up): step to level `down`, then noise of `up` leads to `following`: down^2 + up^2 = following^2.

    The split that keeps DDPM's marginals (Song et al. 2020, eq. 16 at eta 1, in these variables).
    """
    up = min(following, following / sigma * math.sqrt(max(sigma**2 - following**2, 0.0)))
    return math.sqrt(max(following**2 - up**2, 0.0)), up


def towards(x: Tensor, x0: Tensor, sigma: float, following: float) -> Tensor:
    """From `sigma` to `following` while the estimate stays `x0`: exact (Lu et al. 2022b, eq. 9, order one)."""
    return x0 + (x - x0) * (following / sigma)


def middle(sigma: float, following: float) -> float:
    """The level halfway in log sigma."""
    return math.sqrt(sigma * following)
