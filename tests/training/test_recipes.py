"""Recipes: what moves, what is learned from, resumed to the bit, several processes like one, and what is refused."""

import copy
import json
import multiprocessing
import os
import socket
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import UNet2DConditionModel
from PIL import Image
from safetensors.torch import load_file

from remembrandt.conditions import turned
from remembrandt.conditions.condition import Condition
from remembrandt.family import control
from remembrandt.family.load import load
from remembrandt.settings import Wrong
from remembrandt.training import recipes
from remembrandt.training.corpus import Filters
from remembrandt.training.course import Course, Share, foreseen
from remembrandt.training.encoded import encode
from remembrandt.training.inpainting import mask
from remembrandt.training.recipe import denoising, order, predicted
from remembrandt.training.train import train
from remembrandt.training.variations import ATTENTION
from tests.training.seeing import see
from tests.training.test_corpus import drawn

FEW = {
    "steps": 3, "batch": 4, "attention_steps": 2, "attention_batch": 4, "warmup": 2, "attention_warmup": 1, "ema": 0.5,
    "learning_rate": 1e-3, "attention_rate": 1e-3, "preview_every": 0, "checkpoint_every": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def seeing(tiny):
    """Nobody changes it."""
    return see(tiny)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    place = tmp_path_factory.mktemp("pictures")
    for k in range(6):
        drawn(k).save(place / f"{k}.png")
        (place / f"{k}.txt").write_text(f"a red dog {k}")
    return str(place)


def own(family):
    """A copy that may be trained."""
    return replace(family, unet=copy.deepcopy(family.unet))


def course(recipe, data, out, **more):
    return Course(recipe, data, out, **{"options": FEW, "seed": 5, "batch": 2} | more)


def rows_of(family, recipe, data, folder):
    told = {"seen_at": recipe.seen_at(family), "progress": lambda event: None}
    return encode(family, recipe.adds, data, Filters(), folder, **told)


# -- what moves --------------------------------------------------------------------------------------------------------


def test_the_first_stage_is_the_published_one():
    """On SD 1's shapes: 16 modules, 43,962,560 weights, of which 21,987,520 can learn from one token."""
    with torch.device("meta"):
        unet = UNet2DConditionModel(
            block_out_channels=(320, 640, 1280, 1280), cross_attention_dim=768, attention_head_dim=8
        )
    named = {n: p.numel() for n, p in unet.named_parameters() if ATTENTION.search(n)}
    assert len({n.partition(".attn2.")[0] for n in named}) == 16 and sum(named.values()) == 43_962_560
    assert sum(size for n, size in named.items() if ".to_q" not in n and ".to_k" not in n) == 21_987_520
    assert not any("norm" in n for n in named)


def test_one_token_teaches_values_and_outputs_only(seeing, data, tmp_path):
    """A softmax over one key is 1: exactly no gradient for queries and keys."""
    recipe = recipes.recipe("variations", None, {**FEW, "dropout": 0})
    family = recipe.begun(own(seeing))
    first = recipe.stages(family, rows_of(family, recipe, data, tmp_path), 0)[0]
    for p in first.parameters.values():
        p.requires_grad_(True)
    first.loss(0, range(4)).backward()
    silent = {n for n, p in first.parameters.items() if not p.grad.any()}
    assert silent == {n for n in first.parameters if ".to_q." in n or ".to_k." in n}
    assert family.unet.config["cross_attention_dim"] == 24 and family.kind == "variations"
    assert family.record.guidance == 3


def test_a_ninth_channel_begins_as_nothing_and_masks_hide_something(seeing, data, tmp_path):
    recipe = recipes.recipe("inpaint", None, {"masks": 2})
    family = recipe.begun(own(seeing))
    rows = rows_of(family, recipe, data, tmp_path)
    given = recipe.given(family, [rows[0], rows[1]], [torch.Generator().manual_seed(0)] * 2, [False, True])
    x, t = torch.randn(2, 4, 16, 16), torch.tensor([500, 20])
    plain = seeing.unet(x, t, given.tokens).sample
    wide = family.unet(torch.cat([x, given.channels], 1), t, given.tokens).sample
    assert given.channels.shape == (2, 5, 16, 16) and torch.allclose(plain, wide, atol=1e-5)
    assert not torch.equal(given.tokens[0], given.tokens[1])  # the second is nothing
    shares = [mask(np.random.default_rng(k), 64) for k in range(60)]
    assert all(m.any() for m in shares) and 6 < sum(m.all() for m in shares) < 30


# -- a training --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(seeing, data, tmp_path_factory):
    """Two stages in one go, uninterrupted, in calls of two pictures."""
    out = tmp_path_factory.mktemp("trained") / "model"
    said = train(course("variations", data, out, options={**FEW, "preview_every": 2}), own(seeing))
    return out, said


def test_it_leaves_a_family_of_variations_a_log_and_previews(trained, seeing):
    out, said = trained
    family = load(out, device="cpu", precision="fp32")
    assert (family.kind, family.name, family.record.guidance) == ("variations", "model", 3.0)
    assert (said["pictures"], [row["moves"] for row in said["stages"]]) == (6, ["attention", "whole"])
    log = [json.loads(line) for line in (out / "work" / "log.jsonl").read_text().splitlines()]
    assert [(row["stage"], row["step"]) for row in log] == [(1, 1), (1, 2), (2, 1), (2, 2), (2, 3)]
    assert {p.name for p in (out / "work" / "previews").iterdir()} == {f"stage-{n}-00000002.png" for n in (1, 2)}
    first, last = (load_file(out / "work" / f"stage-{n}.safetensors") for n in (1, 2))
    assert all(ATTENTION.search(name) for name in first) and set(first) < set(last)
    moved = [n for n, p in family.unet.named_parameters() if not torch.equal(p, last[n].half().float())]
    assert not moved  # the folder is the last stage's average
    fixed = [n for n, p in seeing.unet.named_parameters() if p.shape == last[n].shape and torch.equal(p, last[n])]
    assert fixed and all(n.endswith("norm2.bias") for n in fixed)  # before queries, which one token does not need


def test_interrupted_in_either_stage_and_resumed_is_the_same_to_the_bit(trained, seeing, data, tmp_path):
    out = tmp_path / "model"

    def stop_at(stage, step):
        def progress(event):
            if (event.stage, event.step) == (f"stage {stage}", step) and event.loss is not None:
                raise KeyboardInterrupt

        return progress

    asked = course("variations", data, out)
    for stage, step in ((1, 1), (2, 2)):
        with pytest.raises(KeyboardInterrupt):
            train(asked, own(seeing), stop_at(stage, step))
    train(replace(asked, batch=None), own(seeing))
    whole = trained[0]
    for name in ("work/stage-1.safetensors", "work/stage-2.safetensors"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()
    a, b = ([json.loads(line) for line in (p / "work/log.jsonl").read_text().splitlines()] for p in (out, whole))
    assert [(r["stage"], r["step"], r["loss"]) for r in a] == [(r["stage"], r["step"], r["loss"]) for r in b]


def test_a_stage_of_its_own_goes_on_from_the_one_before(trained, seeing, data, tmp_path):
    out = tmp_path / "model"
    asked = course("variations", data, out)
    with pytest.raises(Wrong, match="goes on from stage 1"):
        train(replace(asked, stage=2), own(seeing))
    train(replace(asked, stage=1), own(seeing))
    assert load(out, device="cpu", precision="fp32").kind == "variations"
    train(replace(asked, stage=2), own(seeing))
    name = "work/stage-2.safetensors"
    assert (out / name).read_bytes() == (trained[0] / name).read_bytes()
    with pytest.raises(Wrong, match="was begun with another seed"):
        train(replace(asked, seed=6), own(seeing))
    with pytest.raises(Wrong, match="there is no stage 3"):
        train(replace(asked, stage=3), own(seeing))


def process(rank, port, asked, family):
    from accelerate.state import AcceleratorState, GradientState, PartialState

    for state in (AcceleratorState, GradientState, PartialState):
        state._reset_state()
    told = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": 2, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({k: str(v) for k, v in told.items()})
    torch.set_num_threads(1)
    train(asked, family)


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="processes are forked here")
def test_two_processes_have_the_losses_of_one(trained, seeing, data, tmp_path):
    out = tmp_path / "model"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    asked = course("variations", data, out, batch=1)
    context = multiprocessing.get_context("fork")
    begun = [context.Process(target=process, args=(rank, port, asked, own(seeing))) for rank in range(2)]
    for one in begun:
        one.start()
    for one in begun:
        one.join(240)
    assert [one.exitcode for one in begun] == [0, 0]
    two, one = ([json.loads(line)["loss"] for line in (p / "work/log.jsonl").open()] for p in (out, trained[0]))
    assert two == pytest.approx(one, abs=1e-5) and len({round(loss, 3) for loss in one}) > 3
    a, b = (load_file(p / "work/stage-2.safetensors") for p in (out, trained[0]))
    assert all(torch.allclose(a[name], b[name], atol=1e-4) for name in a)


@pytest.mark.parametrize("name", ["inpaint", "text-to-image"])
def test_the_other_recipes_leave_families_too(seeing, data, tmp_path, name):
    few = {"steps": 1, "batch": 2, "preview_every": 1} | ({"masks": 1} if name == "inpaint" else {})
    train(course(name, data, tmp_path / "model", options=few), own(seeing))
    family = load(tmp_path / "model", device="cpu", precision="fp32")
    assert family.unet.config["in_channels"] == {"inpaint": 9, "text-to-image": 4}[name]
    listed = json.loads((tmp_path / "model" / "model_index.json").read_text())["_class_name"]
    assert listed == f"StableDiffusion{'Inpaint' * (name == 'inpaint')}Pipeline"


# -- pictures, once ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pairs(data, tmp_path_factory):
    """Pictures with a hint beside each but one: its right half, white on black."""
    place = tmp_path_factory.mktemp("pairs")
    for k in range(5):
        drawn(k).save(place / f"{k}.png")
        half = np.zeros((96, 96, 3), np.uint8)
        half[:, 48:] = 255
        Image.fromarray(half).resize(drawn(k).size).save(place / f"{k}.hint.png")
        (place / f"{k}.txt").write_text("a red dog")
    drawn(7).save(place / "alone.png")
    return str(place)


def test_a_control_begins_as_the_base_learns_hints_and_is_resumed_to_the_bit(tiny, pairs, tmp_path):
    options = {**{k: v for k, v in FEW.items() if not k.startswith("attention")}, "preview_every": 3}
    recipe = recipes.recipe("controlnet", None, options)
    family = recipe.begun(own(tiny))
    told = {"seen_at": recipe.seen_at(family), "progress": lambda event: None}
    rows = encode(family, recipe.adds, pairs, Filters(paired=True), tmp_path / "rows", **told)
    assert len(rows) == 5 and rows.left_out == {"has no hint beside it": 1}
    assert rows[0]["hint"].shape == (3, 128, 128) and rows[0]["hint"].float().mean((0, 1))[[0, -1]].tolist() == [0, 255]
    given = recipe.given(family, [rows[0], rows[1]], [torch.Generator()] * 2, [False, True])
    x, t = torch.randn(2, 4, 16, 16), torch.tensor([500, 20])
    assert torch.equal(predicted(family, x, t, given), predicted(tiny, x, t, Condition(given.tokens)))
    assert not torch.equal(given.tokens[0], given.tokens[1]) and dict(recipe.stages(family, rows, 0)[0].parameters)
    before = {n: p.clone() for n, p in family.unet.named_parameters()}

    def asked(out):
        return course("controlnet", pairs, out, options={**options, "checkpoint_every": 1})

    def stop(event):
        if event.loss is not None and event.step == 2:
            raise KeyboardInterrupt

    said = train(asked(tmp_path / "whole"), own(tiny))
    with pytest.raises(KeyboardInterrupt):
        train(asked(tmp_path / "cut"), own(tiny), stop)
    train(asked(tmp_path / "cut"), own(tiny))
    made, cut = (load_file(tmp_path / n / "diffusion_pytorch_model.safetensors") for n in ("whole", "cut"))
    assert [row["moves"] for row in said["stages"]] == ["control"] and made.keys() == cut.keys()
    assert all(torch.equal(made[n], cut[n]) for n in made)
    assert made["controlnet_mid_block.weight"].any()  # no longer zero
    assert all(torch.equal(before[n], p) for n, p in tiny.unet.named_parameters())
    assert control.is_one(tmp_path / "whole") and control.load(tmp_path / "whole", tiny)
    assert (tmp_path / "whole" / "work" / "previews").is_dir()


def test_a_control_that_turns_the_network_learns_too(tiny, pairs, tmp_path):
    options = {**{k: v for k, v in FEW.items() if not k.startswith("attention")}, "method": "oft", "preview_every": 3}
    said = train(course("controlnet", pairs, tmp_path / "model", options=options), own(tiny))
    made, begun = turned.load(tmp_path / "model", tiny), turned.fresh(tiny)
    before, still = dict(begun.named_parameters()), ("encoder.conv_in", "encoder.blocks")  # behind a zero at first
    moved = {n for n, p in made.named_parameters() if not torch.equal(p, before[n])}
    assert said["left_out"] == {"has no hint beside it": 1} and moved | set(before) == set(before)
    assert all(n in moved for n in before if not n.startswith(still)) and (tmp_path / "model" / "work").is_dir()
    with pytest.raises(Wrong, match="copy or oft"):
        train(course("controlnet", pairs, tmp_path / "other", options={"method": "lora"}), own(tiny))


def test_encoding_goes_on_behind_what_is_there(seeing, data, tmp_path, monkeypatch):
    recipe = recipes.recipe("variations")
    family = recipe.begun(own(seeing))
    monkeypatch.setattr("remembrandt.training.encoded.CHUNK", 2)
    whole = rows_of(family, recipe, data, tmp_path / "whole")

    def stop(event):
        if event.step == 4:
            raise KeyboardInterrupt

    told = {"seen_at": 128, "progress": stop}
    with pytest.raises(KeyboardInterrupt):
        encode(family, recipe.adds, data, Filters(dedup=True), tmp_path / "cut", **told)
    assert not (tmp_path / "cut" / "manifest.json").exists() and (tmp_path / "cut" / "00000.safetensors").exists()
    cut = encode(family, recipe.adds, data, Filters(dedup=True), tmp_path / "cut", **told | {"progress": print})
    assert len(cut) == len(whole) == 6
    assert [cut[k]["caption"] for k in range(6)] == [f"a red dog {k}" for k in range(6)]
    assert all(torch.equal(cut[k][name], whole[k][name]) for k in range(6) for name in ("mean", "std", "embedding"))


def test_what_is_drawn_depends_on_step_and_index_alone(seeing, data, tmp_path):
    """However a step is cut into calls and processes, its loss is the mean of its pictures' losses."""
    recipe = recipes.recipe("variations", None, {"dropout": 0.5})
    family = recipe.begun(own(seeing))
    rows = rows_of(family, recipe, data, tmp_path)
    loss = denoising(recipe, family, rows, 3, 4)
    with torch.no_grad():
        whole, single = loss(7, range(4)), torch.stack([loss(7, [k]) for k in range(4)])
        assert torch.allclose(whole, single.mean(), atol=1e-6) and single.std() > 1e-3
        assert not torch.equal(whole, loss(8, range(4)))
    parts = [Share(2, 1, 2).part(call, rank)[1] for call in (6, 7) for rank in (0, 1)]
    assert sorted(k for part in parts for k in part) == [0, 1, 2, 3]
    epochs = [order(0, epoch, 50).tolist() for epoch in range(2)]
    assert epochs[0] != epochs[1] and all(sorted(numbers) == list(range(50)) for numbers in epochs)


# -- what it would take, and what is refused ---------------------------------------------------------------------------


def test_the_presets_are_the_published_numbers(seeing, data, tmp_path):
    """Pictures seen are steps times the global batch."""
    told = {}
    for name in ("lambda-v1", "lambda-v2"):
        asked = course("variations", data, tmp_path / name, preset=name, options={"aesthetic": 0}, processes=4, batch=2)
        told[name] = foreseen(asked, own(seeing))
        assert told[name]["pictures"] == 6 and told[name]["hours"] > 0 and told[name]["gigabytes"] > 0
    one, (first, second) = told["lambda-v1"]["stages"][0], told["lambda-v2"]["stages"]
    assert (one["pictures_seen"], one["warmup"], one["learning_rate"], one["calls"]) == (2_088_000, 1_000, 1e-4, 3)
    assert (first["pictures_seen"], first["warmup"], first["calls"]) == (5_888_000, 10_000, 16)
    assert (second["pictures_seen"], second["warmup"], second["calls"]) == (8_000_000, 5_000, 20)
    assert first["learning_rate"] == second["learning_rate"] == 1e-5 and first["parameters"] < second["parameters"]
    assert not (tmp_path / "lambda-v1").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"recipe": "variation"}, "there is no recipe 'variation'. Did you mean 'variations'"),
        ({"preset": "lambda-v3"}, "has no preset 'lambda-v3'. Did you mean"),
        ({"recipe": "inpaint", "preset": "lambda-v1"}, "It has none"),
        ({"options": {"stepps": 1}}, "there is no option 'stepps'"),
        ({"options": {"batch": 4, "attention_batch": 5}}, "takes 5 pictures a step, which --gpus 1 and --batch 2"),
        ({"data": "nowhere"}, "there is no folder nowhere"),
        ({"options": {"aesthetic": 5}}, "no picture can be trained on: 6 has no aesthetic score"),
        ({"options": {"min_side": 999}}, "no picture can be trained on: 6 is smaller"),
    ],
)
def test_what_is_refused_leaves_nothing_trained(seeing, data, tmp_path, change, said):
    asked = replace(course("variations", data, tmp_path / "model", options={"steps": 1}), **change)
    with pytest.raises(Wrong, match=said) as fault:
        train(asked, own(seeing))
    assert "\n" not in str(fault.value) and not (tmp_path / "model").exists()


def test_families_that_cannot_and_folders_that_hold_something_are_refused(tiny, seeing, data, tmp_path):
    with pytest.raises(Wrong, match="has no image encoder"):
        train(course("variations", data, tmp_path / "a"), own(tiny))
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("mine")
    with pytest.raises(Wrong, match="exists already"):
        train(course("variations", data, tmp_path / "b"), own(seeing))
    variations = recipes.recipe("variations").begun(own(seeing))
    for other in ("inpaint", "text-to-image"):
        with pytest.raises(Wrong, match="give a text-to-image model"):
            train(course(other, data, tmp_path / other, options={"steps": 1}), variations)
