"""The samplers against mathematics: exact data, known orders, what holds for every one of them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.samplers import SAMPLERS
from remembrandt.diffusion.schedule import karras, scaled_linear
from tests.diffusion.drive import MEAN, SPREAD, drive, gaussian, solved, start

STILL = sorted(name for name, row in SAMPLERS.items() if not row.stochastic)


@pytest.mark.parametrize("name", STILL)
def test_order(name):
    """Halving the steps' width divides the error by 2 to the order, on the flow to sigma_min."""
    row, schedule = SAMPLERS[name], scaled_linear()
    errors = []
    for steps in (20, 40, 80, 160):
        sigmas = karras(schedule, steps + 1)
        x = start() * sigmas[0]
        found = drive(row.function(x, sigmas, Noise(0, (1,))), gaussian)
        errors.append((found - solved(x, sigmas[0], sigmas[-1])).square().mean().sqrt().item())
    slopes = [math.log2(a / b) for a, b in pairwise(errors)]
    assert slopes[-1] == pytest.approx(row.order, abs=0.25)


@settings(max_examples=40, deadline=None)
@given(some.sampled_from(sorted(SAMPLERS)), some.integers(1, 1000), some.integers(0, 9))
def test_certainty_is_painted(name, steps, seed):
    """A denoiser that is sure of one picture gets that picture, in the promised number of calls."""
    row, schedule = SAMPLERS[name], scaled_linear()
    sigmas, sure, asked = row.sigmas(schedule, steps), start(seed + 1), []

    def denoise(x, sigma):
        asked.append(sigma)
        return sure

    noise = Noise(seed, sure.shape)
    first = noise().double() * row.scale(sigmas[0])
    found = drive(row.function(first, sigmas, noise), denoise)
    assert len(asked) == row.total(steps)
    assert all(schedule.sigma_min * 0.999 <= s <= schedule.sigma_max * 1.001 for s in asked)
    rest = (first - sure) * sigmas[-1] / sigmas[0]  # what a walk to sigma_min leaves of the noise
    assert torch.allclose(found, sure + rest, atol=1e-9)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_the_distribution_is_the_datas(name):
    row, schedule = SAMPLERS[name], scaled_linear()
    sigmas, noise = row.sigmas(schedule, 100), Noise(1, (1, 4, 64, 64))
    found = drive(row.function(noise() * row.scale(sigmas[0]), sigmas, noise), gaussian)
    assert found.mean().item() == pytest.approx(MEAN, abs=0.08)
    assert found.std().item() == pytest.approx(SPREAD, abs=0.08)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_only_the_stochastic_draw(name):
    row, schedule = SAMPLERS[name], scaled_linear()
    drawn = Noise(1, (1, 4, 8, 8))
    drive(row.function(start(), row.sigmas(schedule, 5), drawn), gaussian)
    assert torch.equal(drawn(), Noise(1, (1, 4, 8, 8))()) is not row.stochastic


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_walk_can_be_closed(name):
    row = SAMPLERS[name]
    walk = row.function(start(), row.sigmas(scaled_linear(), 5), Noise(1, (1, 4, 8, 8)))
    next(walk)
    walk.close()
    with pytest.raises(StopIteration):
        next(walk)
