"""Noise schedules: which noise level stands at which timestep, and which levels a sampler visits.

Here a latent is written x = x0 + sigma * eps ("variance exploding"), sigma^2 = (1 - abar) / abar (Karras et al. 2022,
appendix C.3; abar is the cumulative product of DDPM's alphas).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

Prediction = Literal["eps", "v"]
PREDICTIONS: dict[str, Prediction] = {"epsilon": "eps", "v_prediction": "v"}


@dataclass(frozen=True, eq=False)
class Schedule:
    """`alphas_cumprod` (T,) in float64, falling; `prediction` is what the network was trained to give."""

    alphas_cumprod: Tensor
    prediction: Prediction = "eps"

    @cached_property
    def sigmas(self) -> list[float]:
        """The noise level of every timestep, rising. abar = 0 (zero terminal SNR) is clamped as diffusers does."""
        abar = self.alphas_cumprod.clamp_min(2**-24)
        return ((1 - abar) / abar).sqrt().tolist()

    @cached_property
    def _logs(self) -> list[float]:
        return [math.log(s) for s in self.sigmas]

    @property
    def sigma_min(self) -> float:
        return self.sigmas[0]

    @property
    def sigma_max(self) -> float:
        return self.sigmas[-1]

    def sigma(self, t: float) -> float:
        """The level at timestep t in [0, T - 1], linear in log sigma between whole timesteps."""
        low = min(max(int(t), 0), len(self._logs) - 2)
        return math.exp(self._logs[low] + (t - low) * (self._logs[low + 1] - self._logs[low]))

    def t(self, sigma: float) -> float:
        """The timestep of a level, the inverse of `sigma`; levels outside the range give its ends."""
        log = math.log(max(sigma, 1e-10))
        high = min(max(bisect_left(self._logs, log), 1), len(self._logs) - 1)
        below, above = self._logs[high - 1], self._logs[high]
        return high - 1 + min(max((log - below) / (above - below), 0.0), 1.0)


def scaled_linear(
    start: float = 0.00085, end: float = 0.012, steps: int = 1000, prediction: Prediction = "eps"
) -> Schedule:
    """SD's schedule: sqrt(beta) rises linearly (Rombach et al. 2022)."""
    return _from_betas(torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2, prediction)


def from_config(config: Mapping) -> Schedule:
    """The schedule of a diffusers scheduler's configuration; ValueError for a kind that is not known here."""
    n, start, end = (
        config.get(k, d) for k, d in (("num_train_timesteps", 1000), ("beta_start", 1e-4), ("beta_end", 0.02))
    )
    prediction = PREDICTIONS.get(config.get("prediction_type", "epsilon"))
    if prediction is None:
        raise ValueError(f"unknown prediction type {config['prediction_type']!r}: {', '.join(PREDICTIONS)} are known")
    kind = config.get("beta_schedule", "linear")
    if config.get("trained_betas") is not None:
        betas = torch.tensor(config["trained_betas"], dtype=torch.float64)
    elif kind == "scaled_linear":
        betas = torch.linspace(start**0.5, end**0.5, n, dtype=torch.float64) ** 2
    elif kind == "linear":
        betas = torch.linspace(start, end, n, dtype=torch.float64)
    else:
        raise ValueError(f"unknown beta schedule {kind!r}: scaled_linear and linear are known")
    return _from_betas(betas, prediction, bool(config.get("rescale_betas_zero_snr")))


def _from_betas(betas: Tensor, prediction: Prediction, zero_snr: bool = False) -> Schedule:
    abar = torch.cumprod(1.0 - betas, 0)
    if zero_snr:  # Lin et al. 2024, algorithm 1
        root = abar.sqrt()
        root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        abar = root.square()
    return Schedule(abar, prediction)


def leading(schedule: Schedule, steps: int) -> list[float]:
    """Every T//N-th timestep plus one, as SD 1's DDIM and PLMS."""
    ratio = len(schedule.sigmas) // steps
    return [schedule.sigmas[min(i * ratio + 1, len(schedule.sigmas) - 1)] for i in reversed(range(steps))]


def linspace(schedule: Schedule, steps: int) -> list[float]:
    """Timesteps evenly from T - 1 to 0, both included, as k-diffusion's `get_sigmas`."""
    last = len(schedule.sigmas) - 1
    return [schedule.sigma(last - i * last / max(steps - 1, 1)) for i in range(steps)]


def trailing(schedule: Schedule, steps: int) -> list[float]:
    """Timesteps evenly down from T - 1 without 0 (Lin et al. 2024, table 2)."""
    n = len(schedule.sigmas)
    return [schedule.sigmas[max(round(n - i * (n / steps)) - 1, 0)] for i in range(steps)]


def karras(schedule: Schedule, steps: int, rho: float = 7.0) -> list[float]:
    """Evenly in sigma^(1/rho) from sigma_max to sigma_min (Karras et al. 2022, eq. 5)."""
    high, low = schedule.sigma_max ** (1 / rho), schedule.sigma_min ** (1 / rho)
    return [(high + i / max(steps - 1, 1) * (low - high)) ** rho for i in range(steps)]


def dpm_solver(schedule: Schedule, steps: int) -> list[float]:
    """N + 1 whole timesteps evenly from T - 1 to 0, the last left out, as diffusers' DPMSolverMultistep."""
    width = (len(schedule.sigmas) - 1) / steps
    return [schedule.sigmas[round(i * width)] for i in range(steps, 0, -1)]


def exponential(schedule: Schedule, steps: int) -> list[float]:
    """Evenly in log sigma from sigma_max, sigma_min left out: DPM-Solver's own (Lu et al. 2022a, section 3.4)."""
    ratio = schedule.sigma_min / schedule.sigma_max
    return [schedule.sigma_max * ratio ** (i / steps) for i in range(steps)]


GRIDS: dict[str, Callable[[Schedule, int], list[float]]] = {
    "leading": leading,
    "linspace": linspace,
    "trailing": trailing,
    "karras": karras,
    "dpm-solver": dpm_solver,
    "exponential": exponential,
}
