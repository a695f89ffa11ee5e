"""The figures of docs/resizing.md are those that were published, and its picture shows a difference."""

import numpy as np
import pytest

from benchmarks import resizing

PAIRS = ("as trained / as the card", "as trained / antialiased", "as the card / antialiased")


@pytest.mark.parametrize(("p", "published"), [(1.0, (0.32, 0.35, 0.31)), (1.5, (0.059, 0.064, 0.049))])
def test_fields_give_the_reference_numbers(p, published):
    """By an independent implementation on other fields of the same spectra: hence a tenth of slack."""
    found = resizing.of_fields(p, count=2)
    assert [found[name] for name in PAIRS] == pytest.approx(published, rel=0.1)


def test_aligned_corners_move_samples_by_two_thirds_of_a_pixel():
    assert resizing.shift(224) == pytest.approx(0.643, abs=1e-3)


def test_the_figure_shows_what_differs():
    image = np.random.default_rng(0).integers(0, 255, (512, 512, 3)).astype(np.uint8)
    assert min(resizing.apart(resizing.seen(image, 96, resizing.WAYS)).values()) > 0.1
    drawn = resizing.figure(image)
    assert drawn.width > 4 * 200 and np.asarray(drawn).std() > 10
