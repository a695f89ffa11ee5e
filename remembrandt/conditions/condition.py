"""A condition is named tensors, prepared once before the first step."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from remembrandt.adapters.wear import Worn


@dataclass(frozen=True, eq=False)
class Control:
    """A network that adds to the UNet's blocks, times `weight`, by what it sees in a hint (1, 3, H, W) in [0, 1].

    It acts on the levels from `high` down to `low`, that one left out. One that turns the UNet instead (turned.py) has
    what is `worn`.
    """

    network: nn.Module
    hint: Tensor
    weight: float = 1.0
    high: float = math.inf
    low: float = -1.0
    worn: Worn | None = None

    def acts(self, sigma: float) -> bool:
        return self.low < sigma <= self.high


@dataclass(frozen=True, eq=False)
class Condition:
    """What steers one row: `tokens` (1, L, D) that its cross-attention reads, and optionally

    `channels` (1, C, h, w) laid beside its latents, a `label` (a class that it is told), controls whose sum is the
    `residual` that is added to the UNet's blocks, and `amend(x0, sigma)`, applied to each estimate before the sampler
    sees it.
    """

    tokens: Tensor
    channels: Tensor | None = None
    label: int | Tensor | None = None  # of several rows, (n,)
    residual: tuple[Control, ...] = ()
    amend: Callable[[Tensor, float], Tensor] | None = None
