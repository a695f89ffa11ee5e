"""Depth to image: parity with diffusers, what a depth must be, the model of a base and its concepts."""

from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from diffusers import StableDiffusionDepth2ImgPipeline
from PIL import Image
from transformers import DPTConfig, DPTForDepthEstimation

from remembrandt.conditions import depth
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.jobs import hands
from remembrandt.settings import Wrong
from tests.conftest import painter, represent
from tests.engine.test_tasks import SCENE, SCHEDULERS, apart, latents

NEAR = np.random.default_rng(8).random((24, 24)).astype(np.float32)


@pytest.fixture(scope="module")
def deep(tiny):
    """A family whose UNet sees depth."""
    torch.manual_seed(11)
    unet = painter(in_channels=5)
    represent(unet)
    return replace(tiny, unet=unet)


@pytest.fixture(scope="module")
def midas(tmp_path_factory):
    """A tiny estimator as transformers saves it."""
    torch.manual_seed(2)
    sizes = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 64}
    config = DPTConfig(
        **sizes, image_size=32, patch_size=8, neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        backbone_out_indices=[0, 1, 2, 3], reassemble_factors=[1, 1, 1, 1], is_hybrid=False,
    )  # fmt: skip
    network = DPTForDepthEstimation(config)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    folder = tmp_path_factory.mktemp("midas")
    network.save_pretrained(folder)
    (folder / "preprocessor_config.json").write_text('{"size": {"height": 32, "width": 32}}')
    return folder


def theirs(family, name, near, **asked):
    scheduler, options = SCHEDULERS[name]
    pipeline = StableDiffusionDepth2ImgPipeline(
        family.vae, family.text_encoder, family.tokenizer, family.unet,
        getattr(diffusers, scheduler).from_config(dict(family.scheduler), **options), None, None,
    )  # fmt: skip
    pipeline.set_progress_bar_config(disable=True)
    return pipeline(
        "a red dog", negative_prompt="snow", num_inference_steps=8, guidance_scale=5.0, strength=0.8,
        generator=torch.Generator().manual_seed(3), image=Image.fromarray(SCENE), output_type="latent",
        depth_map=torch.from_numpy(near)[None], **asked,
    ).images  # fmt: skip


@pytest.mark.parametrize("name", SCHEDULERS)
def test_as_diffusers(deep, name):
    asked = {"seed": 3, "steps": 8, "guidance": 5.0, "sampler": name, "image": SCENE}
    told = theirs(deep, name, NEAR)
    assert apart(latents(deep, Request("a red dog", "snow", depth=NEAR, **asked)), told) <= 1e-3
    assert apart(latents(deep, Request("a red dog", "snow", depth=NEAR[::-1], **asked)), told) >= 0.1  # depth bites


def test_a_depth_alone_is_painted_from_noise_and_shares_a_batch(deep):
    wanted = [Request("a dog", depth=NEAR, steps=3, seed=1), Request("a dog", depth=NEAR.T, image=SCENE, steps=3)]
    together = Engine(deep).paint(wanted)
    assert [p.recipe["task"] for [p] in together] == ["depth-to-image"] * 2
    assert "strength" not in together[0][0].recipe and together[1][0].recipe["strength"] == 0.8
    for request, [mixed] in zip(wanted, together, strict=True):
        [[alone]] = Engine(deep).paint([request])
        assert np.abs(alone.pixels.astype(float) - mixed.pixels).mean() <= 0.1


def test_an_estimator_is_asked(deep, midas, tmp_path):
    own = hands.near(str(midas), SCENE, deep)
    assert own is not None and own.ndim == 2 and own.std() > 0
    assert not np.allclose(own, hands.near(str(midas), SCENE[::-1], deep), atol=1e-3)  # it looks
    from transformers import DPTForDepthEstimation

    pixels = depth._seen(SCENE, {"size": {"height": 32, "width": 32}})
    said = DPTForDepthEstimation.from_pretrained(midas).eval()(pixels).predicted_depth[0].detach().numpy()
    assert np.allclose(own, said, atol=1e-5)
    with pytest.raises(Wrong, match=r"tiny brings no depth estimator: .*hf download"):
        hands.near("auto", SCENE, deep)
    with pytest.raises(Wrong, match="give --image"):
        hands.near("auto", None, deep)
    with pytest.raises(Wrong, match="holds no depth estimator"):
        hands.near(str(tmp_path), SCENE, deep)


def test_what_a_depth_must_be(deep, tiny, tmp_path):
    for bad, said in {
        "one value all over": np.full((9, 9), 3.0),
        "finite numbers": np.full((9, 9), np.nan),
        "a depth is": np.zeros((9, 9, 3)),
    }.items():
        with pytest.raises(Wrong, match=bad):
            Engine(deep).submit(Request(depth=said))
    with pytest.raises(Wrong, match="give it --depth"):
        Engine(deep).submit(Request("a dog"))
    with pytest.raises(Wrong, match="tiny sees 4 channels"):
        Engine(tiny).submit(Request("a dog", depth=NEAR))
    Image.fromarray((NEAR * 65535).astype(np.uint16)).save(tmp_path / "deep.png")
    found = hands.near(str(tmp_path / "deep.png"), None, deep)
    assert found is not None and np.abs(found / 65535 - NEAR).max() < 1e-4  # all sixteen bits
    with pytest.raises(Wrong, match="the depth is 24x24, the image 128x128"):
        hands.near(str(tmp_path / "deep.png"), SCENE, deep)
    (tmp_path / "no.png").write_text("no")
    with pytest.raises(Wrong, match=r"the depth no\.png is not a picture"):
        hands.near(str(tmp_path / "no.png"), None, deep)
