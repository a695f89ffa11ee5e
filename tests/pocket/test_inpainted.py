"""The embedded inpainting model: what is trained is what is kept of it, and a kill changes nothing."""

import copy
import json
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.utils import parametrize

pytest.importorskip("skia", reason="needs the extra [world]")

from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.family import delta, weights
from remembrandt.family.load import load
from remembrandt.pocket import inpainted, pictures, recipe
from remembrandt.pocket.world.ground_truth import truth
from remembrandt.training.inpainting import Inpaint

FEW = recipe.Sizes(masked=1, inpaint=2, batch=2)


def begun(folder: Path, shown: Path | None = None) -> recipe.Work:
    """A work folder for the painter that ships; its pictures may be another's."""
    shipped = Path(str(files("remembrandt.pocket"))) / "weights"
    if not (shipped / "model_index.json").is_file():
        pytest.skip("the embedded model is not in this tree: make weights")
    (folder / "work").mkdir(parents=True)
    (folder / "weights").symlink_to(shipped)
    if shown:
        (folder / "work" / "pictures").symlink_to(shown)
    return recipe.Work(folder / "work", folder / "weights", FEW)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "SHARD", 4)
        made = begun(tmp_path_factory.mktemp("inpaint"))
        assert recipe.make(made, ["inpaint"])
        yield made


def test_what_was_trained_is_what_comes_back(tiny_folder, tmp_path):
    base = replace(load(tiny_folder, device="cpu", precision="fp32"), name=str(tiny_folder))
    unet = Inpaint().begun(replace(base, unet=copy.deepcopy(base.unet))).unet
    draw = torch.Generator().manual_seed(1)
    x, tokens = torch.randn(1, 9, 16, 16, generator=draw), torch.randn(1, 8, 32, generator=draw)

    def out(network):
        with torch.no_grad():
            return network(x, torch.tensor([400]), tokens).sample

    before = out(unet)
    changed = inpainted.lowered(unet)
    assert len(changed) > 20 and torch.equal(out(unet), before)  # at first the base's, to the bit
    moved = [p for p in unet.parameters() if p.requires_grad]
    assert sum(p.numel() for p in moved) < sum(p.numel() for p in base.unet.parameters())
    with torch.no_grad():
        for parameter in moved:
            parameter += 0.05 * torch.randn(parameter.shape, generator=draw)
    trained = out(unet)
    assert (trained - before).norm() > 0.1 * before.norm()
    for layer in changed:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    told = delta.save(base, unet, tmp_path / "it", name="it", form=delta.LOW_RANK, rank=inpainted.RANK)
    back = load(tmp_path / "it", device="cpu", precision="fp32")
    assert told.of_difference < 0.002 and (out(back.unet) - trained).norm() < 0.01 * trained.norm()
    assert back.unet.config["in_channels"] == 9
    poorer = delta.save(base, unet, tmp_path / "poorer", name="it", form=delta.LOW_RANK, rank=4)
    assert poorer.of_difference > 0.1  # its rank is what it needs


def test_it_is_of_low_rank_but_for_its_first_convolution(work):
    place = work.out.with_name("inpaint")
    family = load(place, device="cpu", precision="fp32")
    assert (family.name, family.unet.config["in_channels"]) == ("inpaint", 9)
    base, held = load("pocket", device="cpu", precision="fp32").held["unet"], weights.opened_folder(place / "unet")
    assert held["conv_in.weight"]().shape[1] == 9 and sum(read().nbytes for read in held.values()) <= 3e6
    large = [name for name, read in base.items() if read().numel() >= 20_000]
    assert all(f"{name}.up" in held and f"{name}.down" in held and name not in held for name in large)
    assert not torch.equal(family.held["unet"][large[0]]().float(), base[large[0]]().float())
    told = json.loads((place / "remembrandt.json").read_text())
    assert told["base"] == "pocket" and 0 < told["rounding"]["of_weights"] < 0.001
    picture, mask = np.full((128, 128, 3), 200, np.uint8), np.zeros((128, 128), bool)
    mask[32:96, 32:96] = True
    [[made]] = Engine(family).paint([Request("a red dog", seed=1, steps=2, image=picture, mask=mask)])
    assert np.array_equal(made.pixels[~mask], picture[~mask]) and not np.array_equal(made.pixels, picture)


def test_it_is_made_once_for_a_painter(work, monkeypatch):
    place = work.out.with_name("inpaint") / "remembrandt.json"
    before = place.stat().st_mtime_ns
    monkeypatch.setattr(inpainted, "train", None)
    assert recipe.make(work, ["inpaint"]) and place.stat().st_mtime_ns == before


def test_interrupted_it_comes_out_the_same(work, tmp_path, monkeypatch):
    again = begun(tmp_path / "again", work / "pictures")
    given, calls = Inpaint.given, []

    def stopped(*words):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return given(*words)

    monkeypatch.setattr(Inpaint, "given", stopped)
    with pytest.raises(KeyboardInterrupt):
        recipe.make(again, ["inpaint"])
    assert not again.out.with_name("inpaint").exists()
    assert recipe.make(again, ["inpaint"]) and len(calls) == 3  # one step was not made twice
    for file in work.out.with_name("inpaint").rglob("*.safetensors"):
        assert file.read_bytes() == (again.out.with_name("inpaint") / "unet" / file.name).read_bytes()


def test_every_other_mask_lies_over_a_thing(work):
    over = []
    for number in range(8):
        hidden, things = inpainted.hides(number, 0), truth(pictures.scene(number)).masks
        over.append(max((hidden & thing).sum() / max(thing.sum(), 1) for thing in things))
        assert hidden.mean() < 0.9 and hidden.dtype == bool
    assert min(over) == 1 and inpainted.hides(1, 1).shape == (128, 128)
    row = inpainted.Masked(None, work / "pictures", 1, 2)[0]  # type: ignore[arg-type]
    assert row["mask"].shape == (2, 1, 16, 16) and row["left"].shape == row["left_std"].shape == (2, 4, 16, 16)
    assert set(row["mask"].unique().tolist()) == {0, 1} and not torch.equal(row["left"][0], row["mean"])
