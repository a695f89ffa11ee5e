"""Near copies are found however they were changed, and another picture of the same thing is none."""

import numpy as np
import pytest

from remembrandt.evaluation.copies import LEAST, nearest

pytest.importorskip("skia")
from benchmarks.copies import WAYS, scenes

COUNT = 4


@pytest.fixture(scope="module")
def drawn():
    """Rows of: a picture, one of another thing like it in that place, one of the very same thing there."""
    from remembrandt.pocket.world.scene import render

    return [[render(scene) for scene in scenes(1000 + k)] for k in range(COUNT)]


@pytest.mark.parametrize("way", WAYS)
def test_a_changed_picture_is_a_copy_and_of_which_is_said(way, drawn):
    originals = [row[0] for row in drawn]
    number = len(way) % COUNT
    [found] = nearest([WAYS[way](originals[number], np.random.default_rng(1))], originals)
    assert found.copied and found.of == number and found.score <= 1 + 1e-6


def test_other_pictures_of_the_same_thing_are_not(drawn):
    for row in drawn[:3]:
        for found in nearest(row[1:], row[:1]):
            assert not found.copied and found.score < LEAST


def test_it_looks_at_where_things_are_and_not_at_how_bright_all_is(drawn):
    picture = drawn[0][0]
    assert not nearest([np.rot90(picture)], [picture])[0].copied
    flat = np.full_like(picture, 90)
    assert not nearest([flat], [picture, flat // 2])[0].copied and nearest([picture], []) == nearest([flat], [])
    small = [np.ascontiguousarray(picture[:20, :9])]
    assert nearest(small, small)[0].copied
