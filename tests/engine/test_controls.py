"""Controls: parity with diffusers, what an untrained and a weightless one are, neighbours, windows, checks."""

import copy
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from diffusers import ControlNetModel
from PIL import Image

from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import Worn
from remembrandt.conditions import turned
from remembrandt.conditions.control import Steer
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request, settled
from remembrandt.family import control, weights
from remembrandt.settings import Wrong
from tests.conftest import biting, represent
from tests.engine.test_tasks import HOLE, RANDOM, SCENE, apart, latents

HINTS = [
    np.kron(RANDOM.integers(0, 2, (16, 16, 1)), np.full((8, 8, 3), 255)).astype(np.uint8),
    np.kron(RANDOM.integers(0, 256, (8, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8),
]


@pytest.fixture(scope="module")
def networks(tiny):
    return [biting(tiny.unet, seed) for seed in (11, 12)]


@pytest.fixture(scope="module")
def fresh(tiny):
    network = ControlNetModel.from_unet(tiny.unet, conditioning_embedding_out_channels=(8, 8, 8, 8))
    represent(network)
    return network


def steers(networks, hints=HINTS, **each):
    several = [{k: v[n] for k, v in each.items()} for n in range(len(networks))]
    rows = zip(("canny", "depth"), networks, hints, several, strict=False)
    return tuple(Steer(name, network, hint, **own) for name, network, hint, own in rows)


def ours(family, controls, **asked):
    asked = {"seed": 3, "steps": 8, "guidance": 5.0, "sampler": "ddim", "controls": controls} | asked
    return latents(family, Request("a red dog", "snow", **asked))


def told(family, kind, networks, **asked):
    """What diffusers' pipeline of a kind paints, and its hints bite."""
    pictures = [Image.fromarray(hint) for hint in HINTS[: len(networks)]]
    one = len(networks) == 1
    key = "image" if not kind else "control_image"
    shown = {key: pictures[0] if one else pictures, **asked}
    made = getattr(diffusers, f"StableDiffusionControlNet{kind}Pipeline")(
        family.vae, family.text_encoder, family.tokenizer, family.unet,
        networks[0] if one else networks,
        diffusers.DDIMScheduler.from_config(dict(family.scheduler)), None, None, requires_safety_checker=False,
    )  # fmt: skip
    made.set_progress_bar_config(disable=True)
    return made(
        "a red dog", negative_prompt="snow", num_inference_steps=8, guidance_scale=5.0,
        generator=torch.Generator().manual_seed(3), output_type="latent", **shown,
    ).images  # fmt: skip


@pytest.mark.parametrize("count", [1, 2])
def test_as_diffusers(tiny, networks, count):
    some = networks[:count]
    weights, starts, ends = [1.8, 2.2][:count], [0.0, 0.25][:count], [0.5, 1.0][:count]
    single = [v[0] if count == 1 else v for v in (weights, starts, ends)]
    names = ("controlnet_conditioning_scale", "control_guidance_start", "control_guidance_end")
    wanted = told(tiny, "", some, **dict(zip(names, single, strict=True)))
    each = {"weight": weights, "start": starts, "end": ends}
    assert apart(ours(tiny, steers(some, **each)), wanted) <= 1e-3
    assert apart(ours(tiny, steers(some, HINTS[::-1], **each)), wanted) >= 0.1  # the hint bites
    assert apart(ours(tiny, steers(some, weight=weights)), wanted) >= 0.03  # and so does when it acts


@pytest.mark.parametrize("count", [1, 2])
def test_image_to_image_as_diffusers(tiny, networks, count):
    some = networks[:count]
    scales = [1.0, 0.7][:count]
    scale = scales[0] if count == 1 else scales
    wanted = told(
        tiny, "Img2Img", some, image=Image.fromarray(SCENE), strength=0.6, controlnet_conditioning_scale=scale
    )
    assert apart(ours(tiny, steers(some, weight=scales), image=SCENE, strength=0.6), wanted) <= 1e-3
    assert apart(ours(tiny, steers(some, HINTS[::-1], weight=scales), image=SCENE, strength=0.6), wanted) >= 0.1


def test_inpaint_as_diffusers(tiny, networks):
    asked = {"mask_image": Image.fromarray(HOLE), "strength": 0.99, "width": 128, "height": 128}
    asked["controlnet_conditioning_scale"] = 1.0  # which is 0.5 there, if nothing is said
    wanted = told(tiny, "Inpaint", networks[:1], image=Image.fromarray(SCENE), **asked)
    given = {"image": SCENE, "mask": HOLE, "strength": 0.99}
    assert apart(ours(tiny, steers(networks[:1]), **given), wanted) <= 1e-3
    assert apart(ours(tiny, steers(networks[:1], HINTS[::-1]), **given), wanted) >= 0.05


def test_untrained_and_weightless_are_the_base_to_the_bit(tiny, networks, fresh):
    [[plain]] = Engine(tiny).paint([Request("a dog", steps=3)])
    for network, weight in ((fresh, 1.0), (networks[0], 0.0)):
        [[same]] = Engine(tiny).paint([Request("a dog", steps=3, controls=steers([network], weight=[weight]))])
        assert np.array_equal(same.pixels, plain.pixels)
    [[other]] = Engine(tiny).paint([Request("a dog", steps=3, controls=steers(networks[:1]))])
    assert (other.pixels != plain.pixels).mean() > 0.5
    assert np.array_equal(other.hints["canny"], HINTS[0])
    assert [c["name"] for c in other.recipe["control"]] == ["canny"] and "control" not in plain.recipe


def test_in_any_batch_each_is_what_it_is_alone(tiny, networks):
    turned = {n: {oft.NAME: 0.5 * torch.randn_like(q)} for n, q in oft.start(tiny.unet, 8).items()}
    worn = Worn(Adapter("oft", turned))
    asked = [
        Request("a dog", seed=1, steps=4),
        Request("a dog", seed=2, steps=4, controls=steers(networks[:1])),
        Request("a cat", seed=3, steps=5, controls=steers(networks[:1], HINTS[::-1]), sampler="heun", wears=(worn,)),
        Request("a dog", seed=4, steps=4, controls=steers(networks), image=SCENE, mask=HOLE),
        Request("a dog", seed=5, steps=4, controls=steers(networks[:1], end=[0.5])),
    ]
    for request, [mixed] in zip(asked, Engine(tiny).paint(asked), strict=True):
        [[alone]] = Engine(tiny).paint([request])
        gap = np.abs(alone.pixels.astype(float) - mixed.pixels)
        assert gap.mean() <= 0.1 and (gap <= 2).mean() >= 0.999
        assert alone.recipe == mixed.recipe
    taught, plain = (ours(tiny, steers(networks[:1]), wears=w) for w in ((worn,), ()))
    assert apart(taught, plain) >= 3e-3  # what is taught acts beside a control


@pytest.fixture(scope="module")
def turning(tiny):
    """A control that turns the UNet, as if it were trained."""
    made = turned.fresh(tiny)
    with torch.no_grad():
        for parameter in made.free.values():
            parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(0))
        for layer in made.encoder.modules():
            if isinstance(layer, torch.nn.Conv2d):
                layer.weight.normal_(std=2 / layer.weight[0].numel() ** 0.5, generator=torch.Generator().manual_seed(1))
    return made


def test_a_control_may_turn_the_network_itself(tiny, networks, turning, tmp_path):
    plain = ours(tiny, ())
    assert torch.equal(ours(tiny, steers([turned.fresh(tiny)])), plain)  # untrained
    assert torch.equal(ours(tiny, steers([turning], weight=[0.0])), plain)
    first, other = ours(tiny, steers([turning])), ours(tiny, steers([turning], HINTS[::-1]))
    assert apart(first, plain) >= 0.1 and apart(first, other) >= 0.05  # it acts, and sees its hint
    held = turned.load(turned.save(turning, tiny, tmp_path / "turning", hint="canny"), tiny)
    assert torch.equal(ours(tiny, steers([held])), first)
    asked = [
        Request("a dog", seed=1, steps=4),
        Request("a dog", seed=2, steps=4, controls=steers([turning])),
        Request("a dog", seed=3, steps=4, controls=steers([turning, networks[0]], end=[0.5, 1.0])),
        Request("a cat", seed=4, steps=4, controls=steers([turning], HINTS[::-1], weight=[0.5])),
    ]
    for request, [mixed] in zip(asked, Engine(tiny).paint(asked), strict=True):
        gap = np.abs(Engine(tiny).paint([request])[0][0].pixels.astype(float) - mixed.pixels)
        assert gap.mean() <= 0.1 and (gap <= 2).mean() >= 0.999


def test_a_hint_is_made_of_a_picture_as_large_as_is_painted(tiny, networks):
    large = np.kron(SCENE, np.ones((3, 3, 1), np.uint8))
    made = settled(Request("a dog", controls=(Steer("canny", networks[0], large, hint="canny"),)), tiny)
    assert made.size == (128, 128) and made.controls[0].picture.shape == (128, 128, 3)
    again = settled(Request("a dog", controls=(Steer("canny", networks[0], made.controls[0].picture),)), tiny)
    assert np.array_equal(again.controls[0].picture, made.controls[0].picture)  # a hint may be fed back


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"picture": np.zeros_like(SCENE)}, "black all over"),
        ({"picture": np.full_like(SCENE, 90), "hint": "canny"}, "black all over"),
        ({"picture": SCENE[:40]}, "128x40 is not of the shape 128x128"),
        ({"weight": -1.0}, "the weight of canny must be from 0 to 10"),
        ({"start": 0.5, "end": 0.4}, "from a share of the steps to a later one"),
        ({"start": 0.5, "end": 0.51}, "acts on no step, from 0.5 to 0.51 of 6 steps"),
        ({"hint": "cany"}, "Did you mean 'canny'"),
    ],
)
def test_what_cannot_be(tiny, networks, asked, said):
    steer = replace(Steer("canny", networks[0], SCENE), **asked)
    with pytest.raises(Wrong, match=said):
        Engine(tiny).submit(Request("a dog", size=(128, 128), controls=(steer,)))


