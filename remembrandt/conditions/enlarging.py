"""The small picture as a condition of its enlargement, and windows over what is too large for one look.

As Stable Diffusion's x4 upscaler has it: the small picture lies beside the latents, noised by a level that the UNet is
told as a class. Where an autoencoder shrinks by more than the enlargement the picture is folded (`pixel_unshuffle`):
for x4 and latents of an eighth, squares of 2 x 2 pixels lie in twelve channels.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from remembrandt.conditions import spatial
from remembrandt.diffusion import schedule
from remembrandt.family.family import Family
from remembrandt.family.parts import SCHEDULER

LEVEL, NOISIEST = 20, 350  # of noise on the small picture, of 1000
#: The noise of the published upscaler's small pictures.
LOWER: Mapping[str, Any] = {"beta_start": 0.0001, "beta_end": 0.02, "beta_schedule": "scaled_linear"}
OVERLAP = 4  # windows share this part of a side, at least


def fold(family: Family) -> int | None:
    """Pixels of the small picture, along a side, that one place of latents sees; None if the UNet sees none."""
    more = family.unet.config["in_channels"] - family.channels
    side = math.isqrt(max(more, 0) // 3)
    return side if side and more == 3 * side * side and family.factor % side == 0 else None


def padded(picture: np.ndarray, step: int) -> np.ndarray:
    """Continued to the right and below to whole steps."""
    high, wide = (-side % step for side in picture.shape[:2])
    return np.pad(picture, ((0, high), (0, wide), (0, 0)), "edge")


def beside(family: Family, picture: Tensor, grain: Tensor, level: int) -> Tensor:
    """The small pictures (n, 3, h, w) in [-1, 1], noised by `grain` of their shape as far as `level` says, folded."""
    bars = schedule.from_config(SCHEDULER | dict(family.lower or LOWER)).alphas_cumprod
    bar = bars[level].float()
    return F.pixel_unshuffle(bar.sqrt() * picture + (1 - bar).sqrt() * grain, fold(family) or 1)


def small(pixels: np.ndarray) -> Tensor:
    """uint8 (h, w, 3) as `beside` takes it."""
    return spatial.to_tensor(pixels)


@dataclass(frozen=True)
class Windows:
    """Overlapping squares of `side` over latents of `size` (high, wide), each looked at by itself.

    What they say is one estimate: where several see a place each counts by how far it is from its own edge (after
    MultiDiffusion, Bar-Tal et al. 2023, eq. 5), so that all steps are of one picture and no seam is left.
    """

    size: tuple[int, int]
    side: int

    def __len__(self) -> int:
        return len(self._places())

    def cut(self, x: Tensor) -> list[Tensor]:
        """The windows of (1, c, h, w)."""
        return [x[..., top : top + self.side, left : left + self.side] for top, left in self._places()]

    def join(self, parts: Sequence[Tensor]) -> Tensor:
        """One (1, c, h, w) of what the windows say."""
        high, wide = self.size
        total = parts[0].new_zeros(1, parts[0].shape[1], high, wide)
        weight = torch.zeros_like(total[:, :1])
        for (top, left), part in zip(self._places(), parts, strict=True):
            ramp = [torch.minimum(k, k.flip(0)) for k in (torch.arange(1.0, n + 1) for n in part.shape[2:])]
            own = (ramp[0][:, None] * ramp[1]).to(part)
            total[..., top : top + part.shape[2], left : left + part.shape[3]] += own * part
            weight[..., top : top + part.shape[2], left : left + part.shape[3]] += own
        return total / weight

    def _places(self) -> list[tuple[int, int]]:
        return [(top, left) for top in self._starts(self.size[0]) for left in self._starts(self.size[1])]

    def _starts(self, length: int) -> list[int]:
        room = length - self.side
        count = max(0, math.ceil(room / (self.side - self.side // OVERLAP)))
        return [round(k * room / count) for k in range(count + 1)] if count else [0]


def windows(family: Family, size: tuple[int, int]) -> Windows | None:
    """Windows over latents of `size` (high, wide) where that is more than the family was trained to see at once."""
    side = family.record.size // family.factor
    return Windows(size, side) if max(size) > side else None
