"""Our LoRA layer: parity with peft in what it computes and learns, merging, rank, convolutions."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from peft import LoraConfig, inject_adapter_in_model
from torch import nn

from remembrandt.adapters import lora
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import KINDS, Fit, Worn, hooked, merge, wear
from remembrandt.settings import Wrong
from tests.adapters.helpers import call, low_rank, some

LINEARS = ["to_q", "to_k", "to_v", "to_out.0"]


@pytest.fixture(scope="module")
def unet(tiny):
    return copy.deepcopy(tiny.unet).float().eval()


@pytest.fixture(scope="module")
def inputs(unet):
    return some(unet, 4)


def theirs(unet, pairs, rank, alpha):
    """The network with peft's layers, holding the same pairs."""
    made = copy.deepcopy(unet)
    inject_adapter_in_model(LoraConfig(r=rank, lora_alpha=alpha, target_modules=LINEARS, lora_dropout=0.0), made)
    with torch.no_grad():
        for name, pair in pairs.items():
            layer = made.get_submodule(name)
            layer.lora_A["default"].weight.copy_(pair["down"])
            layer.lora_B["default"].weight.copy_(pair["up"])
    return made


def test_the_same_output_as_peft(unet, inputs):
    rank, alpha, plain = 4, 2.0, call(unet, *inputs)
    pairs = low_rank(unet, rank=rank).tensors
    scaled = {n: {"down": p["down"], "up": p["up"] * (alpha / rank)} for n, p in pairs.items()}
    with wear(unet, [(Worn(Adapter("lora", scaled)),)] * 4):
        ours = call(unet, *inputs)
    other = call(theirs(unet, pairs, rank, alpha), *inputs)
    assert (ours - plain).norm() / plain.norm() >= 0.1
    assert (ours - other).norm() / other.norm() <= 1e-5


def test_the_same_gradient_step_as_peft(unet, inputs):
    rank, alpha, rate = 4, 8.0, 1e-2
    start = low_rank(unet, rank=rank).tensors
    x, t, tokens = inputs
    wanted = torch.randn(x.shape, generator=torch.Generator().manual_seed(3))
    other = theirs(unet, start, rank, alpha)
    ours = {f"{n}.{k}": nn.Parameter(v.clone()) for n, pair in start.items() for k, v in pair.items()}

    def parts(layer):
        return ours[f"{layer}.down"], ours[f"{layer}.up"] * (alpha / rank)

    fits = {layer: [Fit(KINDS["lora"], parts(layer))] for layer in start}
    moving = {n: p for n, p in other.named_parameters() if p.requires_grad}
    with hooked(unet, fits):
        (unet(x, t, encoder_hidden_states=tokens).sample - wanted).square().mean().backward()
    (other(x, t, encoder_hidden_states=tokens).sample - wanted).square().mean().backward()
    before = {n: p.detach().clone() for n, p in ours.items()}
    for parameters in (ours, moving):
        torch.optim.SGD(list(parameters.values()), lr=rate).step()
    assert len(moving) == len(ours)
    for name, mine in ours.items():
        layer, _, half = name.rpartition(".")
        their = moving[f"{layer}.lora_{'A' if half == 'down' else 'B'}.default.weight"]
        step, gap = (mine - before[name]).norm(), (mine - their).norm()
        assert step > 0 and gap <= 1e-4 * step + 1e-9, name


def test_a_new_adapter_is_the_base_to_the_bit(unet, inputs):
    plain = call(unet, *inputs)
    fresh = Adapter("lora", lora.start(lora.layers(unet), 4, seed=0))
    with wear(unet, [(Worn(fresh),)] * 4):
        assert torch.equal(call(unet, *inputs), plain)
    again = lora.start(lora.layers(unet), 4, seed=0)
    assert all(torch.equal(again[n]["down"], fresh.tensors[n]["down"]) for n in again)


def test_what_is_taught(unet):
    few, more = lora.layers(unet), lora.layers(unet, feed_forward=True)
    blocks = [n for n, _ in unet.named_modules() if n.endswith("transformer_blocks.0")]
    assert len(few) == 8 * len(blocks) and len(more) == 10 * len(blocks)


