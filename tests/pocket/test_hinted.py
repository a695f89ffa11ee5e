"""Hints of the world's scenes: true, in the colours of hints, and pairs to train a control on."""

import numpy as np
import pytest

pytest.importorskip("skia", reason="needs the extra [world]")

from remembrandt.conditions.hints import HINTS
from remembrandt.pocket import hinted, pictures
from remembrandt.pocket.world.ground_truth import truth
from remembrandt.training import corpus
from remembrandt.training.corpus import Filters


def test_every_hint_of_a_scene_is_true():
    scene = pictures.scene(3, pairs=0, categories=("person",))
    made, true = hinted.of(scene), truth(scene)
    assert set(made) == set(HINTS)
    assert all(h.shape == (128, 128, 3) and h.dtype == np.uint8 and h.any() for n, h in made.items() if n != "mlsd")
    assert np.abs(made["depth"][..., 0] / 255 - true.depth).max() <= 0.003  # white is near
    up = true.normals[..., 1] < -0.9  # of the ground, which faces up
    assert up.any() and (made["normal"][up][:, 1] > 230).all()
    assert np.array_equal(hinted.read(made["segmentation"]), true.segmentation)
    x, y = (round(v) for v in true.keypoints[0]["nose"])
    assert made["pose"][y, x].any() and not made["pose"][~_around(true.masks[0])].any()
    assert made["scribble"][true.masks[0]].any() and len({*map(tuple, hinted.palette().tolist())}) == 20


def test_lines_of_what_has_straight_edges():
    found = [hinted.of(pictures.scene(n, pairs=0, categories=("house",)))["mlsd"] for n in range(3)]
    assert all(0.002 < (h > 0).mean() < 0.2 for h in found)


def test_pairs_are_what_the_recipe_reads(tmp_path):
    folder = hinted.pairs(tmp_path / "pairs", "depth", range(3), 64)
    out = corpus.Counter()
    source = corpus.pictures(corpus.items(folder), Filters(paired=True), 64, 64, out)
    found = list(source)
    assert len(found) == 3 and not out and all(p.caption and p.hint.shape == (64, 64, 3) for p in found)
    assert np.array_equal(found[0].hint, hinted.of(pictures.scene(0), 64)["depth"])


def _around(mask):
    import cv2

    return cv2.dilate(mask.astype(np.uint8), np.ones((15, 15), np.uint8)).astype(bool)
