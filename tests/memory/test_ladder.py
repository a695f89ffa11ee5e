"""The ladder: which rung is the knee, and that a rung is the lesson of so many steps, to the bit."""

import copy
import math
import types
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from remembrandt.adapters import adapter as adapters
from remembrandt.conditions import text
from remembrandt.evaluation import following
from remembrandt.memory import ladder
from remembrandt.memory.ladder import Rung, choose
from remembrandt.memory.lesson import Matter, teach
from remembrandt.memory.library import Library
from remembrandt.training import methods
from tests.memory.test_lesson import BRC, SHORT, Killed, photos


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(ladder, "STEPS", 2)  # of the sampler: pictures that nobody looks at


def rungs(identity, prompt):
    return [Rung(100 * (k + 2), i, p) for k, (i, p) in enumerate(zip(identity, prompt, strict=True))]


@pytest.mark.parametrize(
    ("identity", "prompt", "step", "why"),
    [
        ([0.1, 0.2, 0.3, 0.31, 0.31], [0.3, 0.3, 0.29, 0.25, 0.2], 400, "no longer rises"),
        ([0.1, 0.2, 0.3, 0.4, 0.5], [0.3, 0.2, 0.1, 0.0, 0.0], 600, "longest"),
        ([0.3, 0.3, 0.3, 0.3, 0.3], [0.2, 0.2, 0.2, 0.2, 0.2], 600, "longest"),
        ([0.3, 0.1, 0.1, 0.1, 0.1], [0.2, 0.1, 0.1, 0.1, 0.1], 200, "no longer rises"),
        ([0.0, -0.1, -0.1, -0.1, -0.1], [0.2, 0.1, 0.1, 0.1, 0.1], 600, "longest"),  # nothing was learned
        ([0.1, 0.3, math.nan, math.nan, math.nan], [0.2, 0.2, 0.2, 0.1, 0.1], 300, "longest"),
        ([math.nan] * 5, [0.2] * 5, 600, "could be measured"),
    ],
)
def test_the_knee(identity, prompt, step, why):
    rung, said = choose(rungs(identity, prompt))
    assert rung.step == step and why in said


def test_the_steps_of_the_seed():
    assert ladder.steps(600, "bottle") == [200, 300, 400, 500, 600]
    assert ladder.steps(600, "old Man") == ladder.steps(600, "face") == [600, 800, 1000, 1200]
    assert ladder.steps(1, "dog") == [1]
    large = methods.LARGE["dreambooth"]
    assert large["learning_rate"] == 1e-6 and ladder.steps(large["steps"], "chair") == [200, 300, 400, 500, 600]


def taught(family, folder, name="oft", climbed=(2, 3, 4), progress=lambda event: None, **options):
    method = methods.method(name, {**SHORT, "steps": 4, **options})
    matter = Matter(BRC, ["a brc dog"], 1, 3, rungs=climbed)
    return teach(family, Library((), family.digest), matter, method, photos(), folder, progress=progress)


def test_a_rung_is_a_lesson_of_so_many_steps(tiny, tmp_path):
    made = taught(tiny, tmp_path / "ladder")
    docs = {d["steps"]: d for d in made.ladder["rungs"]}
    assert list(docs) == [2, 3, 4] and made.steps == made.ladder["chosen"] in docs
    assert docs[4]["identity"] != docs[2]["identity"] and docs[4]["prompt"] != docs[2]["prompt"]
    assert made.ladder["before"]["identity"] == 0 and made.ladder["measure"] == following.DENOISER
    for step in docs:
        short = taught(tiny, tmp_path / str(step), climbed=(), steps=step)
        kept = made.folder / "ladder" / f"{step:06d}"
        for file in (adapters.TENSORS, adapters.MANIFEST):
            assert (kept / file).read_bytes() == (short.folder / file).read_bytes()
            if step == made.steps:
                assert (made.folder / file).read_bytes() == (short.folder / file).read_bytes()
    assert ladder.read(made.folder)["kept"] == [2, 3, 4]
    for strip in (tmp_path / "ladder" / "ladder.png", made.folder / "ladder" / "ladder.png"):
        assert Image.open(strip).height > 4 * 160
    assert len(list((tmp_path / "ladder" / "previews").iterdir())) == 3


@pytest.mark.parametrize("step", [2, 3])
def test_a_killed_climb_leaves_the_same(tiny, tmp_path, step):
    whole = taught(tiny, tmp_path / "whole")

    def kill(event):
        if (event.stage, event.step) == ("preview", step):  # the rung stands, its step was not told
            raise Killed

    with pytest.raises(Killed):
        taught(tiny, tmp_path / "again", progress=kill)
    again = taught(tiny, tmp_path / "again")
    assert again.ladder == whole.ladder
    for file in whole.folder.rglob("*"):
        if file.is_file():
            assert file.read_bytes() == (again.folder / file.relative_to(whole.folder)).read_bytes()


