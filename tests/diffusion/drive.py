"""The smallest drivers of a sampler: an exact denoiser of Gaussian data, and the loop around any."""

from __future__ import annotations

import math

import torch
from torch import Tensor

MEAN, SPREAD = 0.7, 1.0


def drive(walk, denoise) -> Tensor:
    """Answer every yielded (x, sigma) by denoise(x, sigma), to the end."""
    x, sigma = next(walk)
    while True:
        try:
            x, sigma = walk.send(denoise(x, sigma))
        except StopIteration as end:
            return end.value


def gaussian(x: Tensor, sigma: float) -> Tensor:
    """The exact x0 of data N(MEAN, SPREAD^2)."""
    return (SPREAD**2 * x + sigma**2 * MEAN) / (SPREAD**2 + sigma**2)


def solved(x: Tensor, high: float, low: float) -> Tensor:
    """Where the probability flow of that data leads from level `high` to `low`."""
    return MEAN + (x - MEAN) * math.sqrt((SPREAD**2 + low**2) / (SPREAD**2 + high**2))


def start(seed: int = 0, shape: tuple[int, ...] = (1, 4, 8, 8)) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
