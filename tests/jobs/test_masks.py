"""Masks: found beside photos by name, cropped as they are, kept with them, and what they let a lesson learn."""

import numpy as np
import pytest
import torch
from PIL import Image

from remembrandt.jobs import promoting
from remembrandt.jobs.files import Home
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from remembrandt.training import examples
from remembrandt.training.photos import masks, prepare
from tests.homes import SHORT, photos


def left(size=(192, 168)):
    """White where x is left of the middle."""
    shade = np.zeros(size[::-1], np.uint8)
    shade[:, : size[0] // 2] = 255
    return Image.fromarray(shade)


def test_masks_in_a_folder(tmp_path):
    prepared, place = prepare(photos(tmp_path / "dog"), 64), tmp_path / "masks"
    place.mkdir()
    left().save(place / "0.jpg", quality=95)
    left((96, 84)).save(place / "1.png")  # smaller, of the same shape
    cut = Image.new("RGBA", (192, 168), "white")
    cut.putalpha(left())
    cut.save(place / "2.png")
    found = masks(place, prepared)
    assert len(found) == 4 and all(m.shape == (64, 64) and m.dtype == np.uint8 for m in found)
    for mask in found[:3]:  # the middle of the photo is the middle of its square
        assert mask[:, :30].min() > 240 and mask[:, 34:].max() < 15
    assert found[3].min() == 255  # no mask: all of it
    assert [m.tobytes() for m in masks([place / "1.png"] * 4, prepared)] == [found[1].tobytes()] * 4


def test_masks_that_cannot_be_used(tmp_path):
    prepared, place = prepare(photos(tmp_path / "dog"), 64), tmp_path / "masks"
    with pytest.raises(Wrong, match="no folder"):
        masks(place, prepared)
    place.mkdir()
    with pytest.raises(Wrong, match="no masks"):
        masks(place, prepared)
    left((100, 100)).save(place / "0.png")
    Image.new("L", (192, 168)).save(place / "1.png")
    left().save(place / "typo.png")
    (place / "2.png").write_bytes(b"no picture")
    with pytest.raises(Wrong) as fault:
        masks(place, prepared)
    for said in ("typo.png has the name of no photo", "0.png has another shape", "1.png hides all", "2.png is not"):
        assert said in str(fault.value)


def test_a_lesson_with_masks(tiny_folder, tmp_path):
    given, place, kept = photos(tmp_path / "dog"), tmp_path / "masks", []
    place.mkdir()
    left().save(place / "1.png")
    home = Home(tmp_path / "home")
    service = Service(Settings(home.path, "cpu", "fp32"))
    with pytest.MonkeyPatch.context() as patch:
        save = examples.save
        patch.setattr(examples, "save", lambda found, path: (kept.extend(found), save(found, path)))
        service.finetune(
            given, "dog", identifier="brc", base=str(tiny_folder), steps=2, options=SHORT, mask_dir=place
        )
    halves = (torch.arange(16) < 8).float().expand(16, 16)
    assert (kept[1].mask[0] - halves).abs().max() < 0.1 and all(kept[k].mask.all() for k in (0, 2, 3))
    store = service._store()
    model = store.model("mine")
    (concept,) = store.concepts(model)
    assert len(concept.facts["masks"]) == 4 and len({*concept.facts["masks"]}) == 2  # one white one
    service.clean()
    wish = promoting.again(concept, model, "other", store, home)
    again = masks(wish.masks, prepare(wish.images, 128))
    assert again[1][:, :60].min() > 240 and again[1][:, 68:].max() < 15 and again[0].min() == 255
