"""Many requests, one batch: parity with diffusers, independence of neighbours, guidance, cancel, checks."""

import copy
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import get_args

import diffusers
import numpy as np
import pytest
import torch

from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import By, Worn
from remembrandt.diffusion.samplers import SAMPLERS
from remembrandt.diffusion.solver import dpm_adaptive
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.family.family import NotFinite
from remembrandt.settings import Wrong

THEIRS = {
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "heun": ("HeunDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "dpm2-a": ("KDPM2AncestralDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "dpmpp-2m": ("DPMSolverMultistepScheduler", {"timestep_spacing": "linspace"}),
    "plms": ("PNDMScheduler", {"skip_prk_steps": True, "timestep_spacing": "leading"}),
    "unipc": ("UniPCMultistepScheduler", {"timestep_spacing": "linspace", "solver_order": 2}),
}


@pytest.fixture(scope="module")
def pipeline(tiny_folder):
    made = diffusers.StableDiffusionPipeline.from_pretrained(tiny_folder)
    made.set_progress_bar_config(disable=True)
    return made


def paint(family, *requests, **options):
    return [[p.pixels for p in pictures] for pictures in Engine(family, **options).paint(list(requests))]


@pytest.mark.parametrize("name", THEIRS)
def test_the_same_picture_as_diffusers(name, tiny, pipeline):
    kind, options = THEIRS[name]
    pipeline.scheduler = getattr(diffusers, kind).from_config(pipeline.scheduler.config, **options)
    seeded = torch.Generator().manual_seed(3)
    theirs = pipeline(
        "a red dog",
        negative_prompt="snow",
        num_inference_steps=8,
        guidance_scale=5.0,
        generator=seeded,
        output_type="np",
    ).images[0]
    [[ours]] = paint(tiny, Request("a red dog", "snow", seed=3, steps=8, guidance=5.0, sampler=name))
    gap = np.abs((theirs * 255).round() - ours)
    assert gap.mean() <= 0.05 and gap.max() <= 2


def test_conditions_bite(tiny):
    """Without this the tests here could not fail: another prompt, seed or guidance is another picture."""
    base = Request("a red dog", seed=1, steps=4)
    others = [
        Request("a blue car", seed=1, steps=4),
        Request("a red dog", seed=2, steps=4),
        Request("a red dog", seed=1, steps=4, guidance=9),
    ]
    [[a]] = paint(tiny, base)
    for other in others:
        [[b]] = paint(tiny, other)
        assert np.abs(a.astype(float) - b).mean() > 3


def test_nothing_wears_half(tiny):
    """Guided away from the concept at half its strength: other pictures than by both rows or the prompt's alone."""
    request = Request("a dog", seed=4, steps=2, guidance=3.0)
    made = {by: Engine(tiny).paint([replace(request, wears=(worn(tiny, by),))])[0][0].pixels for by in get_args(By)}
    assert len({m.tobytes() for m in made.values()}) == 3
    _, nothing = replace(request, wears=(replace(worn(tiny, "half"), strength=0.8),)).outfits
    assert [w.strength for w in nothing] == [0.4]


def worn(family, by="both") -> Worn:
    tensors = {n: {oft.NAME: torch.full_like(t, 0.05)} for n, t in oft.start(family.unet, 8).items()}
    return Worn(Adapter("oft", tensors), by=by)


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_a_picture_does_not_depend_on_its_neighbours(tiny, precision):
    """Another sampler, guidance, seed, adapter beside it: equal to the bit at equal batch shape."""
    family = replace(tiny, unet=copy.deepcopy(tiny.unet).to(precision), dtype=precision)
    mine = Request("a red dog", seed=1, steps=5, sampler="euler")
    dressed = Request("a car", seed=9, steps=5, sampler="ddim", wears=(worn(family),))
    plain = Request("a house", seed=9, steps=5, sampler="ddim")
    first, second = paint(family, mine, plain), paint(family, mine, dressed)
    third = paint(family, dressed, mine)
    assert np.array_equal(first[0][0], second[0][0])
    assert np.array_equal(first[0][0], third[1][0])
    assert not np.array_equal(first[1][0], second[1][0])


def test_nor_on_how_many_they_are(tiny):
    mine = Request("a red dog", seed=1, steps=5)
    [[alone]], [[beside], *_] = paint(tiny, mine), paint(tiny, mine, Request("a house", n=5, steps=3))
    gap = np.abs(alone.astype(float) - beside)
    assert gap.mean() <= 0.1 and (gap <= 2).mean() >= 0.999


def test_who_wears(tiny):
    """Worn by the prompt's row alone, "nothing" stays the base's; at strength 0 nothing is worn."""
    asked = Request("a dog", seed=1, steps=3)
    rows = [replace(asked, wears=w) for w in ((), (worn(tiny),), (worn(tiny, "prompt"),))]
    bare, both, prompt = (paint(tiny, r)[0][0] for r in rows)
    assert not np.array_equal(both, prompt) and not np.array_equal(bare, prompt)
    off = replace(worn(tiny), strength=0.0)
    assert np.array_equal(bare, paint(tiny, replace(asked, wears=(off,)))[0][0])
    unguided = [replace(r, guidance=0) for r in (rows[0], rows[2])]
    assert np.array_equal(*(paint(tiny, r)[0][0] for r in unguided))


def test_requests_of_every_kind_share_the_engine(tiny):
    requests = [
        Request("a dog", n=2, seed=1, steps=4, sampler=name, size=size, guidance=guidance)
        for name, size, guidance in zip(list(SAMPLERS)[::4], [(128, 128), (64, 128)] * 3, [0, 1, 4, 1, 4], strict=False)
    ]
    for request, pictures in zip(requests, paint(tiny, *requests, max_rows=4), strict=True):
        assert [p.shape for p in pictures] == [(request.size[1], request.size[0], 3)] * 2
        assert not np.array_equal(*pictures)


@pytest.fixture(scope="module")
def everyone(tiny):
    """One request a sampler, and the engine's answer to all of them in one batch."""
    requests = [Request("a red dog", seed=k, steps=3, sampler=name) for k, name in enumerate(SAMPLERS)]
    return requests, paint(tiny, *requests)


@pytest.mark.parametrize("name", SAMPLERS)
def test_all_samplers_in_one_batch_paint_as_each_alone(tiny, everyone, name):
    requests, pictures = everyone
    k = list(SAMPLERS).index(name)
    [[alone]] = paint(tiny, requests[k])
    gap, other = (np.abs(alone.astype(float) - pictures[i][0]) for i in (k, k - 1))
    assert gap.mean() <= 0.1 and (gap <= 2).mean() >= 0.999
    assert other.mean() >= 1  # a neighbour's noise would show


def test_the_adaptive_sampler_stops_and_says_so(tiny, monkeypatch):
    """Its total is foreseen by log sigma, and exact in the end; out of calls, recipe and progress tell."""
    asked, seen = Request("a dog", seed=1, sampler="dpm-adaptive", n=2), []
    found = Engine(tiny).paint([asked], seen.append)[0]
    assert seen[-1].step == seen[-1].total < 2 * SAMPLERS["dpm-adaptive"].max_calls
    shares = [e.step / e.total for e in seen]
    assert all(0 < share <= 1 for share in shares) and shares[len(shares) // 2] < 0.9
    assert "stopped" not in found[0].recipe and not any(e.message for e in seen)

    row = replace(SAMPLERS["dpm-adaptive"], function=partial(dpm_adaptive, max_calls=20), max_calls=20)
    monkeypatch.setitem(SAMPLERS, "dpm-adaptive", row)
    seen.clear()
    stopped = Engine(tiny).paint([asked], seen.append)[0]
    assert [p.recipe["stopped"] for p in stopped] == [20, 20]
    assert [e.message for e in seen if e.message] == [
        f"dpm-adaptive was stopped at 20 model calls: seed {seed}" for seed in (1, 2)
    ]
    assert max(e.step for e in seen) == 40 and not np.array_equal(stopped[0].pixels, found[0].pixels)


def test_picture_k_has_seed_plus_k(tiny):
    [two] = paint(tiny, Request("a dog", n=2, seed=4, steps=3))
    [[second]] = paint(tiny, Request("a dog", seed=5, steps=3), max_rows=2)
    assert np.abs(two[1].astype(float) - second).mean() <= 0.1


def test_guidance_zero_paints_without_the_prompt_and_one_without_nothing(tiny):
    [[a]], [[b]] = (paint(tiny, Request(p, guidance=0, steps=3)) for p in ("a dog", "a blue car"))
    assert np.array_equal(a, b)
    [[c]], [[d]] = (paint(tiny, Request("a dog", n, guidance=1, steps=3)) for n in ("", "snow"))
    assert np.array_equal(c, d) and not np.array_equal(a, c)


def test_long_prompts_are_read_to_the_end(tiny):
    long = "a red dog on the beach " * 20
    [[a]], [[b]] = (paint(tiny, Request(long + end, steps=3)) for end in ("in snow", "in the city"))
    assert not np.array_equal(a, b)


def test_join_cancel_and_count(tiny):
    engine = Engine(tiny)
    first = engine.submit(Request("a dog", steps=4, sampler="heun"))
    engine.step()
    second = engine.submit(Request("a cat", steps=3))
    engine.step()
    engine.cancel(second)
    while engine.step():
        pass
    assert first.done and first.calls == first.total == 7
    assert second.canceled and second.done and second.pictures == []
    [[alone]] = paint(tiny, Request("a dog", steps=4, sampler="heun"))
    assert np.abs(first.pictures[0].pixels.astype(float) - alone).mean() <= 0.1


def test_progress_counts_calls_and_may_stop(tiny):
    seen = []
    engine = Engine(tiny)
    engine.paint([Request("a dog", steps=3, n=2), Request("a cat", steps=2, sampler="heun")], seen.append)
    assert [e.step for e in seen] == [3, 6, 9] and {e.total for e in seen} == {9}

    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        engine.paint([Request("a dog", steps=3)], stop)
    assert not engine.step()


@contextmanager
def crowded(unet, most):
    """A device on which only so many rows fit."""
    sizes = []

    def full(module, args):
        sizes.append(len(args[0]))
        if len(args[0]) > most:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = unet.register_forward_pre_hook(full)
    yield sizes
    handle.remove()


def test_out_of_memory_halves_the_batch(tiny):
    request = Request("a dog", n=3, steps=2)
    with crowded(tiny.unet, 2) as sizes:
        [pictures] = paint(tiny, request)
    assert sizes[:2] == [6, 3] and max(sizes[-3:]) <= 2
    [roomy] = paint(tiny, request)
    assert all(np.abs(a.astype(float) - b).mean() <= 0.1 for a, b in zip(pictures, roomy, strict=True))
    with crowded(tiny.unet, 0), pytest.raises(Wrong, match="smaller --size"):
        paint(tiny, request)


def test_a_fault_ends_its_own_request_only(tiny):
    engine = Engine(tiny)
    broken = {"brc": torch.full((1, 32), float("nan"))}
    lost = engine.submit(Request("a brc dog", steps=2, n=2, words=broken))
    sound = engine.submit(Request("a dog", steps=3))
    while engine.step():
        pass
    assert lost.done and len(sound.pictures) == 1
    with pytest.raises(NotFinite, match="not finite"):
        _ = lost.pictures


def test_taught_words_are_encoded_anew(tiny):
    """Two models' `brc` are two words, and neither is remembered for the other."""
    engine = Engine(tiny)
    rows = torch.randn(2, 1, 32, generator=torch.Generator().manual_seed(0))
    asked = [Request("a brc dog", steps=2, words={"brc": row}) for row in rows]
    [[a]], [[b]], [[c]] = (engine.paint([r]) for r in (*asked, Request("a brc dog", steps=2)))
    assert not np.array_equal(a.pixels, b.pixels) and not np.array_equal(a.pixels, c.pixels)
    again = engine.paint([asked[0]])[0][0]
    assert np.array_equal(a.pixels, again.pixels)


@pytest.mark.parametrize(
    "wrong",
    [
        {"sampler": "eulr"}, {"sampler": ""}, {"steps": 0}, {"steps": 1001}, {"steps": 2.5}, {"n": 0}, {"n": 65},
        {"seed": -1}, {"seed": 2**63}, {"guidance": float("nan")}, {"guidance": -1}, {"guidance": "7"},
        {"size": (130, 128)}, {"size": (8, 128)}, {"size": (128,)}, {"task": "dance"},
    ],
)  # fmt: skip
def test_what_cannot_be_painted_is_one_line(tiny, wrong):
    with pytest.raises(Wrong) as fault:
        Engine(tiny).submit(Request("a dog", **wrong))
    assert "\n" not in str(fault.value)


def test_packed_weights_follow_the_network(tiny):
    """One picture takes the packed way: it paints what the plain way paints, also after a change."""
    family = replace(tiny, unet=copy.deepcopy(tiny.unet))
    engine, request = Engine(family), Request("a red dog", seed=1, steps=3)

    def apart() -> float:
        [[packed]] = engine.paint([request])
        [[plain], _] = engine.paint([request, replace(request, n=3)])
        return np.abs(packed.pixels.astype(float) - plain.pixels).mean()

    before = engine.paint([request])[0][0].pixels
    assert apart() <= 0.1
    with torch.no_grad():
        family.unet.conv_out.weight.mul_(0.5)
    assert apart() <= 0.1
    assert not np.array_equal(before, engine.paint([request])[0][0].pixels)
    assert not any({"_conv_forward", "forward"} & vars(m).keys() for m in family.unet.modules())