def test_folders_are_diffusers_and_pickles_are_refused(tiny, networks, tmp_path):
    place = control.save(networks[0], tmp_path / "canny", hint="canny")
    assert control.facts(place) == {"hint": "canny"}
    other, own = ControlNetModel.from_pretrained(place), control.load(place, tiny)
    for name, tensor in networks[0].state_dict().items():
        assert torch.equal(other.state_dict()[name], tensor) and torch.equal(own.state_dict()[name], tensor)
    wide = copy.deepcopy(tiny.unet)
    wide.register_to_config(cross_attention_dim=48)
    with pytest.raises(Wrong, match="another UNet"):
        control.load(place, replace(tiny, unet=wide))
    (place / "diffusion_pytorch_model.safetensors").rename(place / "diffusion_pytorch_model.bin")
    with pytest.raises(Wrong, match="pickled"):
        control.load(place, tiny)
    with pytest.raises(Wrong, match="is no control"):
        control.load(tmp_path, tiny)


def test_what_a_control_differs_by_from_its_base_is_enough(tiny, tiny_folder, networks, tmp_path):
    rotated = copy.deepcopy(networks[0])
    with torch.no_grad():
        rotated.conv_in.weight += 0.05
    place = control.save_difference(rotated, tiny, tmp_path / "less", form="half", source=str(tiny_folder))
    held = weights.opened_folder(place)
    assert "conv_in.weight" in held and "down_blocks.0.resnets.0.conv1.weight" not in held  # a copy is not kept
    made = control.load(place, tiny)
    for name, tensor in rotated.state_dict().items():
        assert torch.allclose(made.state_dict()[name], tensor, atol=1e-3)
    moved = replace(tiny, unet=copy.deepcopy(tiny.unet), stored=None)
    with torch.no_grad():
        moved.unet.conv_in.weight += 1  # a model whose weights were moved: the base is found by its name
    again = control.load(place, moved).state_dict()
    assert all(torch.equal(again[n], t) for n, t in made.state_dict().items())
    other = control.save_difference(rotated, moved, tmp_path / "other", source=str(tiny_folder))
    with pytest.raises(Wrong, match="of other weights"):
        control.load(other, tiny)
