"""How fast samplers come to the solution of the probability flow, over model calls: error, order, whether at all.

The bench needs a denoiser and nothing else: `bench()` is a 2-D mixture of four Gaussians, whose denoiser is known.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.samplers import SAMPLERS, Sampler, Walk, finish
from remembrandt.diffusion.schedule import Schedule, karras, scaled_linear
from remembrandt.diffusion.solver import dpm_adaptive

Denoise = Callable[[Tensor, Tensor], Tensor]  # x (n, ...), sigma (n,): the estimates

MODES, SPREAD = 1.5 * torch.tensor([(1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0)], dtype=torch.float64), 0.5
SETTLED = 0.5  # the order below which an error is said to stand still


@dataclass(frozen=True, eq=False)
class Bench:
    """`noise` (n, ...) starts n walks at sigma_max; `steps` are compared; `far` steps of Heun are the reference.

    `calls` are the budgets on which samplers are compared as they are used, each on its own levels.
    """

    denoise: Denoise
    schedule: Schedule
    noise: Tensor
    steps: tuple[int, ...] = (20, 40, 80, 160)
    calls: tuple[int, ...] = (10, 20, 40, 80)
    far: int = 4000

    @cached_property
    def reference(self) -> tuple[Tensor, Tensor]:
        """Where the flow leads: at sigma_min, and at 0."""
        sigmas = karras(self.schedule, self.far + 1)
        found, _ = drive([self.walk(SAMPLERS["heun"], sigmas, self.noise * sigmas[0])], self.denoise)
        last = torch.full(found.shape[:1], sigmas[-1], dtype=found.dtype)
        return found, self.denoise(found, last)

    def walk(self, row: Sampler, sigmas: list[float], x: Tensor) -> Walk:
        return row.function(x, sigmas, Noise(0, tuple(x.shape)))


def mixture(x: Tensor, sigma: Tensor) -> Tensor:
    """The exact estimate E[x0 | x] for data of four equal modes: x (n, 2), sigma (n,)."""
    wide = (SPREAD**2 + sigma.square())[:, None]
    near = torch.softmax(-(x[:, None] - MODES).square().sum(-1) / (2 * wide), 1) @ MODES
    return near + SPREAD**2 / wide * (x - near)


def bench(starts: int = 256) -> Bench:
    """The mixture between SD's ends, in float64."""
    chance = torch.Generator("cpu").manual_seed(0)
    return Bench(mixture, scaled_linear(), torch.randn(starts, 2, generator=chance, dtype=torch.float64))


def drive(walks: Sequence[Walk], denoise: Denoise) -> tuple[Tensor, float]:
    """The ends of the walks in one tensor, and how many calls each took on average; rows share calls."""
    ends: dict[Walk, Tensor] = {}
    live = {walk: next(walk) for walk in walks}
    calls = 0
    while live:
        calls += len(live)
        asked = [x for x, _ in live.values()]
        sizes = [len(x) for x in asked]
        levels = torch.tensor([s for (_, s), n in zip(live.values(), sizes, strict=True) for _ in range(n)])
        answers = denoise(torch.cat(asked), levels.to(asked[0])).split(sizes)
        for walk, answer in zip(list(live), answers, strict=True):
            try:
                live[walk] = walk.send(answer)
            except StopIteration as end:
                ends[walk] = end.value
                del live[walk]
    return torch.cat([ends[walk] for walk in walks]), calls / len(walks)


def curve(bench: Bench, name: str) -> dict[str, Any]:
    """`{name, order, converges, points: [{calls, error, seconds}], own_order, used: [{calls, steps, error}]}`.

    `points`: on shared Karras levels to sigma_min, error against the reference (root mean square); `order` is minus the
    slope of its logarithm over the last three. `own_order`, of stochastic ones: the same of the distance to the walk of
    half the steps with the same seed, that is, whether there is anything that they settle on. `used`: on the sampler's
    own levels, ends and timesteps, for equal model calls.
    """
    row = SAMPLERS[name]
    points, ends = [], []
    for number, steps in enumerate(bench.steps):
        began = time.perf_counter()
        found, calls = drive(list(_walks(bench, row, steps, number)), bench.denoise)
        seconds = time.perf_counter() - began
        points.append({"calls": calls, "error": _rms(found - bench.reference[0]), "seconds": seconds})
        ends.append(found)
    order = _slope([(p["calls"], p["error"]) for p in points[-3:]])
    result = {"name": name, "order": order, "converges": order > SETTLED, "points": points}
    if row.stochastic:
        gaps = [_rms(fine - coarse) for coarse, fine in pairwise(ends)]
        result["own_order"] = _slope([(p["calls"], gap) for p, gap in zip(points[1:], gaps, strict=True)])
    return {**result, "used": list(_used(bench, row))}


def _walks(bench: Bench, row: Sampler, steps: int, number: int) -> Iterator[Walk]:
    sigmas = karras(bench.schedule, steps + 1)
    x = bench.noise * sigmas[0]
    if row.max_calls is None:
        yield bench.walk(row, sigmas, x)
        return
    finer = 8.0**-number  # of an error of order three: twice the calls
    rule = partial(dpm_adaptive, rtol=0.05 * finer, atol=0.0078 * finer, max_calls=10**4)
    yield from (rule(one, sigmas, Noise(0, tuple(one.shape))) for one in x.split(1))


def _used(bench: Bench, row: Sampler) -> Iterator[dict[str, Any]]:
    for budget in bench.calls if row.max_calls is None else (row.calls,):
        spare = row.calls - 1 if row.end == "zero" else -row.warmup
        steps = max(1, (budget + spare) // row.calls)
        sigmas = row.sigmas(bench.schedule, steps)
        x = bench.noise * row.scale(sigmas[0])
        parts = x.split(1) if row.max_calls else [x]
        found, calls = drive([bench.walk(row, sigmas, part) for part in parts], bench.denoise)
        yield {"calls": calls, "steps": steps, "error": _rms(finish(found, sigmas[-1]) - bench.reference[1])}


def advise(curves: Sequence[dict[str, Any]], budgets: Sequence[int]) -> str:
    """What follows from the curves for so many model calls, in a few sentences."""
    settling = [c for c in curves if c["converges"]]
    if not settling:
        return "None of these settles on the solution: choose by eye, and keep the number of steps."
    said = []
    for budget in budgets:
        fair = [(p["error"], c["name"], p["steps"]) for c in settling for p in c["used"] if p["calls"] <= budget]
        if fair:
            error, name, steps = min(fair)
            said.append(f"{budget} calls: {name} with {steps} steps (error {error:.2g})")
    never = [c["name"] for c in curves if not c["converges"]]
    rest = f" Another number of steps is another picture with {', '.join(never)}." if never else ""
    return f"The nearest to the solution for {'; '.join(said)}.{rest}" if said else rest.strip()


def _slope(pairs: Sequence[tuple[float, float]]) -> float:
    """Minus the slope of log error over log calls, by least squares."""
    if not all(error > 0 and math.isfinite(error) for _, error in pairs):
        return 0.0
    a, b = torch.tensor([(math.log(calls), math.log(error)) for calls, error in pairs], dtype=torch.float64).T
    a = a - a.mean()
    return -((a * b).sum() / a.square().sum()).item()


def _rms(x: Tensor) -> float:
    return x.square().mean().sqrt().item()
