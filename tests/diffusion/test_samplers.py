"""The samplers against mathematics: exact data, known orders, what holds for every one of them."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.onestep import euler
from remembrandt.diffusion.samplers import SAMPLERS
from remembrandt.diffusion.schedule import karras, scaled_linear
from remembrandt.diffusion.solver import dpm_adaptive
from tests.diffusion.drive import MEAN, SPREAD, drive, gaussian, solved, start

RULES = {row.function: name for name, row in reversed(SAMPLERS.items()) if not row.stochastic}
ADAPTIVE = "dpm-adaptive"
STEPS = (20, 41, 80, 161)  # one short of a multiple of three: else `dpm_fast` ends on a block of order one
SHAPE = (1, 1, 4, 4)


def rms(x) -> float:
    return x.square().mean().sqrt().item()


def slopes(errors) -> list[float]:
    """How often halving the steps' width halves the error."""
    return [math.log2(a / b) for a, b in pairwise(errors)]


def ends(name, seed=0):
    """Where walks over finer and finer Karras levels to sigma_min end, and where the flow leads."""
    row, schedule = SAMPLERS[name], scaled_linear()
    for steps in STEPS:
        sigmas = karras(schedule, steps + 1)
        x = start(shape=SHAPE) * sigmas[0]
        found = drive(row.function(x, sigmas, Noise(seed, SHAPE)), gaussian)
        yield found, solved(x, sigmas[0], sigmas[-1])


@pytest.mark.parametrize("name", sorted(set(RULES.values()) - {ADAPTIVE}))
def test_order(name):
    """As theory says, of the flow to sigma_min; LMS begins with Euler and so comes near four, no more."""
    found = slopes([rms(end - exact) for end, exact in ends(name)])
    expected, near = (3.4, 0.25) if name == "lms" else (SAMPLERS[name].order, 0.15)
    assert found[-1] == pytest.approx(expected, abs=near)


@pytest.mark.parametrize("name", ["euler-a", "dpm2-a", "dpmpp-2s-a", "dpmpp-sde"])
def test_what_settles_on_its_own_noise(name):
    """One Brownian path has one picture at its end, come to with order one; fresh noise has none."""
    found = [end for end, _ in ends(name)]
    order = slopes([rms(b - a) for a, b in pairwise(found)])
    if name == "dpmpp-sde":
        assert sum(order) / len(order) == pytest.approx(1, abs=0.25)
    else:
        assert max(order) < 0.5


def test_adaptive_walks_obey_their_tolerance():
    """Eight times the exactness for about twice the calls."""
    sigmas = [14.6146, 0.0292]
    x = start(shape=SHAPE) * sigmas[0]
    calls, errors = [], []
    for rtol in (0.05 / 8, 0.05 / 64, 0.05 / 512):
        asked = []
        walk = dpm_adaptive(x, sigmas, Noise(0, SHAPE), rtol=rtol, atol=rtol / 6)
        found = drive(walk, lambda x, sigma, asked=asked: asked.append(sigma) or gaussian(x, sigma))
        calls.append(len(asked))
        errors.append(rms(found - solved(x, *sigmas)))
    assert errors[0] > 4 * errors[1] > 16 * errors[2]
    assert all(1.2 < b / a < 2.5 for a, b in pairwise(calls))


@pytest.mark.parametrize("most", [1, 2, 4, 10, 17])
def test_adaptive_walks_stop_where_told(most):
    """At the very call, and at the end: what calls are left go there by steps of order one."""
    sigmas, asked = [14.6146, 0.0292], []
    x = start(shape=SHAPE) * sigmas[0]
    walk = dpm_adaptive(x, sigmas, Noise(0, SHAPE), max_calls=most)
    found = drive(walk, lambda x, sigma: asked.append(sigma) or gaussian(x, sigma))
    assert len(asked) == most
    assert rms(found - solved(x, *sigmas)) < 1.1  # noise would be 14.6 away
    if most < 3:
        levels = [sigmas[0] * (sigmas[1] / sigmas[0]) ** (i / most) for i in range(most + 1)]
        assert torch.allclose(found, drive(euler(x, levels, Noise(0, SHAPE)), gaussian))


def test_foreseen_is_right_in_the_end():
    row = SAMPLERS[ADAPTIVE]
    assert row.foreseen(1, 10.0, 10.0, 0.1) == row.max_calls
    assert row.foreseen(30, 10.0, 1.0, 0.1) == 60
    assert row.foreseen(290, 10.0, 9.0, 0.1) == row.max_calls


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
    assert len(asked) < row.total(steps) if name == ADAPTIVE else len(asked) == row.total(steps)
    assert all(schedule.sigma_min * 0.999 <= s <= schedule.sigma_max * 1.001 for s in asked)
    rest = (first - sure) * sigmas[-1] / sigmas[0]  # what a walk to sigma_min leaves of the noise
    assert torch.allclose(found, sure + rest, atol=1e-9)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_the_distribution_is_the_datas(name):
    row, schedule = SAMPLERS[name], scaled_linear()
    sigmas, noise = row.sigmas(schedule, 100), Noise(1, (1, 4, 32, 32))
    found = drive(row.function(noise() * row.scale(sigmas[0]), sigmas, noise), gaussian)
    assert found.mean().item() == pytest.approx(MEAN, abs=0.08)
    assert found.std().item() == pytest.approx(SPREAD, abs=0.08)


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_only_the_stochastic_draw(name):
    row, schedule = SAMPLERS[name], scaled_linear()
    drawn = Noise(1, (1, 4, 8, 8))
    drive(row.function(start(), row.sigmas(schedule, 5), drawn), gaussian)
    fresh = row.stochastic and "sde" not in name  # these read the path instead
    assert torch.equal(drawn(), Noise(1, (1, 4, 8, 8))()) is not fresh


@settings(max_examples=60, deadline=None)
@given(some.sampled_from(sorted(SAMPLERS)), some.integers(1, 12), some.integers(0, 3), some.floats(-30, 30))
def test_walks_end_finite_and_depend_on_the_seed_alone(name, steps, seed, mean):
    """For any data, in any number of steps; another seed is another picture."""
    row, schedule = SAMPLERS[name], scaled_linear()
    sigmas = row.sigmas(schedule, steps)

    def found(seed: int):
        noise = Noise(seed, SHAPE)
        walk = row.function(noise() * row.scale(sigmas[0]), sigmas, noise)
        return drive(walk, lambda x, sigma: mean + (x - mean) / (1 + sigma**2))

    assert found(seed).isfinite().all()
    assert torch.equal(found(seed), found(seed))
    assert not torch.equal(found(seed), found(seed + 9))


@pytest.mark.parametrize("name", sorted(SAMPLERS))
def test_a_walk_can_be_closed(name):
    row = SAMPLERS[name]
    walk = row.function(start(), row.sigmas(scaled_linear(), 5), Noise(1, (1, 4, 8, 8)))
    next(walk)
    walk.close()
    with pytest.raises(StopIteration):
        next(walk)
