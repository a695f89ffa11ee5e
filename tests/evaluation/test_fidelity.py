"""The formulas of the report: known values, and what must hold for any pictures."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from remembrandt.evaluation import fidelity

NAN = math.nan
numbers = st.floats(0.05, 1.0)


def units(count, size=6, seed=0):
    x = np.random.default_rng(seed).normal(size=(count, size))
    return x / np.linalg.norm(x, axis=1, keepdims=True)


@st.composite
def lessons(draw):
    """A lower triangle of fidelities: concept i is taught in lesson i."""
    count = draw(st.integers(1, 6))
    values = draw(arrays(float, (count, count), elements=numbers))
    return np.where(np.tril(np.ones((count, count))) > 0, values, NAN)


def test_similarity_and_its_ends():
    x = units(5)
    assert fidelity.similarity(x[:1], x[:1]) == pytest.approx(1)
    assert fidelity.ceiling(np.tile(x[0], (4, 1))) == pytest.approx(1) and math.isnan(fidelity.ceiling(x[:1]))
    loo = np.mean([x[k] @ x[j] for k in range(5) for j in range(5) if k != j])
    assert fidelity.ceiling(x) == pytest.approx(loo)
    assert fidelity.normalised([0.2, 0.5, 0.8], 0.2, 0.8).tolist() == pytest.approx([0, 0.5, 1])
    assert np.isnan(fidelity.normalised(0.5, 0.8, 0.8))


def test_who_is_meant():
    instances = np.eye(3)
    pictures = [np.eye(3)[[0, 0, 1, 0]], np.eye(3)[[1]], np.eye(3)[[0, 2]]]
    assert fidelity.identified(pictures[0], instances, 0) == 0.75
    found = fidelity.confusion(pictures, instances)
    assert found.tolist() == [[0.75, 0.25, 0], [0, 1, 0], [0.5, 0, 0.5]]
    assert fidelity.precision(np.eye(3), np.eye(3), [0, 1, 1]) == pytest.approx(2 / 3)


def test_a_known_matrix():
    matrix = [[1.0, NAN, NAN], [0.8, 0.9, NAN], [0.4, 0.9, 0.5]]
    assert fidelity.final(matrix) == pytest.approx(0.6)
    assert fidelity.forgetting(matrix) == pytest.approx((0.6 + 0.0) / 2)
    assert fidelity.retention(matrix).tolist() == pytest.approx([0.4, 1, 1])
    assert fidelity.lag(matrix).tolist() == pytest.approx([1, 0.9, 0.4])
    assert fidelity.forgetting([[1.0]]) == 0 and fidelity.half_life([1.0]) == math.inf
    assert fidelity.half_life(0.5 ** (np.arange(6) / 3)) == pytest.approx(3)
    assert fidelity.half_life([1, 1, 1]) == math.inf


@given(lessons())
def test_what_holds_for_any_lessons(matrix):
    assert 0 <= fidelity.forgetting(matrix) <= 1
    assert fidelity.lag(matrix)[0] == pytest.approx(1)
    kept = np.where(np.isnan(matrix), NAN, np.diag(matrix))  # nobody ever changes
    assert fidelity.forgetting(kept) == 0 and np.allclose(fidelity.retention(kept), 1)
    assert np.allclose(fidelity.lag(kept), 1) and fidelity.final(kept) == pytest.approx(np.diag(matrix).mean())


@given(lessons(), st.floats(0.1, 0.9))
def test_forgetting_grows_with_what_is_lost(matrix, share):
    worse = matrix.copy()
    worse[-1] *= share
    assert fidelity.forgetting(worse) >= fidelity.forgetting(matrix)
    if len(matrix) > 1:
        faded = np.where(np.isnan(matrix), NAN, np.diag(matrix))
        faded[-1] *= share
        assert fidelity.forgetting(faded) == pytest.approx((1 - share) * np.diag(matrix)[:-1].mean())


@given(st.integers(2, 9), st.integers(0, 99))
def test_diversity_and_drift(count, seed):
    x = units(count, seed=seed)
    same = np.tile(x[0], (count, 1))
    assert fidelity.drift(x, x) == pytest.approx(0) and fidelity.drift(x, -x) == pytest.approx(1)
    assert 0 <= fidelity.drift(x, units(count, seed=seed + 1)) <= 1
    assert fidelity.diversity(same) == pytest.approx(0, abs=1e-9) and fidelity.diversity(x) > 1e-3
    assert fidelity.vendi(same) == pytest.approx(1) and 1 <= fidelity.vendi(x) <= count + 1e-9
    assert fidelity.vendi(np.eye(count)) == pytest.approx(count)


@given(numbers, st.floats(0.7, 1.0), st.floats(0.7, 1.0))
def test_a_reader_is_corrected(true, sensitivity, specificity):
    seen = true * sensitivity + (1 - true) * (1 - specificity)
    assert fidelity.corrected(seen, sensitivity, specificity) == pytest.approx(true)


def test_composition_gap():
    assert fidelity.composed([1, 1, 0, 0], 1.0, 0.5) == 0 and fidelity.composed([0, 0], 1.0, 0.5) == -0.5
