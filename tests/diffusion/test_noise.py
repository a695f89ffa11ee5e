"""Draws are the generator's own; the path is one path, however it is cut."""

from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from remembrandt.diffusion.noise import Noise

SHAPE = (1, 4, 16, 16)
LEVELS = some.floats(0.03, 14.6)


def test_draws_are_the_generators():
    noise, generator = Noise(3, SHAPE), torch.Generator("cpu").manual_seed(3)
    for _ in range(3):
        assert torch.equal(noise(), torch.randn(SHAPE, generator=generator))


def test_the_path_leaves_the_draws_alone():
    quiet, walked = Noise(3, SHAPE), Noise(3, SHAPE)
    walked.path(2.0, 1.0)
    assert torch.equal(quiet(), walked())


@settings(max_examples=20, deadline=None)
@given(some.lists(LEVELS, min_size=3, max_size=3))
def test_parts_of_the_path_sum_to_the_whole(levels):
    high, middle, low = sorted(levels, reverse=True)
    noise = Noise(1, (1, 1, 2, 2))

    def increment(s: float, t: float) -> torch.Tensor:
        return noise.path(s, t).double() * math.sqrt(max(math.log(s / t), 0.0))

    # A grid of 2^20 levels rounds each end by a hundred-thousandth of a log.
    whole = increment(high, low)
    assert torch.allclose(increment(high, middle) + increment(middle, low), whole, atol=0.05)


def test_increments_are_standard_normal_and_independent():
    noise = Noise(0, (1, 4, 64, 64))
    first, second = noise.path(14.0, 3.0), noise.path(3.0, 0.5)
    for part in (first, second):
        assert abs(part.mean()) < 0.03
        assert abs(part.std() - 1) < 0.03
    assert abs((first * second).mean()) < 0.03


def test_a_level_is_the_same_whichever_was_asked_first():
    one, other = Noise(5, SHAPE), Noise(5, SHAPE)
    one.path(9.0, 0.1)
    assert torch.equal(one.path(2.0, 1.0), other.path(2.0, 1.0))
    assert not torch.equal(one.path(2.0, 1.0), Noise(6, SHAPE).path(2.0, 1.0))
