"""Painting over, into and beyond a picture: parity with diffusers, what stays, checks."""

from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

from remembrandt.conditions import spatial
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request, settled
from remembrandt.settings import Wrong
from tests.conftest import painter, represent

SCHEDULERS = {
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "dpmpp-2m": ("DPMSolverMultistepScheduler", {"timestep_spacing": "linspace"}),
}
RANDOM = np.random.default_rng(4)
SCENE = np.kron(RANDOM.integers(0, 256, (16, 16, 3)), np.ones((8, 8, 1))).astype(np.uint8)
HOLE = np.zeros((128, 128), bool)
HOLE[32:96, 48:112] = True  # on latents' edges: diffusers takes the nearest pixel, we the largest


@pytest.fixture(scope="module")
def seeing(tiny):
    """A family whose UNet sees mask and masked image."""
    torch.manual_seed(7)
    unet = painter(in_channels=9)
    represent(unet)
    return replace(tiny, unet=unet)


def latents(family, request):
    """What would be decoded."""
    seen = []
    watched = replace(family)
    watched.decode = lambda x: seen.append(x) or family.decode(x)  # type: ignore[method-assign]
    Engine(watched).paint([request])
    return seen[0]


def theirs(kind, family, name, **asked):
    scheduler, options = SCHEDULERS[name]
    made = getattr(diffusers, kind)(
        family.vae, family.text_encoder, family.tokenizer, family.unet,
        getattr(diffusers, scheduler).from_config(dict(family.scheduler), **options),
        None, None, requires_safety_checker=False,
    )  # fmt: skip
    made.set_progress_bar_config(disable=True)
    return made(
        "a red dog", negative_prompt="snow", num_inference_steps=8, guidance_scale=5.0,
        generator=torch.Generator().manual_seed(3), image=Image.fromarray(SCENE), output_type="latent", **asked,
    ).images  # fmt: skip


def ours(family, name, **asked):
    asked |= {"seed": 3, "steps": 8, "guidance": 5.0, "sampler": name, "image": SCENE}
    return latents(family, Request("a red dog", "snow", **asked))


def apart(a, b) -> float:
    return float((a - b).norm() / b.norm())


@pytest.mark.parametrize("name", SCHEDULERS)
def test_image_to_image_as_diffusers(name, tiny):
    told = theirs("StableDiffusionImg2ImgPipeline", tiny, name, strength=0.6)
    mine = ours(tiny, name, strength=0.6)
    assert apart(mine, told) <= 1e-3
    assert apart(ours(tiny, name, strength=0.9), told) >= 0.1  # strength bites


@pytest.mark.parametrize("name", SCHEDULERS)
@pytest.mark.parametrize("kind", ["tiny", "seeing"])
def test_inpaint_as_diffusers(name, kind, request):
    family = request.getfixturevalue(kind)
    told = theirs(
        "StableDiffusionInpaintPipeline", family, name,
        mask_image=Image.fromarray(HOLE), strength=0.99, width=128, height=128,
    )  # fmt: skip
    assert apart(ours(family, name, mask=HOLE, strength=0.99), told) <= 1e-3
    assert apart(ours(family, name, mask=~HOLE, strength=0.99), told) >= 0.1  # the mask bites


def test_nothing_changes_outside_of_the_mask(tiny):
    large = np.kron(SCENE, np.ones((3, 2, 1), np.uint8))
    mask = np.kron(HOLE, np.ones((3, 2), bool))
    mask[5, 7] = True  # one pixel, lost by nearest neighbours
    for image, hole in ((SCENE, HOLE), (large, mask)):
        [[painted]] = Engine(tiny).paint([Request("a dog", image=image, mask=hole, steps=3)])
        assert painted.pixels.shape == image.shape
        assert np.array_equal(painted.pixels[~hole], image[~hole])
        assert (painted.pixels[hole] != image[hole]).mean() > 0.5
    assert painted.recipe["fitted"] == "256x384" and painted.recipe["task"] == "inpaint"


