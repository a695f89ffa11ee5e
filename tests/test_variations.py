"""`variations` from the command line and from Python: inputs, mixes, edits, recipes; wrong ones in a line."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from remembrandt import Studio
from remembrandt.conditions import image
from remembrandt.engine import recipe
from remembrandt.family import delta
from remembrandt.family.load import load, save
from remembrandt.family.parts import PUBLISHED
from tests.conftest import painter
from tests.test_cli import call, wrong

RANDOM = np.random.default_rng(6)
ALL = ["--steps", "2", "--seed", "5", "--precision", "fp32", "--device", "cpu", "--json"]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A folder with three pictures of different sizes."""
    place = tmp_path_factory.mktemp("shown")
    for name, size in (("one", (96, 96)), ("two", (64, 120)), ("three", (40, 40))):
        blocks = np.kron(RANDOM.integers(0, 256, (5, 5, 3)), np.ones((24, 24, 1))).astype(np.uint8)
        Image.fromarray(blocks[: size[1], : size[0]]).save(place / f"{name}.png")
    return place


@pytest.fixture(scope="module")
def spoken(tiny, pictured, tmp_path_factory):
    """A variations model that stands on a base with both towers, so that it understands texts."""
    place = tmp_path_factory.mktemp("spoken")
    save(replace(tiny, image_encoder=pictured.image_encoder), place / "base")
    projection = torch.randn(32, 32, generator=torch.Generator().manual_seed(2)).half()
    save_file({"weight": projection}, place / "base" / "text_encoder" / "projection.safetensors")
    base = replace(load(place / "base", device="cpu", precision="fp32"), name=str(place / "base"))
    torch.manual_seed(1)
    delta.save(base, painter(), place / "model", name="spoken", kind="variations")
    return place / "model"


def told(*words, home):
    done = call("variations", *words, *ALL, home=home)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)["images"]


def test_several_inputs_and_samples(shown, pictured_folder, tmp_path):
    out = ["-o", tmp_path / "out", "--model", pictured_folder]
    images = told(shown / "one.png", shown / "two.png", "-n", 2, *out, home=tmp_path / "home")
    assert [(i["input"], i["seed"]) for i in images] == [("one.png", 5), ("one.png", 6), ("two.png", 5), ("two.png", 6)]
    pixels = [np.asarray(Image.open(i["path"])) for i in images]
    assert all((pixels[0] != other).mean() > 0.5 for other in pixels[1:])
    for one in images:
        kept = recipe.read(one["path"])
        assert kept == {k: v for k, v in one.items() if k != "path"}
        assert (kept["task"], kept["guidance"], len(kept["input_seen"])) == ("variations", 3.0, 16)
    assert images[0]["path"].endswith(".png") and "one-5-" in images[0]["path"]
    [alone] = told(shown / "two.png", *out, home=tmp_path / "home")
    gap = np.abs(np.asarray(Image.open(alone.pop("path"))).astype(float) - pixels[2])
    assert gap.mean() <= 0.1 and alone == {k: v for k, v in images[2].items() if k != "path"}  # whatever is beside it


def test_mixes_edits_and_prompts_are_in_the_recipe(shown, spoken, tmp_path):
    home, one, out = tmp_path / "home", shown / "one.png", ["-o", tmp_path / "out", "--model", spoken]
    [plain] = told(one, *out, home=home)
    ways = {
        "picture": ["--mix", f"{shown / 'two.png'}:0.5"],
        "sum": ["--mix", f"{shown / 'two.png'}:0.5", "--blend", "sum"],
        "text": ["--mix", "a red dog: beside a cat:2"],
        "prompt": ["--prompt", "a red dog"],
        "edit": ["--edit", "cat->dog:1.5"],
        "composition": ["--image", shown / "two.png", "--strength", "0.9", "--size", "128x128"],
    }
    found = {name: told(one, *way, *out, home=home)[0] for name, way in ways.items()}
    pixels = {name: np.asarray(Image.open(row["path"])).astype(int) for name, row in {"plain": plain, **found}.items()}
    for name, other in pixels.items():
        assert sum(np.array_equal(other, each) for each in pixels.values()) == 1, name
    [mixed] = found["picture"]["mix"]
    assert (mixed["picture"], mixed["weight"], found["picture"]["blend"]) == ("two.png", 0.5, "slerp")
    assert found["text"]["mix"] == [{"text": "a red dog: beside a cat", "weight": 2.0}]
    assert found["prompt"]["prompt"] == "a red dog" and found["edit"]["edit"] == "cat->dog:1.5"
    assert found["composition"]["task"] == "image-to-image" and "mix" not in plain and "edit" not in plain
    none = told(one, "--mix", f"{shown / 'two.png'}:0", *out, home=home)[0]
    assert np.array_equal(np.asarray(Image.open(none["path"])), pixels["plain"])


