"""Enlarging: parity with diffusers, noise levels, windows and folds, checks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, DDPMScheduler, StableDiffusionUpscalePipeline
from PIL import Image

from remembrandt.conditions import enlarging
from remembrandt.conditions.enlarging import Windows
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.family.family import Record
from remembrandt.family.load import load, save
from remembrandt.settings import Wrong
from tests.conftest import painter, represent
from tests.engine.test_tasks import apart, latents

SMALL = np.random.default_rng(6).integers(0, 256, (16, 16, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def large(tiny):
    """A family of 7 channels whose latents are a quarter as wide as its pictures, as Stable Diffusion's upscaler."""
    torch.manual_seed(5)
    unet = painter(in_channels=7, num_class_embeds=1000)
    torch.nn.init.normal_(unet.class_embedding.weight, std=1.0)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 8, 16), layers_per_block=1, norm_num_groups=4, latent_channels=4, sample_size=64,
    )  # fmt: skip
    represent(unet)
    represent(vae)
    return replace(tiny, unet=unet, vae=vae, record=Record(size=64, guidance=4.0, steps=6, sampler="ddim"))


def test_as_diffusers(large):
    lower = DDPMScheduler(num_train_timesteps=1000, **enlarging.LOWER)
    pipeline = StableDiffusionUpscalePipeline(
        large.vae, large.text_encoder, large.tokenizer, large.unet, lower, DDIMScheduler.from_config(large.scheduler)
    )
    pipeline.set_progress_bar_config(disable=True)
    told = pipeline(
        "a red dog", Image.fromarray(SMALL), 8, 5.0, 50, "snow", generator=torch.Generator().manual_seed(3),
        output_type="latent",
    ).images  # fmt: skip
    asked = {"seed": 3, "steps": 8, "guidance": 5.0, "task": "upscale"}

    def ours(picture=SMALL, level=50):
        return latents(large, Request("a red dog", "snow", image=picture, level=level, **asked))

    assert apart(ours(), told) <= 1e-3
    assert apart(ours(SMALL[::-1]), told) >= 0.1  # the picture bites
    assert apart(ours(level=300), told) >= 0.1  # and so does the level


def test_what_it_sees_folded_or_not(large, tiny):
    folded = replace(tiny, unet=painter(in_channels=16, num_class_embeds=1000))
    assert (enlarging.fold(large), enlarging.fold(folded), enlarging.fold(tiny)) == (1, 2, None)
    for family, step in ((large, 1), (folded, 2)):
        picture = np.pad(SMALL, ((0, 5), (0, 3), (0, 0)), "edge")  # 21 x 19: no whole steps
        asked = Request("a dog", image=picture, task="upscale", steps=2, seed=1)
        [[painted]] = Engine(family).paint([asked])
        assert painted.pixels.shape == (4 * 21, 4 * 19, 3) and painted.recipe["task"] == "upscale"
        seen = enlarging.beside(family, enlarging.small(picture[:20, :18]), torch.zeros(1, 3, 20, 18), 0)
        assert seen.shape == (1, 3 * step**2, 20 // step, 18 // step)


def test_windows_fit_and_leave_no_seam():
    for size in ((16, 16), (17, 40), (33, 16), (100, 31)):
        windows = Windows(size, 16)
        x = torch.randn(1, 4, *size)
        parts = windows.cut(x)
        assert len(parts) == len(windows) and {p.shape for p in parts} == {(1, 4, 16, 16)}
        assert torch.allclose(windows.join(parts), x, atol=1e-5)
    many = Windows((16, 64), 16)
    levels = [torch.full((1, 1, 16, 16), float(k)) for k in range(len(many))]
    assert many.join(levels)[0, 0].diff(dim=1).abs().max() <= 0.5  # from one to the next by and by


def test_large_ones_are_seen_in_windows(large):
    picture = np.kron(SMALL, np.ones((1, 2, 1), np.uint8))  # 32 wide, where 16 are seen at once
    asked = Request("a dog", image=picture, task="upscale", steps=3, seed=2)
    engine, calls = Engine(large, max_rows=64), []
    call = large.unet.register_forward_pre_hook(lambda module, given: calls.append(tuple(given[0].shape)))
    [[painted]] = engine.paint([asked])
    call.remove()
    assert calls == [(2 * 3, 7, 16, 16)] * 3 and painted.pixels.shape == (64, 128, 3)
    other = Request("a cat", seed=4, image=SMALL, task="upscale", steps=4)
    [[mixed], _] = Engine(large).paint([asked, other])
    assert np.abs(mixed.pixels.astype(float) - painted.pixels).mean() <= 0.1
    z = torch.randn(1, 4, 40, 24)
    whole, tiled = (large.decode(z, tiled=way).astype(float) for way in (False, True))
    assert whole.shape == tiled.shape and np.abs(whole - tiled).mean() < 20


def test_a_folder_keeps_its_noise(large, tmp_path):
    lower = dict(large.scheduler) | {"beta_start": 0.001}
    loaded = load(save(replace(large, lower=lower), tmp_path / "large"), device="cpu", precision="fp32")
    assert loaded.lower and loaded.lower["beta_start"] == 0.001
    import diffusers

    made = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "large", local_files_only=True)
    assert type(made).__name__ == "StableDiffusionUpscalePipeline" and made.low_res_scheduler.config.beta_start == 0.001


def test_what_cannot_be(large, tiny):
    asked = {"task": "upscale", "image": SMALL}
    for family, given, said in (
        (tiny, asked, "tiny sees 4 channels, where this task has 7"),
        (large, {**asked, "size": (64, 64)}, "leave out --size"),
        (large, {**asked, "strength": 0.5}, "leave out --size"),
        (large, {**asked, "level": 351}, "the level of noise must be a whole number from 0 to 350"),
        (large, {**asked, "image": np.zeros((8, 2049, 3), np.uint8)}, "sides are at most 8192"),
        (large, {}, "give it --image and --upscale"),
        (large, {"image": SMALL}, "give it --image and --upscale"),
    ):
        with pytest.raises(Wrong, match=said):
            Engine(family).submit(Request("a dog", **given))