def test_merged_is_worn_and_unmerged_is_the_base(unet, inputs):
    once, there, plain = low_rank(unet), copy.deepcopy(unet), call(unet, *inputs)
    for strength in (1.0, 0.5, -1.0):
        undo = merge(there, once, strength)
        with wear(unet, [(Worn(once, strength),)] * 4):
            worn = call(unet, *inputs)
        assert (call(there, *inputs) - worn).norm() / worn.norm() <= 1e-5
        assert (worn - plain).norm() / plain.norm() >= 0.05
        undo()
        assert torch.equal(call(there, *inputs), plain)
    merge(there, once)
    merge(there, once, -1.0)
    assert (call(there, *inputs) - plain).norm() / plain.norm() <= 1e-5


def test_several_are_the_sum_of_their_differences(unet, inputs):
    a, b, there = low_rank(unet, 1, rank=3), low_rank(unet, 2, rank=6), copy.deepcopy(unet)
    merge(there, a, 0.7)
    merge(there, b, 0.4)
    wanted = call(there, *inputs)
    for outfit in ((Worn(a, 0.7), Worn(b, 0.4)), (Worn(b, 0.4), Worn(a, 0.7))):
        with wear(unet, [outfit] * 4):
            got = call(unet, *inputs)
        assert (got - wanted).norm() / wanted.norm() <= 1e-5


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=3))
def test_ranks_are_padded_to_their_own_bucket(ranks):
    pair = {r: {"layer": {"down": torch.ones(r, 5), "up": torch.ones(7, r)}} for r in ranks}
    down, up = lora.prepare([(pair[r], 0.5) for r in ranks])["layer"]
    total = sum(ranks)
    assert down.shape[0] == up.shape[1] and total <= down.shape[0] < max(5, 2 * total)
    assert torch.allclose(up @ down, torch.full((7, 5), 0.5 * total))


@pytest.mark.parametrize(("kernel", "stride", "padding"), [(1, 1, 0), (3, 1, 1), (3, 2, 1)])
def test_convolutions(kernel, stride, padding):
    draw = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(6, 10, kernel, stride, padding)
    x = torch.randn(3, 6, 9, 7, generator=draw)
    adapters = [
        Adapter("lora", {"0": {"down": torch.randn(r, 6, kernel, kernel, generator=draw),
                               "up": torch.randn(10, r, 1, 1, generator=draw)}})
        for r in (2, 5)
    ]  # fmt: skip
    network, wanted = nn.Sequential(layer), []
    for row, outfit in enumerate(([adapters[0]], [], adapters)):
        there = copy.deepcopy(network)
        for each in outfit:
            merge(there, each)
        wanted.append(there(x[row : row + 1]))
    with wear(network, [tuple(Worn(a) for a in outfit) for outfit in ([adapters[0]], [], adapters)]), torch.no_grad():
        got = network(x)
    assert torch.allclose(got, torch.cat(wanted), atol=1e-4) and (got[0] - layer(x)[0]).abs().max() > 0.1
    assert torch.equal(got[1], layer(x)[1])


def test_what_does_not_fit_is_refused(unet):
    layer = next(iter(lora.layers(unet)))
    wide = Adapter("lora", {layer: {"down": torch.zeros(4, 999), "up": torch.zeros(32, 4)}})
    flat = Adapter("lora", {"conv_in": {"down": torch.zeros(4, 4), "up": torch.zeros(32, 4)}})
    for bad in (wide, flat):
        with pytest.raises(Wrong, match="does not fit"), wear(unet, [(Worn(bad),)]):
            pass


def test_the_nearest_pair():
    difference = torch.randn(20, 3) @ torch.randn(3, 12)
    exact, near = lora.nearest(difference, 5), lora.nearest(difference, 2)
    assert torch.allclose(exact["up"] @ exact["down"], difference, atol=1e-5)
    lost = (near["up"] @ near["down"] - difference).norm()
    assert torch.isclose(lost, torch.linalg.svdvals(difference)[2], rtol=1e-3) and near["up"].shape == (20, 2)
