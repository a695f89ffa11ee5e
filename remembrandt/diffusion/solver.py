"""DPM-Solver in its own step plans: `dpm_fast` for a given number of calls, `dpm_adaptive` for a given error.

Both see of `sigmas` its ends and, `dpm_fast`, its length: where they look in between is their own affair. Steps are in
lambda = -log sigma, slopes are eps = (x - x0) / sigma (Lu et al. 2022a, with alpha = 1).
"""

from __future__ import annotations

import math
from collections.abc import Generator
from itertools import pairwise

import torch
from torch import Tensor

from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.walk import Walk

MOST_CALLS = 300  # of `dpm_adaptive`


def dpm_fast(x: Tensor, sigmas: list[float], noise: Noise) -> Walk:
    """DPM-Solver-fast (Lu et al. 2022a, appendix D.4): as many calls as `sigmas` has steps, in blocks of three."""
    calls = len(sigmas) - 1
    orders = [3] * (calls // 3 - 1) + [2, 1] if calls % 3 == 0 else [3] * (calls // 3) + [calls % 3]
    high, low = math.log(sigmas[0]), math.log(sigmas[-1])
    ends = [high + (low - high) * i / len(orders) for i in range(len(orders) + 1)]
    for order, (begin, end) in zip(orders, pairwise(ends), strict=True):
        sigma = math.exp(begin)
        eps = yield from _eps(x, sigma)
        x, _ = yield from _step(x, eps, sigma, begin - end, order)
    return x


def dpm_adaptive(
    x: Tensor,
    sigmas: list[float],
    noise: Noise,
    rtol: float = 0.05,
    atol: float = 0.0078,
    max_calls: int = MOST_CALLS,
) -> Walk:
    """DPM-Solver-12-style control with orders 2 and 3 (Lu et al. 2022a, appendix C), steps as the error allows.

    Tolerances, first step and controller are k-diffusion's; x must be one picture. Short of calls it goes to the end in
    steps of order one, which spends the last of `max_calls`: a walk that found its own end made fewer.
    """
    now, end = math.log(sigmas[0]), math.log(sigmas[-1])
    h, calls, before = 0.05, 0, x
    eps: Tensor | None = None
    while now > end + 1e-5:
        if calls + 3 >= max_calls:
            return (yield from _rush(x, now, end, max_calls - calls))
        if eps is None:
            eps = yield from _eps(x, math.exp(now))
            calls += 1
        width = min(h, now - end)
        third, second = yield from _step(x, eps, math.exp(now), width, 3)
        calls += 2
        error = _error(second, third, before, rtol, atol)
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / 3) - 1)
        if factor >= 0.81:
            x, before, eps, now = third, second, None, now - width
        h *= factor
    return x


def _error(second: Tensor, third: Tensor, before: Tensor, rtol: float, atol: float) -> float:
    """The root mean square of what two orders differ by, in units of what is tolerated; in float64."""
    most = torch.maximum(second.abs(), before.abs()).double()
    return ((second.double() - third.double()) / (rtol * most).clamp_min(atol)).square().mean().sqrt().item()


def _rush(x: Tensor, now: float, end: float, calls: int) -> Walk:
    for i in range(calls):
        sigma = math.exp(now + (end - now) * i / calls)
        eps = yield from _eps(x, sigma)
        x = x - eps * sigma * -math.expm1((end - now) / calls)
    return x


def _eps(x: Tensor, sigma: float) -> Walk:
    x0 = yield x, sigma
    return (x - x0) / sigma


def _step(
    x: Tensor, eps: Tensor, sigma: float, h: float, order: int
) -> Generator[tuple[Tensor, float], Tensor, tuple[Tensor, Tensor]]:
    """x a width h further, and the same to order 2: DPM-Solver-1, -2 (r = 1/2) or -3 (r = 1/3, 2/3)."""

    def ahead(r: float, *terms: Tensor) -> Tensor:
        return x - sigma * math.exp(-r * h) * sum(terms, torch.zeros_like(x))

    full, first = math.expm1(h), 1 / 2 if order == 2 else 1 / 3
    if order == 1:
        one = ahead(1, full * eps)
        return one, one
    inner = math.expm1(first * h)
    change = (yield from _eps(ahead(first, inner * eps), sigma * math.exp(-first * h))) - eps
    second = ahead(1, full * eps, full / (2 * first) * change)
    if order == 2:
        return second, second
    outer = math.expm1(2 / 3 * h)
    there = ahead(2 / 3, outer * eps, 2 * (outer / (2 / 3 * h) - 1) * change)
    change = (yield from _eps(there, sigma * math.exp(-2 / 3 * h))) - eps
    return ahead(1, full * eps, 3 / 2 * (full / h - 1) * change), second
