"""A condition is named tensors, prepared once before the first step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, eq=False)
class Condition:
    """What steers one row: `tokens` (1, L, D) that its cross-attention reads, and optionally

    `channels` (1, C, h, w) laid beside its latents, a `label` (a class that it is told), a `residual` function
    that adds to the UNet's blocks, and `amend(x0, sigma)`, applied to each estimate before the sampler sees it.
    """

    tokens: Tensor
    channels: Tensor | None = None
    label: int | None = None
    residual: Callable[..., object] | None = None
    amend: Callable[[Tensor, float], Tensor] | None = None
