"""Samplers that learn from their earlier estimates: one model call a step, orders above one."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor

from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.walk import Walk, towards


def lms(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """Adams-Bashforth of order up to four in sigma: the slopes' interpolating polynomial, integrated exactly."""
    slopes: list[Tensor] = []
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        x0 = yield x, sigma
        slopes = [(x - x0) / sigma, *slopes[:3]]
        weights = _adams(sigmas[i + 1 - len(slopes) : i + 1][::-1], sigma, following)
        x = x + sum(w * slope for w, slope in zip(weights, slopes, strict=True))
    return x


def _adams(nodes: list[float], low: float, high: float) -> list[float]:
    """Integrals from `low` to `high` of the Lagrange polynomials on `nodes`: Gauss's two points, exact to cubics."""
    centre, half = (low + high) / 2, (high - low) / 2
    points = [centre + half * s / math.sqrt(3) for s in (-1, 1)]
    return [
        half * sum(math.prod((p - other) / (node - other) for other in nodes if other != node) for p in points)
        for node in nodes
    ]


def plms(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """Pseudo linear multistep (Liu et al. 2022, eq. 12 in DDIM's transfer), begun by Heun's step: one call more.

    Its weights are those of evenly spaced timesteps.
    """
    slopes: list[Tensor] = []
    for i, (sigma, following) in enumerate(pairwise(sigmas)):
        x0 = yield x, sigma
        slopes = [(x - x0) / sigma, *slopes[:3]]
        mean = sum(w * slope for w, slope in zip(ADAMS[len(slopes)], slopes, strict=True))
        if i == 0 and len(sigmas) > 2:
            ahead = x + mean * (following - sigma)
            x0 = yield ahead, following
            mean = (mean + (ahead - x0) / following) / 2
        x = x + mean * (following - sigma)
    return x


ADAMS = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


def dpmpp_2m(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """DPM-Solver++(2M) (Lu et al. 2022b, algorithm 2), in lambda = -log sigma; first order at both ends."""
    older: Tensor | None = None
    width = 0.0
    for sigma, following in pairwise(sigmas):
        x0 = yield x, sigma
        if following == 0:
            return x0
        h = math.log(sigma / following)
        x = towards(x, _ahead(x0, older, width, h), sigma, following)
        older, width = x0, h
    return x


def _ahead(x0: Tensor, older: Tensor | None, width: float, h: float) -> Tensor:
    """The estimate halfway into a step of h, extrapolated from the last two, `width` apart."""
    # Above 999 steps whole timesteps repeat: a step of no width teaches nothing.
    return x0 if older is None or width == 0 else x0 + (x0 - older) * (h / (2 * width))


def unipc(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """UniPC-2, B(h) = e^h - 1, of data prediction (Zhao et al. 2023, algorithms 5 and 7).

    The estimate of each new level first corrects the step that led there, then predicts the next: no call more.
    """
    began, sigma_before, h = x, sigmas[0], 0.0
    x0s: list[Tensor] = []
    width = 0.0
    for sigma, following in pairwise(sigmas):
        x0 = yield x, sigma
        if x0s and h:
            x = _corrected(began, x0, x0s, sigma_before, sigma, width)
        if following == 0:
            return x0
        older, width = (x0s[0] if x0s else None), h
        began, sigma_before, h = x, sigma, math.log(sigma / following)
        x = towards(x, _ahead(x0, older, width, h), sigma, following)
        x0s = [x0, *x0s[:1]]
    return x


def _corrected(x: Tensor, new: Tensor, x0s: list[Tensor], sigma: float, following: float, width: float) -> Tensor:
    """The step from `sigma` to `following` again, now that the estimate `new` at its end is known too (UniC)."""
    h = math.log(sigma / following)
    scale = math.expm1(-h)
    step = towards(x, x0s[0], sigma, following)
    if len(x0s) == 1 or width == 0:
        return step - scale / 2 * (new - x0s[0])
    ratio = -width / h
    second = -scale / h - 1  # h phi_2 and h phi_3 at -h
    third = -second / h - 1 / 2
    b1, b2 = second / scale, 2 * third / scale
    back = (b1 - b2) / (1 - ratio)
    return step - scale * (back / ratio * (x0s[1] - x0s[0]) + (b1 - back) * (new - x0s[0]))
