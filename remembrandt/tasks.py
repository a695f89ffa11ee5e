"""Tasks: one short function each, from a request to what its pictures start from. A new task is one row of `TASKS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.samplers import Sampler
from remembrandt.diffusion.schedule import Schedule


@dataclass(frozen=True, eq=False)
class Start:
    """Where one picture's walk begins: its first latent and the levels it visits, the end included."""

    x: Tensor
    sigmas: list[float]


def text_to_image(schedule: Schedule, sampler: Sampler, steps: int, noise: Noise) -> Start:
    """From pure noise at the first level of the sampler's grid."""
    sigmas = sampler.sigmas(schedule, steps)
    return Start(noise() * sampler.scale(sigmas[0]), sigmas)


TASKS: dict[str, Callable[[Schedule, Sampler, int, Noise], Start]] = {"text-to-image": text_to_image}
