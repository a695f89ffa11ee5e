"""Hints on pictures whose answer is known, and what is said where weights are missing."""

import cv2
import numpy as np
import pytest

from remembrandt.conditions import hints
from remembrandt.settings import Wrong


@pytest.fixture(scope="module")
def box():
    """A bright box on a dark ground, with soft noise that is no edge."""
    noise = np.random.default_rng(0).integers(-4, 5, (128, 128, 3))
    made = np.full((128, 128, 3), 40, np.uint8)
    cv2.rectangle(made, (32, 40), (96, 100), (220, 200, 60), -1)
    return (made + noise).clip(0, 255).astype(np.uint8)


@pytest.mark.parametrize("name", ["canny", "soft-edge", "mlsd", "scribble"])
def test_edges_lie_on_the_border_and_nowhere_else(name, box, tiny):
    made = hints.make(name, box, tiny)
    assert made.shape == box.shape and made.dtype == np.uint8
    border = np.zeros((128, 128), np.uint8)
    cv2.rectangle(border, (32, 40), (96, 100), 1, 1)
    near = cv2.dilate(border, np.ones((9, 9), np.uint8)).astype(bool)
    drawn = made[..., 0] > 127
    assert not drawn[~near].any()
    found = cv2.dilate(drawn.astype(np.uint8), np.ones((7, 7), np.uint8)).astype(bool)
    assert found[border.astype(bool)].mean() > 0.9
    assert not hints.make(name, np.full_like(box, 90), tiny).any()  # of nothing, nothing


def test_normals_of_planes_and_a_ball():
    flat = hints.normals(np.full((32, 32), 0.5))
    assert (flat == [128, 128, 255]).all()
    right = hints.normals(np.tile(np.linspace(0, 1, 64, dtype=np.float32), (64, 1)))  # it faces left
    assert (right[8:-8, 8:-8, 0] > 200).all() and (abs(right[8:-8, 8:-8, 1].astype(int) - 128) <= 1).all()
    y, x = np.mgrid[-1:1:129j, -1:1:129j]
    ball = hints.normals(np.sqrt(np.clip(1 - x**2 - y**2, 0, 1)))
    above, below, left = ball[40, 64], ball[88, 64], ball[64, 40]
    assert above[1] > 150 > 100 > below[1] and left[0] > 150 and ball[64, 64, 2] > 250


def test_what_needs_weights_says_which_and_how(box, tiny, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))  # nothing is there
    for name, said in {"depth": "families pull Intel/dpt-large", "pose": "remembrandt.hints."}.items():
        with pytest.raises(Wrong, match=f"{said}.*--control {name}:hint=FILE"):
            hints.make(name, box, tiny)
    with pytest.raises(Wrong, match="Did you mean 'canny'"):
        hints.make("cany", box, tiny)
