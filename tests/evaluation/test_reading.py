"""What judges see in pictures: what a prompt asks for, whether it is read, and who it is."""

import numpy as np
import pytest
import torch

from remembrandt.evaluation import features, judges, reading
from remembrandt.memory import heat

WHOLE = {"place": ["beach", "snow", "city"], "style": ["photo", "ink", "stained glass"], "relation": ["", "beside"]}


@pytest.fixture(scope="module")
def judge():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return judges.Readers(WHOLE, ["dog", "cat"], {"colour": ["red", "blue"]}, width=8).eval()


def pictures(count=6, seed=0):
    grain = np.random.default_rng(seed).integers(0, 256, (count, 4, 4, 3)).astype(np.uint8)
    return grain.repeat(16, 1).repeat(16, 2)


def test_what_a_prompt_asks_for(judge):
    assert reading.asked(judge, "a brc dog on the beach") == {"place": "beach", "present": "dog"}
    assert reading.asked(judge, "A Stained Glass picture of a cat") == {"style": "stained glass", "present": "cat"}
    assert reading.asked(judge, "a photo in ink, a cat beside a dog") == {"relation": "beside"}  # of two, none is asked
    assert reading.asked(judge, "a beachhouse with catfish") == {}


def test_what_is_read_is_right_and_nothing_else(judge):
    shown = pictures()
    for picture, seen in zip(shown, judges.read(judge, shown), strict=True):
        (thing,) = seen.things
        place = seen.whole["place"]
        other = next(p for p in WHOLE["place"] if p != place)
        stranger = next(c for c in ("dog", "cat") if c != thing)
        ask = [f"a {thing}, {place}", f"a {thing}, {other}", f"a {stranger}, {other}"]
        assert [reading.followed(judge, [picture], [prompt]) for prompt in ask] == [1.0, 0.5, 0.0]
    assert reading.followed(judge, shown, ["nothing of this"] * len(shown)) is None
    assert len(reading.hits(judge, shown, ["a dog", "snow"] * 3)) == len(shown)


def test_identity_is_zero_at_the_base_and_one_at_the_photos():
    base = pictures(4, seed=1)
    own = pictures(1, seed=2)[0].astype(float)
    grain = np.random.default_rng(3)
    photos = [np.clip(own + 40 * grain.normal(size=own.shape), 0, 255).astype(np.uint8) for _ in range(5)]
    look = features.plain
    assert reading.identity(look, base, photos, base) == pytest.approx(0)
    again = np.clip(own + 40 * grain.normal(size=own.shape), 0, 255).astype(np.uint8)
    assert reading.identity(look, [again], photos, base) == pytest.approx(1, abs=0.05)
    assert 0.2 < reading.identity(look, [*base[:2], again, again], photos, base) < 0.8
    assert reading.identity(look, base, photos[:1], base) is None


def test_the_heat_map_shows_the_figures():
    rows = [("brc", 1, [1.0, 0.2]), ("krx", 2, [None, 1.0]), ("zlt", 2, [None, None])]
    concepts = [{"identifier": w, "category": "dog", "lesson": k, "fidelity": f} for w, k, f in rows]
    drawn = np.asarray(heat.draw({"concepts": concepts, "lessons": [{}, {}]}, "mine: 1 of 2 kept", "base drift 0"))
    for value, count in ((1.0, 2), (0.2, 1)):
        cells = (drawn == heat.colour(value)).all(-1).sum() / (heat.CELL * heat.HIGH)
        assert 0.8 * count < cells <= count  # less the figure
