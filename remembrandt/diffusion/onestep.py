"""Samplers that remember nothing from one step to the next; what ends in `_a` or `sde` adds noise at each."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor

from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.walk import Walk, ancestral, middle, towards


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
        down, up = ancestral(sigma, following)
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


def dpm2(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """The slope halfway in log sigma: k-diffusion's DPM-Solver-2 (Lu et al. 2022a, algorithm 1) with steps in sigma."""
    for sigma, following in pairwise(sigmas):
        x0 = yield x, sigma
        if following == 0:
            return x0
        half = middle(sigma, following)
        ahead = towards(x, x0, sigma, half)
        x0 = yield ahead, half
        x = x + (ahead - x0) / half * (following - sigma)
    return x


def dpm2_a(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """`dpm2` down past the next level and back up with fresh noise."""
    for sigma, following in pairwise(sigmas):
        x0 = yield x, sigma
        if following == 0:
            return x0
        down, up = ancestral(sigma, following)
        half = middle(sigma, down)
        ahead = towards(x, x0, sigma, half)
        x0 = yield ahead, half
        x = x + (ahead - x0) / half * (down - sigma) + noise().to(x.device) * up
    return x


def dpmpp_2s_a(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """DPM-Solver++(2S) (Lu et al. 2022b, algorithm 1, r = 1/2), ancestral."""
    for sigma, following in pairwise(sigmas):
        x0 = yield x, sigma
        if following == 0:
            return x0
        down, up = ancestral(sigma, following)
        half = middle(sigma, down)
        x0 = yield towards(x, x0, sigma, half), half
        x = towards(x, x0, sigma, down) + noise().to(x.device) * up
    return x


def dpmpp_sde(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """DPM-Solver++ for the reverse SDE: both evaluations walk the picture's one Brownian path.

    The noise of a part of a step is the increment of `noise.path` over it (k-diffusion's `sample_dpmpp_sde`, eta 1,
    r = 1/2), so that a finer grid refines the same walk and there is a picture to settle on.
    """
    for sigma, following in pairwise(sigmas):
        x0 = yield x, sigma
        if following == 0:
            return x0
        half = middle(sigma, following)
        down, up = ancestral(sigma, half)
        ahead = towards(x, x0, sigma, down) + noise.path(sigma, half).to(x.device) * up
        x0 = yield ahead, half
        down, up = ancestral(sigma, following)
        x = towards(x, x0, sigma, down) + noise.path(sigma, following).to(x.device) * up
    return x
