"""Recipes of task models: they begin as the base, learn what is beside, resume to the bit, and are used as they are."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from remembrandt.conditions import image, prior
from remembrandt.conditions.condition import Condition
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.family.load import load, save
from remembrandt.jobs import varying
from remembrandt.settings import Wrong
from remembrandt.training import recipes
from remembrandt.training.corpus import Filters
from remembrandt.training.course import Course
from remembrandt.training.encoded import encode
from remembrandt.training.recipe import predicted
from remembrandt.training.train import train
from tests.training.seeing import see
from tests.training.test_corpus import drawn

FEW = {
    "steps": 3, "batch": 2, "warmup": 1, "ema": 0.5, "learning_rate": 1e-3, "checkpoint_every": 1, "preview_every": 0,
}  # fmt: skip
SMALL = {"prior": {"layers": 1, "heads": 1}, "mixer": {"crops": 6}, "upscale": {"preview_every": 3}}


@pytest.fixture(scope="module")
def ground(tiny, tmp_path_factory):
    """A folder that reads, sees, and knows where a text lies among pictures."""
    folder = save(see(tiny), tmp_path_factory.mktemp("bases") / "ground")
    torch.manual_seed(0)
    save_file({"weight": torch.randn(24, 32).half()}, folder / "text_encoder" / "projection.safetensors")
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Four captioned pictures, each with its depth."""
    place = tmp_path_factory.mktemp("pictures")
    for k in range(4):
        drawn(k).save(place / f"{k}.png")
        (place / f"{k}.txt").write_text(f"a red dog {k}")
        ramp = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
        Image.fromarray(ramp if k % 2 else ramp.T).resize(drawn(k).size).save(place / f"{k}.hint.png")
    return str(place)


def on(folder):
    return load(folder, device="cpu", precision="fp32")


def course(name, data, out):
    return Course(name, data, out, options={**FEW, **SMALL.get(name, {})}, seed=5, batch=2)


