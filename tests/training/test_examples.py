"""Batches are a pure function of (seed, step, index)."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from remembrandt.training.examples import Example, draw, encode, load, save


def examples(*weights: float) -> list[Example]:
    draws = torch.Generator().manual_seed(0)
    return [
        Example(
            torch.randn(4, 8, 8, generator=draws), torch.rand(4, 8, 8, generator=draws), str(i), w
        )
        for i, w in enumerate(weights)
    ]


def same(a, b) -> bool:
    tensors = torch.equal(a.latents, b.latents) and torch.equal(a.noise, b.noise)
    return tensors and a.prompts == b.prompts and a.moments == b.moments


def test_a_batch_is_a_function_of_seed_and_step():
    some = examples(1, 1, 1)
    torch.manual_seed(1)
    first = draw(some, 7, 5, 6, 0.3)
    torch.manual_seed(2)
    draw(some, 7, 4, 6, 0.3)
    assert same(draw(some, 7, 5, 6, 0.3), first)
    assert not same(draw(some, 8, 5, 6, 0.3), first) and not same(draw(some, 7, 6, 6, 0.3), first)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_several_processes_draw_what_one_would(world):
    some = examples(1, 2)
    whole = draw(some, 3, 11, 6, 0.5)
    for rank in range(world):
        part = draw(some, 3, 11, 6, 0.5, slice(rank, None, world))
        assert torch.equal(part.latents, whole.latents[rank::world])
        assert part.prompts == whole.prompts[rank::world]
        assert part.moments == whole.moments[rank::world]


def test_weights_are_shares_from_the_first_draws_on():
    some = examples(1.0, 0.5, 0.5, 2.0)
    seen = Counter(p for step in range(10) for p in draw(some, 0, step, 8).prompts)
    for prompt, share in {"0": 0.25, "1": 0.125, "2": 0.125, "3": 0.5}.items():
        assert abs(seen[prompt] - 80 * share) <= 2


def mixed(priors: int) -> list[Example]:
    some = examples(*[1.0] * (3 + priors))
    return some[:3] + [replace(e, kind="past" if k % 2 else "class") for k, e in enumerate(some[3:])]


@pytest.mark.parametrize("batch", [2, 4, 8])
def test_every_step_holds_as_many_priors_as_photos(batch):
    for step in range(20):
        drawn = draw(mixed(5), 3, step, batch, prior=0.5)
        photos = [p for p in drawn.prompts if int(p) < 3]
        assert len(photos) == batch // 2
        assert sum(drawn.weights) == pytest.approx(1.5) and drawn.weights[1] == pytest.approx(1 / batch)


def test_batches_of_one_take_turns():
    prompts = [draw(mixed(5), 3, step, 1).prompts[0] for step in range(6)]
    assert [int(p) < 3 for p in prompts] == [True, False] * 3
    assert draw(mixed(5), 3, 1, 1, prior=0.5).weights == [0.5]


def test_photos_are_paired_with_priors_anew():
    """Each meets each, in about as many steps as chance would need; BIG ties a prior to one photo for good."""
    pairs = Counter()
    for step in range(120):
        prompts = draw(mixed(10), 0, step, 2).prompts
        pairs[prompts[0], prompts[1]] += 1
    assert len(pairs) == 30 and max(pairs.values()) <= 9


@pytest.mark.parametrize("world", [2, 4])
def test_several_processes_share_the_weights_of_one(world):
    whole = draw(mixed(5), 3, 7, 8)
    parts = [draw(mixed(5), 3, 7, 8, part=slice(r, None, world)) for r in range(world)]
    assert sum(sum(p.weights) for p in parts) == pytest.approx(sum(whole.weights)) == pytest.approx(2)


def test_a_weightless_example_is_never_drawn():
    seen = {p for step in range(50) for p in draw(examples(1, 0, 1, 0), 1, step, 4).prompts}
    assert seen == {"0", "2"}


def test_prompts_are_dropped_at_their_rate_and_noise_does_not_change_by_it():
    some = examples(1, 1)
    batches = [draw(some, 0, step, 8, 0.1) for step in range(250)]
    assert 0.08 < np.mean([not p for b in batches for p in b.prompts]) < 0.12
    assert torch.equal(batches[3].noise, draw(some, 0, 3, 8, 0.0).noise)


def test_times_cover_the_schedule_in_every_step():
    moments = np.array([draw(examples(1), 0, step, 8).moments for step in range(200)])
    assert ((moments >= 0) & (moments < 1)).all()
    assert (np.histogram(moments, 10, (0, 1))[0] > 120).all()
    assert all(set((row * 8).astype(int)) == set(range(8)) for row in moments)


def test_latents_are_drawn_from_the_cached_distribution():
    some = examples(1)
    drawn = torch.stack([draw(some, 0, step, 1).latents[0] for step in range(800)])
    assert ((drawn.mean(0) - some[0].mean).abs() < 5 * some[0].std / 800**0.5 + 1e-6).all()
    assert (drawn.std(0) / some[0].std.clamp_min(1e-9)).mean() == pytest.approx(1, abs=0.02)


def test_the_cache_is_bit_exact(tmp_path):
    some = examples(1, 0.25)
    some[1] = replace(some[1], kind="past", mask=torch.rand(1, 8, 8))
    save(some, tmp_path / "examples.safetensors")
    back = load(tmp_path / "examples.safetensors")
    assert [(e.prompt, e.weight, e.kind) for e in back] == [
        (e.prompt, e.weight, e.kind) for e in some
    ]
    assert back[0].mask is None and torch.equal(back[1].mask, some[1].mask)
    assert all(
        torch.equal(a.mean, b.mean) and torch.equal(a.std, b.std)
        for a, b in zip(some, back, strict=True)
    )


def test_photos_become_examples(tiny):
    squares = [np.full((128, 128, 3), 40 * i, np.uint8) for i in range(3)]
    plain = encode(tiny, squares, ["a brc dog"], weight=2.0)
    assert len(plain) == 3 and sum(e.weight for e in plain) == pytest.approx(2)
    assert plain[0].mean.shape == (4, 16, 16) and plain[0].mean.dtype == torch.float32
    both = encode(tiny, squares, ["a", "b"], flip=True)
    mask = np.zeros((128, 128), np.uint8)
    mask[:, :64] = 255
    seen = encode(tiny, squares[:1], ["a"], flip=True, masks=[mask])
    assert torch.equal(seen[0].mask, seen[1].mask.flip(-1)) and seen[0].mask[0, 3].tolist() == [1.0] * 8 + [0.0] * 8
    assert len(both) == 12 and sum(e.weight for e in both) == pytest.approx(1)
