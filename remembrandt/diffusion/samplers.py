"""Samplers as generators: each yields `(x, sigma)`, is sent the denoised estimate, returns the result.

A sampler knows no model, no batch and no callback, so one driver runs many of them at once. Sigmas are Python floats,
falling, the end included; x is one picture's latent, x = x0 + sigma * eps, in fp32. A new sampler is one function and
one row of `SAMPLERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from torch import Tensor

from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.schedule import GRIDS, Schedule

Walk = Generator[tuple[Tensor, float], Tensor, Tensor]


def euler(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """Karras et al. 2022, algorithm 1 of order one; on a DDIM grid it is DDIM (Song et al. 2020, eq. 12, eta 0)."""
    for sigma, following in pairwise(sigmas):
        x0 = yield x, sigma
        x = x + (x - x0) / sigma * (following - sigma)
    return x


def euler_a(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """Ancestral steps: down past the next level and back up with fresh noise (DDPM in these variables)."""
    for sigma, following in pairwise(sigmas):
        x0 = yield x, sigma
        up = min(following, following / sigma * math.sqrt(max(sigma**2 - following**2, 0.0)))
        down = math.sqrt(following**2 - up**2)
        x = x + (x - x0) / sigma * (down - sigma)
        if following > 0:
            x = x + noise().to(x.device) * up
    return x


def heun(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """Karras et al. 2022, algorithm 1: the mean of the slopes at both ends; Euler into zero."""
    for sigma, following in pairwise(sigmas):
        x0 = yield x, sigma
        slope = (x - x0) / sigma
        ahead = x + slope * (following - sigma)
        if following > 0:
            x0 = yield ahead, following
            ahead = x + (slope + (ahead - x0) / following) / 2 * (following - sigma)
        x = ahead
    return x


def dpmpp_2m(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2), in lambda = -log sigma; first order at both ends."""
    older: Tensor | None = None
    width = 0.0
    for sigma, following in pairwise(sigmas):
        x0 = yield x, sigma
        if following == 0:
            return x0
        h = math.log(sigma / following)
        # Above 999 steps whole timesteps repeat: a step of no width teaches nothing.
        estimate = x0 if older is None or width == 0 else x0 + (x0 - older) * (h / (2 * width))
        x = following / sigma * x - math.expm1(-h) * estimate
        older, width = x0, h
    return x


@dataclass(frozen=True)
class Sampler:
    """A row: the rule and how it is used.

    `grid` is a key of `schedule.GRIDS`; `start` scales the first noise, by sigma ("sigma") or sqrt(sigma^2 + 1)
    ("root"); `end` is the last level: 0, or sigma_min ("min"); `calls` model calls a step (the last may need fewer);
    `rounded`: the network is asked at whole timesteps; `steps` what people use.
    """

    function: Callable[[Tensor, list[float], Noise], Walk]
    label: str
    order: int
    advice: str
    calls: int = 1
    grid: str = "linspace"
    start: Literal["sigma", "root"] = "sigma"
    end: Literal["zero", "min"] = "zero"
    stochastic: bool = False
    rounded: bool = False
    steps: int = 20

    def sigmas(self, schedule: Schedule, steps: int) -> list[float]:
        """The levels that are visited, falling, the end included: steps + 1 of them."""
        return [
            *GRIDS[self.grid](schedule, steps),
            0.0 if self.end == "zero" else schedule.sigma_min,
        ]

    def scale(self, sigma: float) -> float:
        """What the first standard normal noise is multiplied by at the first level."""
        return sigma if self.start == "sigma" else math.sqrt(sigma**2 + 1)

    def t(self, schedule: Schedule, sigma: float) -> float:
        """The timestep at which the network is asked about a level."""
        t = schedule.t(sigma)
        return float(round(t)) if self.rounded else t

    def total(self, steps: int) -> int:
        """Model calls of a whole walk."""
        return self.calls * steps - (self.calls - 1 if self.end == "zero" else 0)


def finish(x: Tensor, end: float) -> Tensor:
    """The latent to decode, from where the walk ended: x / sqrt(end^2 + 1)."""
    return x / math.sqrt(end**2 + 1)


SAMPLERS: dict[str, Sampler] = {
    "ddim": Sampler(
        euler, "DDIM", 1, "The first fast one, still sound; 20 steps sketch, 50 finish.",
        grid="leading", start="root", end="min", rounded=True, steps=30,
    ),
    "euler": Sampler(euler, "Euler", 1, "The simplest; settles early and changes little after 20 steps.", steps=20),
    "euler-a": Sampler(
        euler_a, "Euler a", 1, "Lively and soft; never settles: every number of steps is another picture.",
        stochastic=True, steps=25,
    ),
    "heun": Sampler(heun, "Heun", 2, "More exact than Euler at twice the time a step.", calls=2, steps=15),
    "dpmpp-2m": Sampler(
        dpmpp_2m, "DPM++ 2M", 2, "Exact and quick: one call a step, second order.",
        grid="dpm-solver", start="root", rounded=True, steps=20,
    ),
    "dpmpp-2m-karras": Sampler(
        dpmpp_2m, "DPM++ 2M Karras", 2, "The usual choice: good from 15 steps, settled at 25.",
        grid="karras", start="root", steps=20,
    ),
}  # fmt: skip
