"""Task models of a base, with what was taught to it: found by themselves, worn, told when there is none."""


import numpy as np
import pytest
import torch
from PIL import Image

from remembrandt.family import delta
from remembrandt.family.load import load
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from remembrandt.training.inpainting import channels
from tests.engine.test_depth import NEAR
from tests.engine.test_tasks import SCENE
from tests.homes import SHORT, photos


@pytest.fixture(scope="module")
def taught(tiny_folder, tmp_path_factory):
    """A home that knows a dog on `tiny`, and a folder of what a depth model differs by from it."""
    place = tmp_path_factory.mktemp("hands")
    service = Service(Settings(place / "home", "cpu", "fp32"))
    lesson = service.finetune(photos(place / "dog"), "dog", base=str(tiny_folder), steps=2, options=SHORT)
    base = load(tiny_folder, device="cpu", precision="fp32")
    made = load(tiny_folder, device="cpu", precision="fp32").unet
    channels(made, 5)
    with torch.no_grad():
        made.conv_in.weight[:, 4:].normal_(generator=torch.Generator().manual_seed(0))
    delta.save(base, made, place / "deep", name="deep", source=str(tiny_folder), facts={"task": "depth"})
    large = load(tiny_folder, device="cpu", precision="fp32").unet
    channels(large, 16)
    told = {"task": "upscale", "steps": 2}
    delta.save(base, large, place / "large", name="large", source=str(tiny_folder), facts=told)
    return service, lesson, place / "deep"


def test_a_taught_concept_in_the_shape_of_a_depth(taught):
    service, lesson, folder = taught
    asked = {"seed": 4, "steps": 3}
    with pytest.raises(Wrong, match="where this task has 5: `train FAMILY depth` makes one"):
        service.paint("a dog", depth=NEAR, **asked)
    service.add_family("deep", str(folder))
    plain = service.paint("a dog", depth=NEAR, **asked)[0]
    mine, other = (service.paint(f"a {lesson['identifier']} dog", depth=d, **asked)[0] for d in (NEAR, NEAR[::-1]))
    assert mine.recipe["concepts"] == [lesson["identifier"]] and mine.recipe["task"] == "depth-to-image"
    assert not np.array_equal(plain.pixels, mine.pixels)  # it is worn
    assert not np.array_equal(other.pixels, mine.pixels)  # and the depth is seen
    again = service.paint("a dog", depth=NEAR, model="deep", **asked)[0]
    assert np.array_equal(again.pixels, plain.pixels)  # of what nobody taught, the same painter
    with pytest.raises(Wrong, match="the depth is 24x24, the image 128x128"):
        service.paint("a dog", depth=NEAR, image=SCENE, **asked)
    assert service.paint("a dog", image=SCENE, depth=Image.fromarray(SCENE), **asked)[0].recipe["strength"] == 0.8


def test_what_is_painted_is_enlarged_and_so_is_a_picture(taught):
    service, lesson, folder = taught
    asked = {"seed": 4, "steps": 2, "upscale": True}
    with pytest.raises(Wrong, match="there is no model that enlarges for mine: `remembrandt train FAMILY upscale`"):
        service.paint("a dog", **asked)
    service.add_family("large", str(folder.with_name("large")))
    prompt = f"a {lesson['identifier']} dog"
    one, two = service.paint(prompt, n=2, size=(64, 64), level=0, **asked)
    assert one.pixels.shape == (256, 256, 3) and (one.recipe["seed"], two.recipe["seed"]) == (4, 5)
    assert one.recipe["task"] == "upscale" and one.recipe["level"] == 0 and one.recipe["size"] == "256x256"
    first = service.paint(prompt, size=(64, 64), seed=4, steps=2)[0]
    assert one.recipe["enlarges"] == first.recipe and one.recipe["concepts"] == [lesson["identifier"]]
    again = service.paint(prompt, image=first.pixels, upscale=True, level=0, seed=4)[0]
    assert np.array_equal(again.pixels, one.pixels)
