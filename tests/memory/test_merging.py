"""Concepts merged without training: the mean, and the least squares that beat it on their own inputs."""

import copy

import pytest
import torch

from remembrandt.memory import merging
from tests.adapters.helpers import adapter, call, low_rank, some


def test_the_mean_of_one_is_that_one(tiny):
    one = low_rank(tiny.unet)
    mean = merging.mean(tiny.unet, [one])
    assert mean.keys() == merging.merged(tiny.unet, one).keys() == one.tensors.keys()
    assert all(torch.equal(w, merging.merged(tiny.unet, one)[n]) for n, w in mean.items())


def test_who_leaves_a_layer_alone_votes_for_the_base(tiny):
    full, part = low_rank(tiny.unet), low_rank(tiny.unet, seed=1)
    layer = next(iter(full.tensors))
    part = type(part)("lora", {n: t for n, t in part.tensors.items() if n != layer})
    base = tiny.unet.get_submodule(layer).weight
    halfway = (merging.merged(tiny.unet, full)[layer] + base) / 2
    assert torch.allclose(merging.mean(tiny.unet, [full, part])[layer], halfway, atol=1e-6)


def test_grams_are_those_of_the_inputs(tiny):
    x, t, tokens = some(tiny.unet, 2)
    name = next(n for n in low_rank(tiny.unet).tensors if n.endswith("attn2.to_k"))
    gram = merging.grams(tiny.unet, [name], lambda: call(tiny.unet, x, t, tokens))[name]
    rows = tokens.flatten(0, 1).double()
    assert torch.allclose(gram, rows.mT @ rows / len(rows))
    assert not tiny.unet.get_submodule(name)._forward_pre_hooks


@pytest.mark.parametrize("decay", [1.0, 0.9])
def test_regmean_is_the_minimum(decay):
    """Of its own objective: no step in any direction betters it, and the mean is worse."""
    draw = torch.Generator().manual_seed(0)
    weights = [{"a": torch.randn(3, 4, generator=draw)} for _ in range(3)]
    inputs = [torch.randn(40, 4, generator=draw, dtype=torch.float64) * torch.rand(4, generator=draw) for _ in range(3)]
    grams = [{"a": x.mT @ x / len(x)} for x in inputs]
    calm = [merging._calm(g["a"], decay) for g in grams]

    def cost(w):
        return sum(
            torch.trace((w.double() - v["a"].double()) @ g @ (w.double() - v["a"].double()).mT)
            for v, g in zip(weights, calm, strict=True)
        )

    best = merging.regmean(weights, grams, decay)["a"]
    assert cost(best) < cost(sum(v["a"] for v in weights) / 3)
    for _ in range(5):
        assert cost(best) <= cost(best + 0.01 * torch.randn(3, 4, generator=draw))


def test_regmean_of_equals_is_the_same(tiny):
    weights = merging.merged(tiny.unet, adapter(tiny.unet))
    x, t, tokens = some(tiny.unet, 3)
    grams = merging.grams(tiny.unet, [*weights], lambda: call(tiny.unet, x, t, tokens))
    found = merging.regmean([weights, weights], [grams, grams])
    assert all(torch.allclose(found[n], w, atol=1e-4) for n, w in weights.items())
    own = copy.deepcopy(tiny.unet)
    merging.put(own, found)
    assert not torch.equal(call(own, x, t, tokens), call(tiny.unet, x, t, tokens))
