"""The recipe travels in the picture, and paints it again."""

import numpy as np
import pytest
from PIL import Image

from remembrandt.engine import recipe
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.settings import Wrong


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_round_trip(tiny, tmp_path, ending):
    [[painted]] = Engine(tiny).paint([Request("a dög, snow", negative="car", seed=7, steps=2)])
    path = tmp_path / f"picture.{ending}"
    recipe.save(painted, path)
    found = recipe.read(path)
    assert found == painted.recipe
    fields = ("prompt", "negative", "seed", "sampler", "steps", "guidance")
    width, height = map(int, found["size"].split("x"))
    [[again]] = Engine(tiny).paint([Request(**{k: found[k] for k in fields}, size=(width, height))])
    assert np.array_equal(again.pixels, painted.pixels)


def test_other_tools_read_it(tiny, tmp_path):
    [[painted]] = Engine(tiny).paint([Request("a dog", negative="car", seed=7, steps=2)])
    recipe.save(painted, tmp_path / "a.png")
    text = Image.open(tmp_path / "a.png").text["parameters"]
    assert text.startswith("a dog\nNegative prompt: car\nSteps: 2, Sampler: DDIM, CFG scale: 4, Seed: 7, Size: 128x128")


def test_no_recipe_and_no_format(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "plain.png")
    with pytest.raises(Wrong, match="carries no recipe"):
        recipe.read(tmp_path / "plain.png")
    with pytest.raises(Wrong, match="saved as"):
        recipe.save(None, tmp_path / "a.gif")
