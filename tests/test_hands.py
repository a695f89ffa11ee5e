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
    return service, lesson, place / "deep"


def test_a_taught_concept_in_the_shape_of_a_depth(taught):
    service, lesson, folder = taught
    asked = {"seed": 4, "steps": 3}
    with pytest.raises(Wrong, match="tiny sees 4 channels, where this task has 5"):
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
