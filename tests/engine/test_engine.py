"""Many requests, one batch: parity with diffusers, independence of neighbours, guidance, cancel, checks."""

import diffusers
import numpy as np
import pytest
import torch

from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import Worn
from remembrandt.diffusion.samplers import SAMPLERS
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.settings import Wrong

THEIRS = {
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "heun": ("HeunDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "dpmpp-2m": ("DPMSolverMultistepScheduler", {"timestep_spacing": "linspace"}),
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


def test_a_picture_does_not_depend_on_its_neighbours(tiny):
    """Another sampler, guidance, seed, adapter beside it: equal to the bit at equal batch shape."""
    mine = Request("a red dog", seed=1, steps=5, sampler="euler")
    tensors = {n: {oft.NAME: torch.full_like(t, 0.05)} for n, t in oft.start(tiny.unet, 8).items()}
    worn = Request("a car", seed=9, steps=5, sampler="ddim", wears=(Worn(Adapter("oft", tensors)),))
    plain = Request("a house", seed=9, steps=5, sampler="ddim")
    first, second = paint(tiny, mine, plain), paint(tiny, mine, worn)
    assert np.array_equal(first[0][0], second[0][0])
    assert not np.array_equal(first[1][0], second[1][0])
    [[alone]] = paint(tiny, mine)
    assert np.abs(alone.astype(float) - first[0][0]).mean() <= 0.1


def test_requests_of_every_kind_share_the_engine(tiny):
    requests = [
        Request("a dog", n=2, seed=1, steps=4, sampler=name, size=size, guidance=guidance)
        for name, size, guidance in zip(SAMPLERS, [(128, 128), (64, 128)] * 3, [0, 1, 4, 1, 4, 0], strict=True)
    ]
    for request, pictures in zip(requests, paint(tiny, *requests, max_rows=4), strict=True):
        assert [p.shape for p in pictures] == [(request.size[1], request.size[0], 3)] * 2
        assert not np.array_equal(*pictures)


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
    assert second.canceled and second.pictures == [None]
    [[alone]] = paint(tiny, Request("a dog", steps=4, sampler="heun"))
    assert np.abs(first.pictures[0].pixels.astype(float) - alone).mean() <= 0.1


def test_out_of_memory_halves_the_batch(tiny, monkeypatch):
    engine, real = Engine(tiny), tiny.denoise
    sizes = []

    def crowded(x, *rest):
        sizes.append(len(x))
        if len(x) > 2:
            raise torch.OutOfMemoryError("full")
        return real(x, *rest)

    monkeypatch.setattr(tiny, "denoise", crowded)
    [pictures] = engine.paint([Request("a dog", n=3, steps=2)])
    assert len(pictures) == 3 and max(sizes) == 6 and sizes[-1] == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"sampler": "eulr"}, {"steps": 0}, {"steps": 1001}, {"n": 0}, {"n": 65}, {"seed": -1}, {"guidance": float("nan")},
        {"guidance": -1}, {"size": (130, 128)}, {"size": (8, 128)}, {"task": "dance"},
    ],
)  # fmt: skip
def test_what_cannot_be_painted_is_one_line(tiny, wrong):
    with pytest.raises(Wrong) as fault:
        Engine(tiny).submit(Request("a dog", **wrong))
    assert "\n" not in str(fault.value)