def test_outpaint_keeps_the_picture_and_has_the_size_asked(tiny):
    [[painted]] = Engine(tiny).paint([Request("a dog", image=SCENE, expand=(40, 0, 11, 21), steps=3)])
    assert painted.pixels.shape == (128 + 21, 40 + 128 + 11, 3)
    assert np.array_equal(painted.pixels[:128, 40:168], SCENE)
    assert painted.recipe["task"] == "outpaint" and painted.recipe["expand"] == [40, 0, 11, 21]


def test_tasks_share_a_batch_and_each_is_what_it_is_alone(tiny):
    asked = [
        Request("a dog", seed=1, steps=4),
        Request("a dog", seed=2, steps=4, image=SCENE),
        Request("a dog", seed=3, steps=4, image=SCENE, mask=HOLE, sampler="euler-a"),
        Request("a dog", seed=4, steps=4, image=SCENE, expand=(0, 0, 32, 0)),
    ]
    for request, [mixed] in zip(asked, Engine(tiny).paint(asked), strict=True):
        [[alone]] = Engine(tiny).paint([request])
        gap = np.abs(alone.pixels.astype(float) - mixed.pixels)
        assert gap.mean() <= 0.1 and (gap <= 2).mean() >= 0.999
        assert alone.recipe == mixed.recipe


def test_a_picture_of_any_size_is_fitted(tiny):
    fits = {(128, 128): (128, 128), (120, 136): (120, 136), (1024, 1024): (128, 128), (1200, 800): (160, 104),
            (7, 7): (128, 128), (4000, 20): (1808, 64)}  # fmt: skip
    for given, size in fits.items():
        assert settled(Request(image=np.zeros((*given[::-1], 3), np.uint8)), tiny).size == size


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"mask": HOLE}, "no task takes mask"),
        ({"image": SCENE, "mask": HOLE[:64]}, "the mask is 128x64, the image 128x128"),
        ({"image": SCENE, "mask": ~HOLE & HOLE}, "black all over"),
        ({"image": SCENE, "mask": HOLE, "expand": (1, 1, 1, 1)}, "no task takes image and mask and expand"),
        ({"image": SCENE, "expand": (0, 0, 0, 0)}, "expand is pixels"),
        ({"image": SCENE, "strength": 0.01, "steps": 9}, "strength 0.01 of 9 steps is none"),
        ({"image": SCENE, "strength": 1.5}, "strength must be from 0 to 1"),
        ({"strength": 0.5}, "give one, or leave it out"),
        ({"image": SCENE, "task": "inpaint"}, "inpaint takes image and mask, not image"),
        ({"image": SCENE[..., :1]}, "an image is (h, w, 3) of uint8"),
    ],
)
def test_what_cannot_be(tiny, asked, said):
    with pytest.raises(Wrong, match=said.replace("(", r"\(").replace(")", r"\)")):
        Engine(tiny).submit(Request("a dog", **asked))


def test_a_network_that_sees_a_mask_needs_one(seeing):
    with pytest.raises(Wrong, match="give it --image and --mask"):
        Engine(seeing).submit(Request("a dog"))


def test_a_thin_line_reaches_the_latents():
    mask = np.zeros((512, 512), bool)
    mask[:, 300] = True
    assert spatial.shrunk(mask, (128, 128), 8)[0, 0].sum(0).tolist() == [16.0 if k == 9 else 0.0 for k in range(16)]


def test_what_fades_in_is_new_at_its_middle():
    old, new = np.zeros((20, 20, 3), np.uint8), np.full((20, 20, 3), 200, np.uint8)
    mask = np.zeros((20, 20), bool)
    mask[4:16, 4:16] = True
    made = spatial.pasted(old, new, mask, 4)
    assert not made[~mask].any() and (made[10, 10] == 200).all() and 0 < made[4, 10, 0] < 100
    thin = np.zeros((20, 20), bool)
    thin[10] = True
    assert (spatial.pasted(old, new, thin, 4)[10] == 200).all()