def test_a_rung_interrupted_half_way_is_made_again(tiny, tmp_path):
    whole = taught(tiny, tmp_path / "whole")
    scored = ladder.Ladder._scored

    def kill(self, step, adapter):
        if step == 3:
            raise Killed
        return scored(self, step, adapter)

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Killed):
        patch.setattr(ladder.Ladder, "_scored", kill)
        taught(tiny, tmp_path / "again")
    assert taught(tiny, tmp_path / "again").ladder == whole.ladder


def test_moved_weights_keep_what_room_allows(tiny, tmp_path, monkeypatch):
    rate = {"learning_rate": 1e-3, "text_rate": 1e-4, "num_class_images": 0}
    made = taught(copy.deepcopy(tiny), tmp_path / "a", "dreambooth", **rate)
    short = taught(copy.deepcopy(tiny), tmp_path / "b", "dreambooth", climbed=(), steps=made.steps, **rate)
    other = taught(copy.deepcopy(tiny), tmp_path / "c", "dreambooth", climbed=(), steps=2, **rate)
    for part in ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"):
        assert (made.folder / part).read_bytes() == (short.folder / part).read_bytes()
        assert (made.folder / "ladder" / "000002" / part).read_bytes() == (other.folder / part).read_bytes()
        assert (short.folder / part).read_bytes() != (other.folder / part).read_bytes() or made.steps == 2
    monkeypatch.setattr(ladder, "ROOM", 1)
    none = taught(copy.deepcopy(tiny), tmp_path / "d", "dreambooth", **rate)
    assert ladder.read(none.folder)["kept"] == [] and none.steps == made.steps


def test_the_chosen_rung_may_be_an_earlier_one(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(ladder, "choose", lambda rungs: (rungs[0], "a test says so"))
    family = copy.deepcopy(tiny)
    rate = {"learning_rate": 1e-3, "num_class_images": 0}
    made = taught(family, tmp_path / "a", "dreambooth", **rate)
    short = taught(copy.deepcopy(tiny), tmp_path / "b", "dreambooth", climbed=(), steps=2, **rate)
    part = "unet/diffusion_pytorch_model.safetensors"
    assert made.steps == 2 and (made.folder / part).read_bytes() == (short.folder / part).read_bytes()
    fidelity = [next(iter(t.retention["concepts"].values()))["best"] for t in (made, short)]
    assert fidelity[0] == pytest.approx(fidelity[1], rel=1e-3)  # measured on what is published


class Knowing(torch.nn.Module):
    """The exact denoiser of pictures that prompts decide: of the nearest prompt's or, far from all, of their mean."""

    dtype = torch.float32

    def __init__(self, bars, tokens, clean):
        super().__init__()
        self.bars, self.tokens, self.clean = bars, tokens, clean

    def forward(self, seen, times, tokens):
        near = (self.tokens[None] - tokens[:, None]).square().flatten(2).sum(2)
        meant = [self.clean[row.argmin()] if row.min() < 1e-6 else self.clean.mean(0) for row in near]
        bar = self.bars[times.long()].float().view(-1, 1, 1, 1)
        noise = (seen - bar.sqrt() * torch.stack(meant)) / (1 - bar).sqrt()
        return types.SimpleNamespace(sample=noise)


def test_prompts_are_followed(tiny):
    """Its power: pictures under their own prompts follow them, under each other's they follow less than under none."""
    asked, pictures = ["a red dog in the snow", "a blue bird at night"], photos(2)
    pixels = torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 127.5 - 1
    unet = Knowing(torch.as_tensor(tiny.schedule.alphas_cumprod), text.encode(tiny, asked), tiny.encode(pixels)[0])
    family = replace(tiny, unet=unet)
    assert following.following(family, pictures, asked, "a dog") > 0.9
    assert following.following(family, pictures[::-1], asked, "a dog") < 0


def test_clip_where_both_towers_are(tiny, tmp_path):
    from safetensors.torch import save_file
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=32, patch_size=16,
        projection_dim=8,
    )  # fmt: skip
    (tmp_path / "text_encoder").mkdir()
    weight = torch.randn(8, 32, generator=torch.Generator().manual_seed(0))
    save_file({"weight": weight}, tmp_path / following.PROJECTION)
    family = replace(tiny, image_encoder=CLIPVisionModelWithProjection(config).eval(), folder=tmp_path)
    assert following.measure(family) == following.CLIP and following.measure(tiny) == following.DENOISER
    squares = photos(2)
    one = following.following(family, squares, ["a dog", "a cat"], "a dog")
    assert -1 <= one <= 1 and one != following.following(family, squares[::-1], ["a dog", "a cat"], "a dog")
    assert np.isfinite(one)
