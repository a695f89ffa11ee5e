"""What ships: the embedded family, in diffusers' hands and before its own judges."""

from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation import judges
from remembrandt.family.load import load
from remembrandt.settings import Wrong


@pytest.fixture(scope="module")
def pocket():
    return load("pocket", device="cpu", precision="fp32")


def test_diffusers_paints_the_same_without_arguments(pocket):  # details 27
    theirs = StableDiffusionPipeline.from_pretrained(pocket.folder)
    theirs.set_progress_bar_config(disable=True)
    prompt, seeded = "a red dog on the beach", torch.Generator().manual_seed(3)
    painted = theirs(prompt, num_inference_steps=20, guidance_scale=4.0, generator=seeded, output_type="np")
    asked = [Request(p, seed=3, steps=20, guidance=4.0, sampler="ddim") for p in (prompt, "a blue house in the city")]
    [[ours], [other]] = Engine(pocket).paint(asked)
    gap = np.abs((painted.images[0] * 255).round() - ours.pixels)
    assert gap.mean() <= 0.05 and gap.max() <= 2
    assert np.abs(other.pixels.astype(float) - ours.pixels).mean() > 5  # else any prompt would have passed


def test_what_ships_paints_and_reads_as_its_published_figures_say(pocket):
    """Few questions, so well below `benchmarks/exam.json`; weights gone wrong and judges of noise fall through."""
    pytest.importorskip("skia", reason="needs the extra [world]")
    from remembrandt.pocket import autoencoder, judging, pictures
    from remembrandt.pocket.exam import exam

    readers = judges.load(pocket.folder / "judges" / "readers")
    renders = np.stack([pictures.picture(pictures.UNSEEN + 70_000 + k) for k in range(24)])
    assert autoencoder.psnr(pocket.vae, renders) > 26
    read = judging.reader_accuracy(readers, range(pictures.UNSEEN + 71_000, pictures.UNSEEN + 71_060))
    assert all(share > 0.85 for share in read.values()), read

    def paint(prompts, seed):
        asked = [Request(p, seed=seed + k, steps=12) for k, p in enumerate(prompts)]
        return np.stack([made[0].pixels for made in Engine(pocket).paint(asked)])

    painted = exam(paint, readers, singles=24, pairs=0)
    assert all(painted[a] > 0.8 for a in ("category", "colour", "place", "style")), painted


def test_the_inpainting_model_paints_what_is_masked(pocket):
    try:
        family = load("inpaint", device="cpu", precision="fp32")
    except Wrong as fault:
        pytest.skip(f"{fault}")
    place = Path(str(files("remembrandt.pocket"))) / "inpaint"
    assert sum(p.stat().st_size for p in place.rglob("*.safetensors")) <= 3.2e6
    picture = np.random.default_rng(1).integers(0, 256, (128, 128, 3)).astype(np.uint8)
    mask = np.zeros((128, 128), bool)
    mask[32:96, 32:96] = True
    asked = Request("a red dog", seed=1, steps=2, image=picture, mask=mask)
    [[made]], [[other]] = (Engine(one).paint([asked]) for one in (family, pocket))
    assert np.array_equal(made.pixels[~mask], picture[~mask]) and not np.array_equal(made.pixels, picture)
    assert not np.array_equal(made.pixels, other.pixels)