@pytest.fixture(scope="module", params=["depth", "upscale", "prior", "mixer"])
def made(request, ground, data, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / request.param
    return request.param, out, train(course(request.param, data, out), on(ground))


def test_resumed_is_the_same_to_the_bit(made, ground, data, tmp_path):
    name, out, said = made

    def stop(event):
        if event.loss is not None and event.step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(course(name, data, tmp_path / name), on(ground), stop)
    train(course(name, data, tmp_path / name), on(ground))
    whole, cut = (load_file(p / "work" / "stage-1.safetensors") for p in (out, tmp_path / name))
    assert whole.keys() == cut.keys() and all(torch.equal(whole[n], cut[n]) for n in whole)
    losses = [json.loads(line)["loss"] for line in (out / "work" / "log.jsonl").open()]
    assert len(losses) == 3 and np.isfinite(losses).all() and said["pictures"] == 4
    for place in out.rglob("*.safetensors"):
        if "work" not in place.parts:
            other = tmp_path / name / place.relative_to(out)
            assert place.read_bytes() == other.read_bytes()


def test_what_was_made_is_used(made, ground):
    name, out, _ = made
    picture = np.asarray(drawn(0).resize((32, 32)))
    if name == "prior":
        family = replace(on(ground), kind="variations")
        family.unet.register_to_config(cross_attention_dim=24)
        found = prior.imagined(prior.opened(family, out), family, "a red dog", 1)
        about = json.loads((out / "remembrandt.json").read_text())
        seen = image.preprocessed([np.asarray(drawn(k)) for k in range(4)], {}, 32)
        own = image.embedded(family, seen).norm(dim=1).mean()
        assert found.shape == (24,) and float(found.norm()) == pytest.approx(about["norm"], rel=1e-3)
        assert about["norm"] == pytest.approx(float(own), rel=0.2)  # as long as the family's own
        kept = load_file(out / "prior" / "diffusion_pytorch_model.safetensors")
        trained = load_file(out / "work" / "stage-1.safetensors")
        assert all(torch.equal(kept[n], trained[n].half()) for n in trained) and len(trained) > 10
        return
    family = on(out)
    if name == "mixer":
        assert family.slots == 5 and family.kind == "variations" and family.record.resize["fit"] == "crop"
        return
    assert json.loads((out / "remembrandt.json").read_text())["task"] == name  # what differs, and no more
    assert {p.name for p in out.iterdir()} == {"unet", "remembrandt.json", "work"}
    asked = {"depth": {"depth": picture.mean(2)}, "upscale": {"image": picture, "task": "upscale"}}[name]
    [[painted]] = Engine(family).paint([Request("a dog", steps=2, seed=1, **asked)])
    assert painted.pixels.shape == (128, 128, 3)


@pytest.mark.parametrize("name", ["depth", "upscale"])
def test_it_begins_as_the_base(ground, data, tmp_path, name):
    base, recipe = on(ground), recipes.recipe(name, None, FEW)
    family = recipe.begun(on(ground))
    told = {"seen_at": recipe.seen_at(family), "progress": lambda event: None}
    rows = encode(family, recipe.adds, data, Filters(paired=recipe.paired), tmp_path / "rows", **told)
    some = [rows[0], rows[1]]
    given = recipe.given(family, some, [torch.Generator().manual_seed(k) for k in (1, 2)], [False, True])
    assert given.channels is not None and given.channels.flatten(1).std(1).min() > 0.05
    assert not torch.equal(given.channels[0], given.channels[1])
    x, t = torch.randn(2, 4, 16, 16), torch.tensor([500, 20])
    assert torch.allclose(predicted(family, x, t, given), predicted(base, x, t, Condition(given.tokens)), atol=1e-5)
    with pytest.raises(Wrong, match="give a text-to-image model"):
        recipe.begun(family)


def test_a_mixer_reads_tokens_in_any_order_at_their_own_strength(pictured, tmp_path):
    mixer = replace(pictured, slots=5)
    one, two, three = (torch.randn(32, generator=torch.Generator().manual_seed(k)) for k in (1, 2, 3))

    def painted(family, *tokens):
        return Engine(family).paint([Request(embedding=torch.stack(tokens), steps=2, seed=1)])[0][0].pixels.astype(int)

    a, b = painted(mixer, one, two, three), painted(mixer, three, one, two)
    assert np.abs(a - b).max() <= 1  # no code says which is first
    assert np.abs(a - painted(mixer, one, two)).max() > 2 and np.abs(a - painted(mixer, 2 * one, two, three)).max() > 2
    alone = Engine(mixer).paint([Request(embedding=one, steps=2, seed=1)])[0][0].pixels.astype(int)
    assert np.abs(alone - painted(mixer, one)).max() == 0
    for family, tokens in ((mixer, [one] * 6), (pictured, [one, two])):
        with pytest.raises(Wrong, match="takes an embedding of 32 finite numbers"):
            Engine(family).submit(Request(embedding=torch.stack(tokens)))
    for k in range(6):
        drawn(k).save(tmp_path / f"{k}.png")
    places = [str(tmp_path / f"{k}.png") for k in range(6)]
    told = {"negative": "", "strengths": {}, "prompt": ""}
    read = varying.reader(mixer, lambda what, place: np.asarray(Image.open(place)))
    with varying.given(places[0], [(places[1], 0.5), (places[2], 2.0)], None, "slerp") as [sees]:
        found, said = read({**told, "sees": sees})
        plain = varying.reader(pictured, lambda what, place: np.asarray(Image.open(place)))
        first = plain({**told, "sees": {**sees, "mix": []}})[0]
    assert found.shape == (3, 32) and torch.allclose(found[0], first) and "blend" not in said
    assert [each["weight"] for each in said["mix"]] == [0.5, 2.0]
    with varying.given(places[0], places[1:], None, "slerp") as [sees], pytest.raises(Wrong, match="up to 5 pictures"):
        read({**told, "sees": sees})