def test_from_python_a_tensor_is_taken_as_it_is(shown, pictured_folder, tmp_path):
    studio = Studio(tmp_path / "home", device="cpu", precision="fp32")
    asked = {"model": str(pictured_folder), "seed": 5, "steps": 2}
    picture = Image.open(shown / "two.png")
    paths, pil, array = (studio.variations(x, **asked) for x in (shown / "two.png", picture, np.asarray(picture)))
    ready = image.preprocessed([np.asarray(picture)], PUBLISHED, 32)
    tensors = studio.variations(ready, **asked), studio.variations([ready[0]], **asked)
    for [found] in (pil, array, *tensors):
        assert np.array_equal(np.asarray(found), np.asarray(paths[0]))
    smooth = image.preprocessed([np.asarray(picture)], {"antialias": True}, 32)
    [other] = studio.variations(smooth, **asked)
    assert not np.array_equal(np.asarray(other), np.asarray(paths[0]))
    assert len(studio.variations(torch.cat([ready, smooth]), n=2, **asked)) == 4
    mixed = studio.variations(picture, mix=[(np.asarray(picture), 3)], **asked)
    assert np.abs(np.asarray(mixed[0]).astype(int) - np.asarray(paths[0])).max() <= 2  # with itself
    assert studio.variations(picture, **asked)[0].recipe["input"] == "picture"


def test_a_model_that_does_not_say_how_it_is_shown_pictures_is_noticed(shown, pictured_folder, tmp_path):
    place = shutil.copytree(pictured_folder, tmp_path / "silent")
    seen = place / "feature_extractor" / "preprocessor_config.json"
    seen.write_text(json.dumps(json.loads(seen.read_text()) | {"remembrandt": None}))
    done = call("variations", shown / "one.png", "--model", place, "-o", tmp_path / "out", *ALL, home=tmp_path / "home")
    assert done.exit_code == 0 and "does not say how it is shown pictures" in done.stderr
    json.loads(done.stdout)


def test_a_variations_model_is_compared_with_one_of_text(shown, pictured_folder, tiny_folder, tmp_path):
    studio = Studio(tmp_path / "home", device="cpu", precision="fp32")
    models, inputs = (str(pictured_folder), str(tiny_folder)), [shown / "one.png", shown / "two.png"]
    found = studio.compare(*models, inputs, tmp_path / "out", n=1, steps=2, strength=0.5, prompt="a dog")
    assert found["measure"] == "pixels"  # the image encoder steered one of them
    assert [row["model"] for row in found["models"]] == [*models]


def test_wrong_ones_are_one_line(shown, tiny_folder, pictured_folder, tmp_path, monkeypatch):
    home, one, own = tmp_path / "home", shown / "one.png", ["--model", pictured_folder]
    (shown / "small.png").write_bytes((shown / "three.png").read_bytes()[:60])

    def refused(*words, says):
        wrong(call(*words, home=home), *says)
        assert not home.exists()

    refused("variations", shown / "no.png", *own, says=["there is no picture", "no.png"])
    refused("variations", shown / "small.png", *own, says=["the input small.png"])
    refused("variations", one, "--mix", shown / "no.png", *own, says=["there is no picture"])
    refused("variations", one, "--mix", f"{one}:-1", *own, says=["weight", "-1"])
    refused("variations", one, "--mix", "", *own, says=["--mix takes"])
    refused("variations", one, "--mix", "a dog", *own, says=["has no text tower"])
    refused("variations", one, "--edit", "cat to dog", *own, says=["FROM->TO"])
    refused("variations", one, "--blend", "slurp", *own, says=["did you mean 'slerp'"])
    refused("variations", one, shown / "two.png", "--grid", "seed=1,2", *own, says=["a grid is of one picture"])
    refused("variations", one, "--model", tiny_folder, says=["is steered by text", "--model variations"])
    refused("generate", "a dog", *own, says=["is steered by pictures", "remembrandt variations IMAGE"])
    refused("finetune", shown, "--category", "dog", "--base", pictured_folder, says=["steered by pictures"])
    monkeypatch.setattr("remembrandt.family.load.files", lambda package: tmp_path)
    refused("variations", one, says=["the embedded painter 'variations' is not there yet"])


def test_a_variations_model_is_exported(spoken, shown, tmp_path):
    for to, where in (("diffusers", "folder"), ("single-file", "file")):  # made whole
        done = call("models", "export", spoken, "--to", to, "-o", tmp_path / where, home=tmp_path / "home")
        assert done.exit_code == 0, done.stderr
    card = (tmp_path / "folder" / "README.md").read_text()
    assert "antialias=False, align_corners=False" in card and "(32, 32)" in card
    asked = ["-o", tmp_path / "out", "--model"]
    home, places = tmp_path / "home", (tmp_path / "folder", tmp_path / "file")
    [whole], [file] = (told(shown / "one.png", *asked, place, home=home) for place in places)
    assert whole["input_seen"] == file["input_seen"]
    a, b = (np.asarray(Image.open(row["path"])).astype(float) for row in (whole, file))
    assert np.abs(a - b).max() <= 1
