"""Variations: parity with diffusers, what a single token can and cannot do, mixed batches, checks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler, StableDiffusionImageVariationPipeline
from diffusers.models.attention_processor import AttnProcessor

from remembrandt.conditions import image
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.settings import Wrong
from tests.engine.test_tasks import SCENE, apart, latents

RANDOM = np.random.default_rng(9)
OTHER = np.kron(RANDOM.integers(0, 256, (8, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8)


def seen(family, picture):
    return image.preprocessed([picture], family.record.resize, family.eye)


def asked(family, picture, **options):
    return Request(embedding=image.embedded(family, seen(family, picture))[0], **options)


def test_as_diffusers(pictured):
    scheduler = DDIMScheduler.from_config(dict(pictured.scheduler))
    parts = pictured.vae, pictured.image_encoder, pictured.unet, scheduler
    pipeline = StableDiffusionImageVariationPipeline(*parts, None, None, requires_safety_checker=False)  # type: ignore[arg-type]
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        seen(pictured, SCENE), num_inference_steps=8, guidance_scale=3.0, output_type="latent",
        generator=torch.Generator().manual_seed(3),
    ).images  # fmt: skip
    ours = latents(pictured, asked(pictured, SCENE, seed=3, steps=8))  # guidance 3 is the family's own
    assert apart(ours, theirs) <= 1e-3
    assert apart(latents(pictured, asked(pictured, OTHER, seed=3, steps=8)), theirs) >= 0.1  # the picture bites
    assert apart(latents(pictured, asked(pictured, SCENE, seed=3, steps=8, guidance=1.0)), theirs) >= 0.1
    squashed = replace(pictured, record=replace(pictured.record, resize={"antialias": True}))
    assert apart(latents(pictured, asked(squashed, SCENE, seed=3, steps=8)), theirs) >= 0.01  # and so does its resize


@pytest.fixture
def attention(pictured):
    return next(m for name, m in pictured.unet.named_modules() if name.endswith("attn2"))


@torch.no_grad()
def test_one_token_is_a_constant_over_the_picture(attention):
    draw = torch.Generator().manual_seed(0)
    width = attention.to_q.in_features
    x, y = (3 * torch.randn(1, 40, width, generator=draw) for _ in range(2))
    e, more = torch.randn(1, 1, 32, generator=draw), torch.randn(1, 4, 32, generator=draw)
    bias = attention.to_out[0].bias
    out = attention(x, e)
    assert torch.allclose(out, out[:, :1].expand_as(out), atol=1e-5)
    assert torch.allclose(out, attention(y, e), atol=1e-5)  # whatever is painted
    assert torch.allclose(attention(x, 2.5 * e) - bias, 2.5 * (out - bias), atol=1e-4)  # linear
    assert torch.allclose(attention(x, 0 * e), bias.expand_as(out), atol=1e-6)  # "nothing" leaves the bias
    assert torch.allclose(attention(x, e.repeat(1, 4, 1)), out, atol=1e-5)
    several = attention(x, more)
    assert not torch.allclose(several, several[:, :1].expand_as(several), atol=0.1)  # and several tokens are none of it
    padded = attention(x, torch.cat([e, 0 * more], 1))
    assert (padded - bias).norm() < 0.9 * (out - bias).norm()


@pytest.mark.parametrize("tokens", [1, 3])
def test_queries_and_keys_learn_nothing_from_one_token(attention, tokens):
    attention.set_processor(AttnProcessor())  # fused kernels leave rounding
    layers = [attention.to_q, attention.to_k, attention.to_v]
    for layer in layers:
        layer.weight.requires_grad_(True)
    try:
        draw = torch.Generator().manual_seed(0)
        out = attention(torch.randn(1, 9, attention.to_q.in_features, generator=draw), torch.randn(1, tokens, 32))
        loss = (out * torch.randn(out.shape, generator=draw)).sum()
        gradients = torch.autograd.grad(loss, [m.weight for m in layers])
        queries, keys, values = (float(g.abs().max()) for g in gradients)
        assert values > 0.1
        assert (queries == keys == 0.0) if tokens == 1 else min(queries, keys) > 1e-3
    finally:
        for layer in layers:
            layer.weight.requires_grad_(False)


def test_every_task_shares_a_batch(pictured):
    hole = np.zeros((128, 128), bool)
    hole[32:96, 48:112] = True
    wanted = [
        asked(pictured, SCENE, seed=1, steps=4, n=2),
        asked(pictured, OTHER, seed=2, steps=4, image=SCENE),
        asked(pictured, OTHER, seed=3, steps=4, image=SCENE, mask=hole, sampler="euler-a"),
        asked(pictured, OTHER, seed=4, steps=4, guidance=1.0),
    ]
    engine, calls = Engine(pictured, max_rows=64), []
    call = pictured.unet.register_forward_pre_hook(lambda module, given: calls.append(len(given[0])))
    together = engine.paint(wanted)
    call.remove()
    assert calls[0] == 2 * 2 + 2 + 2 + 1  # rows of one call
    tasks = [pictures[0].recipe["task"] for pictures in together]
    assert tasks == ["variations", "image-to-image", "inpaint", "variations"]
    for request, pictures in zip(wanted, together, strict=True):
        for mixed, alone in zip(pictures, Engine(pictured).paint([request])[0], strict=True):
            gap = np.abs(alone.pixels.astype(float) - mixed.pixels)
            assert gap.mean() <= 0.1 and (gap <= 2).mean() >= 0.999
    assert np.array_equal(together[2][0].pixels[~hole], SCENE[~hole])


def test_what_cannot_be(pictured, tiny):
    request = asked(pictured, SCENE)
    bad = {
        "tiny is steered by text, not by pictures.*--model variations": (tiny, request),
        "tiny is steered by text": (tiny, Request(task="variations")),
        "pictured is steered by pictures, not by text: remembrandt variations": (pictured, Request("a dog")),
        "an embedding of 32 finite numbers": (pictured, Request(embedding=torch.zeros(1, 32))),
        "of 32 finite": (pictured, Request(embedding=torch.full((32,), torch.nan))),
        "text-to-image takes no picture, not embedding": (pictured, replace(request, task="text-to-image")),
        "strength says how much of an image": (pictured, replace(request, strength=0.5)),
    }
    for said, (family, one) in bad.items():
        with pytest.raises(Wrong, match=said):
            Engine(family).submit(one)
