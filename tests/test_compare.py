"""Two models side by side: whose pictures are nearer, and which are copies."""

import json

import numpy as np
import pytest
from PIL import Image

from remembrandt.engine.engine import Painted
from remembrandt.family.load import load
from remembrandt.jobs import comparing, copying
from remembrandt.jobs.files import Home
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from tests.homes import judged, photos


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("compared") / "inputs", count=3)


@pytest.fixture(scope="module")
def family(tiny_folder, tmp_path_factory):
    return judged(tiny_folder, tmp_path_factory.mktemp("compared") / "tiny")


def test_a_copier_is_told_from_a_painter(inputs, family, tmp_path):
    """`mirror` gives every input back as it would look in one, `noise` paints nothing of it."""
    grain = np.random.default_rng(0)

    def paint(model, path):
        pixels = np.asarray(Image.open(path).convert("RGB").resize((128, 128)))
        tints = np.array([[1, 1, 1], [1, 0.2, 0]])
        noise = grain.integers(0, 255, (2, 128, 128, 3)) * tints[:, None, None]
        made = [pixels[:, ::-1]] * 2 if model == "mirror" else noise
        return [Painted(m.astype(np.uint8), {"seed": k}) for k, m in enumerate(made, 3)]

    given = comparing.given(inputs)
    learned = {"first": next(iter(given.values()))}
    out = tmp_path / "out"
    found = comparing.compare(("mirror", "noise"), given, paint, lambda: [load(family)], out, learned)
    mirror, noise = found["models"]
    assert found["measure"] == "instances" and list(given) == found["inputs"] == ["0.png", "1.png", "2.png"]
    assert (mirror["near_copies"], noise["near_copies"]) == (1, 0)
    assert mirror["remembered"] == pytest.approx(1 / 3) and noise["remembered"] == 0
    assert mirror["similarity"] > mirror["similarity_to_others"]
    assert mirror["spread"] == pytest.approx(0, abs=1e-5) and noise["spread"] > 1e-5
    assert [i["seed"] for i in mirror["images"]] == [3, 4] * 3 and mirror["category_kept"] is not None
    assert json.loads((out / "compare.json").read_text()) == found and Image.open(found["sheet"]).width > 5 * 160


def test_a_variation_that_is_its_input_says_so(inputs):
    place = next(iter(comparing.given(inputs).values()))
    pixels = np.asarray(Image.open(place).convert("RGB"))
    painted, said = [Painted(pixels[:, ::-1], {"seed": 1}), Painted(np.rot90(pixels).copy(), {"seed": 2})], []
    request, home = {"sees": {"picture": str(place)}}, Home(inputs)
    opened = lambda what, path: np.asarray(Image.open(path).convert("RGB"))  # noqa: E731
    copy, other = copying.told(request, painted, opened, home, lambda event: said.append(event.message))
    assert copy.recipe["copies_input"] > 0.9 and "copies_input" not in other.recipe and "seed 1" in said[0]
    assert copying.told({}, painted, opened, home, said.append) == painted
    assert copying.told({**request, "image": "a.png"}, painted, opened, home, said.append) == painted


def test_a_variations_model_beside_a_painter(inputs, pictured_folder, family, tmp_path):
    service, some = Service(Settings(tmp_path / "home", "cpu", "fp32")), sorted(inputs.iterdir())[:1]
    how = {"n": 1, "steps": 2, "out": tmp_path / "out", "strength": 0.5}
    found = service.compare(str(pictured_folder), str(family), some, **how)
    varied, painted = found["models"]
    assert found["measure"] == "instances" and len(varied["images"]) == len(painted["images"]) == 1
    assert varied["similarity"] != painted["similarity"]


def test_models_paint_the_inputs_over(inputs, family, tiny_folder, tmp_path):
    service, some = Service(Settings(tmp_path / "home", "cpu", "fp32")), sorted(inputs.iterdir())[:1]
    how = {"n": 1, "steps": 2, "out": tmp_path / "out", "prompt": "a dog", "strength": 0.5}
    found = service.compare(str(tiny_folder), str(family), some, **how)
    one, other = found["models"]
    assert one["similarity"] == other["similarity"] and len(one["images"]) == 1  # the same weights
    with pytest.raises(Wrong, match="no folder"):
        service.compare("pretrained", "pretrained", [tmp_path / "gone.png"])
    with pytest.raises(Wrong, match="no model"):
        service.compare("pretrained", "nobody", some, out=tmp_path / "other")
    assert not (tmp_path / "other").exists()
