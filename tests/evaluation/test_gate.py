"""The gate: bounds that hold, errors as rare as promised, more looks where it is unsure."""

from itertools import pairwise

import numpy as np
import pytest

from remembrandt.evaluation import gate


@pytest.mark.parametrize(
    ("probability", "freedom", "expected"),  # Student's table
    [(0.95, 15, 1.7531), (0.95, 31, 1.6955), (0.975, 10, 2.2281), (0.99, 15, 2.6025), (0.9995, 15, 4.0728)],
)
def test_quantiles(probability, freedom, expected):
    assert gate.student(probability, freedom) == pytest.approx(expected, rel=2e-3)


def test_bounds_lie_around_the_mean_and_shrink():
    draw = np.random.default_rng(0)
    wide = []
    for n in (16, 32, 64):
        mean, lower, upper = gate.bounds(draw.normal(size=n))
        assert lower < mean < upper
        wide.append(upper - lower)
    assert wide == sorted(wide, reverse=True)
    assert gate.bounds([1.0, 2.0])[1:] == (-np.inf, np.inf)


def source(true, seed=0, noise=0.1):
    """`measure` with this true loss, and what was asked of it."""
    draw, asked = np.random.default_rng(seed), []

    def measure(name, first, last):
        asked.append((name, first, last))
        return draw.normal(true[name], noise, last - first)

    return measure, asked


def test_what_is_clear_is_looked_at_once():
    measure, asked = source({"kept": 0.0, "lost": 0.5})
    found = gate.judge(["kept", "lost"], measure, 0.1)
    assert (found["kept"].verdict, found["lost"].verdict) == ("kept", "lost")
    assert asked == [("kept", 0, 16), ("lost", 0, 16)] and found["lost"].lower > 0.1


def test_what_is_not_is_looked_at_again():
    measure, asked = source({"near": 0.1}, noise=0.2)
    found = gate.judge(["near"], measure, 0.1)["near"]
    assert (found.verdict, found.pairs) == ("unsure", 64) and asked[-1] == ("near", 32, 64)


def test_errors_are_as_rare_as_promised_and_harm_is_found():
    """A lesson whose ten concepts lose exactly the margin is refused in at most 5 % of cases."""
    names = [str(k) for k in range(10)]
    refused = caught = 0
    for seed in range(200):
        found = gate.judge(names, source(dict.fromkeys(names, 0.1), seed)[0], 0.1)
        refused += any(j.verdict == "lost" for j in found.values())
        harmed = gate.judge(names, source({**dict.fromkeys(names, 0.0), "3": 0.25}, seed)[0], 0.1)
        caught += [n for n, j in harmed.items() if j.verdict == "lost"] == ["3"]
    assert refused <= 18 and caught >= 190


def test_what_fades_lesson_by_lesson_is_seen_and_charged_to_the_lesson_that_takes_it_too_far():
    """Eight lessons that take 0.04 each, none of them near the margin: the one that crosses it is charged, no other."""
    draw, best = np.random.default_rng(1), np.zeros(16)
    course = [best + 0.04 * k + draw.normal(0, 0.01, 16) for k in range(9)]
    found = [gate.faded(now, was, best, 0.1, 12) for was, now in pairwise(course)]
    assert [f is not None and f.crossed for f in found] == [False, False, True, False, False, False, False, False]
    assert all(f is None for f in found[:2]) and all(f.lower > 0.1 for f in found[2:])
    assert gate.faded(best + 0.05, course[8], best, 0.1, 12) is None  # a lesson that brought it back
    assert not gate.faded(course[7], course[8], best, 0.1, 12).crossed
    wide = draw.normal(0.12, 0.4, 16)
    assert gate.faded(wide, best, best, 0.1, 12) is None  # not sure
