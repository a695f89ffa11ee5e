"""Samplers as generators: each yields `(x, sigma)`, is sent the denoised estimate, returns the result.

A sampler knows no model, no batch and no callback, so one driver runs many of them at once. Sigmas are Python floats,
falling, the end included; x is one picture's latent, x = x0 + sigma * eps, in fp32. A new sampler is one function (in
`onestep`, `multistep` or `solver`) and one row of `SAMPLERS`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from remembrandt.diffusion.multistep import dpmpp_2m, lms, plms, unipc
from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.onestep import dpm2, dpm2_a, dpmpp_2s_a, dpmpp_sde, euler, euler_a, heun
from remembrandt.diffusion.schedule import GRIDS, Schedule
from remembrandt.diffusion.solver import MOST_CALLS, dpm_adaptive, dpm_fast
from remembrandt.diffusion.walk import Walk

__all__ = ["SAMPLERS", "Sampler", "Walk", "finish"]


@dataclass(frozen=True)
class Sampler:
    """A row: the rule and how it is used.

    `order` is that of its error on the probability flow, of a stochastic one with its noise left out; `grid` is a key
    of `schedule.GRIDS`; `start` scales the first noise, by sigma ("sigma") or sqrt(sigma^2 + 1) ("root"); `end` is the
    last level: 0, or sigma_min ("min"); `calls` model calls a step (the last may need fewer), `warmup` so many more at
    the start, `max_calls` the most where the rule itself decides how many; `rounded`: the network is asked at whole
    timesteps; `steps` what people use.
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
    warmup: int = 0
    max_calls: int | None = None

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
        """Model calls of a whole walk; the most, where `max_calls` bounds them."""
        if self.max_calls is not None:
            return self.max_calls
        return self.calls * steps - (self.calls - 1 if self.end == "zero" else 0) + (self.warmup if steps > 1 else 0)

    def foreseen(self, calls: int, begin: float, now: float, end: float) -> int:
        """What a walk from level `begin` to `end` will have taken if it goes on so: after `calls` it is at `now`."""
        most = self.max_calls or calls
        return most if now >= begin else min(most, round(calls * math.log(begin / end) / math.log(begin / now)))


def finish(x: Tensor, end: float) -> Tensor:
    """The latent to decode, from where the walk ended: x / sqrt(end^2 + 1)."""
    return x / math.sqrt(end**2 + 1)


SAMPLERS: dict[str, Sampler] = {
    "euler": Sampler(euler, "Euler", 1, "The simplest, a fine choice; settles early."),
    "euler-a": Sampler(
        euler_a, "Euler a", 1, "Lively and soft; never settles: every number of steps is another picture.",
        stochastic=True, steps=25,
    ),
    "lms": Sampler(lms, "LMS", 4, "Euler that remembers; old, and unsteady where steps are few.", steps=25),
    "lms-karras": Sampler(lms, "LMS Karras", 4, "LMS with finer steps near the end.", grid="karras", steps=25),
    "heun": Sampler(heun, "Heun", 2, "More exact than Euler at two calls a step: take fewer steps.", calls=2, steps=15),
    "dpm2": Sampler(dpm2, "DPM2", 2, "Second order at two calls a step.", calls=2, steps=15),
    "dpm2-karras": Sampler(
        dpm2, "DPM2 Karras", 2, "DPM2 with finer steps near the end.", calls=2, grid="karras", steps=15
    ),
    "dpm2-a": Sampler(
        dpm2_a, "DPM2 a", 2, "Ancestral: avoid it for pictures that should settle.",
        calls=2, stochastic=True, steps=15,
    ),
    "dpm2-a-karras": Sampler(
        dpm2_a, "DPM2 a Karras", 2, "Ancestral, with finer steps near the end; never settles.",
        calls=2, grid="karras", stochastic=True, steps=15,
    ),
    "dpmpp-2s-a": Sampler(
        dpmpp_2s_a, "DPM++ 2S a", 2, "Ancestral with a second look at every step; never settles.",
        calls=2, stochastic=True, steps=15,
    ),
    "dpmpp-2s-a-karras": Sampler(
        dpmpp_2s_a, "DPM++ 2S a Karras", 2, "The same with finer steps near the end; never settles.",
        calls=2, grid="karras", stochastic=True, steps=15,
    ),
    "dpmpp-2m": Sampler(
        dpmpp_2m, "DPM++ 2M", 2, "Exact and quick: one call a step, second order.",
        grid="dpm-solver", start="root", rounded=True, steps=25,
    ),
    "dpmpp-2m-karras": Sampler(
        dpmpp_2m, "DPM++ 2M Karras", 2, "The usual choice: fast and settled, 20 to 30 steps.",
        grid="karras", start="root", steps=20,
    ),
    "dpmpp-sde": Sampler(
        dpmpp_sde, "DPM++ SDE", 2, "Good pictures where settling does not matter; slow: two calls a step.",
        calls=2, stochastic=True, steps=12,
    ),
    "dpmpp-sde-karras": Sampler(
        dpmpp_sde, "DPM++ SDE Karras", 2, "Good pictures in 8 to 12 steps where settling does not matter.",
        calls=2, grid="karras", stochastic=True, steps=10,
    ),
    "dpm-fast": Sampler(
        dpm_fast, "DPM fast", 3, "Third order in as many calls as steps; poor below 20 steps.",
        grid="exponential", end="min", steps=30,
    ),
    "dpm-adaptive": Sampler(
        dpm_adaptive, "DPM adaptive", 3, f"Chooses its own steps, so --steps says nothing; at most {MOST_CALLS} calls.",
        calls=3, grid="exponential", end="min", steps=30, max_calls=MOST_CALLS,
    ),
    "ddim": Sampler(
        euler, "DDIM", 1, "The first fast one, still sound: 10 to 15 steps sketch, 50 finish.",
        grid="leading", start="root", end="min", rounded=True, steps=30,
    ),
    "plms": Sampler(
        plms, "PLMS", 2, "DDIM's first successor; out of date.",
        grid="leading", start="root", end="min", rounded=True, steps=30, warmup=1,
    ),
    "unipc": Sampler(
        unipc, "UniPC", 3, "Corrects each step by the next one's call: 5 to 10 steps sketch, 20 to 30 finish.",
        grid="dpm-solver", start="root", rounded=True, steps=20,
    ),
}  # fmt: skip
