"""Controls from the command line and Python: hints made, given, kept and fed back; what is wrong is one line."""

from itertools import pairwise

import numpy as np
import pytest
from PIL import Image

from remembrandt.family import control
from remembrandt.jobs import controls
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from tests.conftest import biting
from tests.engine.test_tasks import SCENE
from tests.test_cli import call, told, wrong

ASKED = ("--seed", 3, "--steps", 2, "--precision", "fp32")


@pytest.fixture(scope="module")
def home(tiny, tiny_folder, tmp_path_factory):
    """A home whose family `small` has two controls; and a picture."""
    place = tmp_path_factory.mktemp("controlled")
    Service(Settings(place / "home", "cpu", "fp32")).add_family("small", str(tiny_folder))
    for seed, name in enumerate(("canny", "mine")):
        control.save(biting(tiny.unet, seed), place / "home" / "controls" / name)
    control.save(biting(tiny.unet, 5), place / "other")
    Image.fromarray(SCENE).save(place / "a:b.png")
    return place / "home"


def paint(home, *words):
    return told("generate", "a dog", "--model", "small", *ASKED, *words, home=home)["images"][0]


def test_a_hint_is_kept_beside_the_picture_and_fed_back(home, tmp_path):
    file, where = home.parent / "a:b.png", ("-o", tmp_path)
    where = ("--control-span", "canny=0,0.5", *where)
    made = paint(home, "--control", f"canny={file}:0.7", *where)
    assert made["control"][0] | {"hint": ""} == {"name": "canny", "hint": "", "weight": 0.7, "start": 0.0, "end": 0.5}
    again = paint(home, "--control", f"canny:hint={made['hints']['canny']}:0.7", *where)
    assert again["path"] == made["path"]  # the same recipe and pixels are the same file
    plain = paint(home, *where[2:])
    both = paint(home, "--control", f"canny={file}", "--control", f"mine={file}", *where)
    assert "hints" not in plain and set(both["hints"]) == {"canny", "mine"}
    assert np.array_equal(np.asarray(Image.open(both["hints"]["mine"])), SCENE)  # of no kind: as given
    pixels = [np.asarray(Image.open(each["path"])).astype(int) for each in (plain, made, both)]
    assert all(abs(a - b).mean() > 0.1 for a, b in pairwise(pixels))


def test_python_takes_pictures_and_added_folders(home):
    service = Service(Settings(home, "cpu", "fp32"))
    service.add_family("other", str(home.parent / "other"))
    each = {"name": "other", "image": SCENE, "weight": 1.5, "end": 0.5}
    asked = {"model": "small", "seed": 3, "steps": 2}
    [made] = service.paint("a dog", control=[each], **asked)
    [varied] = service.paint("a dog", control=[{**each, "end": 1}], image=SCENE, strength=0.5, **asked)
    assert np.array_equal(made.hints["other"], SCENE) and varied.recipe["task"] == "image-to-image"
    with pytest.raises(Wrong, match="may have end, hint"):
        service.paint("a dog", control=[{"name": "canny", "file": "x"}], **asked)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--control", "cany={file}"), "did you mean 'canny'"),
        (("--control", "canny"), "takes NAME=FILE"),
        (("--control", "canny=nowhere.png"), "there is no picture"),
        (("--control", "canny:hint={black}"), "black all over"),
        (("--control", "canny={file}:-2"), "from 0 to 10"),
        (("--control", "canny={file}", "--control-span", "depth=0,1"), "of a control that is given"),
        (("--control", "depth={file}"), "there is no control 'depth' for tiny here: train it"),
        (("--control", "canny:hint={wide}", "--size", "128x128"), "is not of the shape 128x128"),
    ],
)
def test_what_is_wrong_is_one_line(home, words, said, tmp_path):
    places = {"file": home.parent / "a:b.png", "black": tmp_path / "black.png", "wide": tmp_path / "wide.png"}
    Image.new("RGB", (128, 128)).save(places["black"])
    Image.new("RGB", (128, 32), "white").save(places["wide"])
    given = [word.format(**places) for word in words]
    wrong(call("generate", "a dog", "--model", "small", "--seed", 1, "-o", tmp_path / "out", *given, home=home), said)
    assert not (tmp_path / "out").exists()


def test_a_weight_is_read_from_the_right_and_only_a_number():
    assert controls.read("canny:hint=C:/x.png:1.5") == {
        "name": "canny", "image": "C:/x.png", "hint": True, "weight": 1.5
    }  # fmt: skip
    assert controls.read("canny=C:/x.png")["image"] == "C:/x.png"
