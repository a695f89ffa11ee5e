"""The layer itself, and the defects of other implementations (reference/trainers.md section 4, a to
j).
"""

import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import Worn, merge, wear
from remembrandt.settings import Wrong
from tests.adapters.helpers import adapter, call, some


@pytest.fixture(scope="module")
def unet(tiny):
    return copy.deepcopy(tiny.unet).float().eval()


@pytest.fixture(scope="module")
def inputs(unet):
    return some(unet, 4)


def test_every_attention_is_turned_in_query_key_value_and_output(unet):  # j
    attentions = [n for n, _ in unet.named_modules() if n.endswith(("attn1", "attn2"))]
    wanted = {f"{n}.{part}" for n in attentions for part in ("to_q", "to_k", "to_v", "to_out.0")}
    assert attentions and set(oft.layers(unet)) == wanted == set(oft.start(unet, 8))


def test_only_linears_are_turned(
    unet,
):  # b, h: a convolution is left alone rather than turned wrongly
    assert all(isinstance(m, torch.nn.Linear) for m in oft.layers(unet).values())


def test_a_new_adapter_is_the_identity_to_the_bit(unet, inputs):  # b
    zero = Adapter("oft", {n: {"q": p} for n, p in oft.start(unet, 8).items()})
    plain = call(unet, *inputs)
    with wear(unet, [(Worn(zero),)] * 4):
        assert torch.equal(call(unet, *inputs), plain)


def test_one_cayley_with_one_sign():  # c
    q = torch.tensor([[[0.0, -0.5], [0.5, 0.0]]], dtype=torch.float64)
    eye, angle = torch.eye(2, dtype=torch.float64), 2 * math.atan(0.5)
    turn = torch.tensor(
        [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    ).double()
    assert torch.allclose(oft.cayley(q)[0], turn, atol=1e-7)
    assert torch.allclose(oft.cayley(q)[0], (eye + q[0]) @ torch.linalg.inv(eye - q[0]), atol=1e-14)
    assert torch.allclose(oft.cayley(-q), oft.cayley(q).mT, atol=1e-14)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from([2, 5, 16, 32]), st.floats(0.001, 3.0))
def test_a_rotation_however_far_it_turns(seed, block, size):  # d, e: no series whose terms run out
    packed = (
        size
        * torch.randn(
            3, block * (block - 1) // 2, generator=torch.Generator().manual_seed(seed)
        ).double()
    )
    rotation = oft.cayley(oft.skew(packed))
    off = rotation.mT @ rotation - torch.eye(block, dtype=torch.float64)
    assert off.abs().max() < 1e-11
    assert torch.allclose(torch.linalg.det(rotation), torch.ones(3, dtype=torch.float64))
    single = oft.prepare([({"layer": {"q": packed.float()}}, 1.0)])["layer"]
    assert (
        single.dtype == torch.float32 and (single.mT @ single - torch.eye(block)).abs().max() < 2e-5
    )


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.floats(1.0, 170.0), st.floats(0.001, 1000.0))
def test_no_plane_turns_beyond_the_angle(seed, angle, size):  # COFT, by angle
    free = size * torch.randn(
        4, 28, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    turns = torch.linalg.eigvals(oft.cayley(oft.skew(oft.bound(free, angle)))).angle().abs()
    assert torch.rad2deg(turns.max()) <= angle * (1 + 1e-9)


def test_the_bound_rewrites_no_parameter_and_is_smooth_at_zero():  # i
    free = torch.zeros(2, 28, requires_grad=True)
    oft.bound(free, 30).sum().backward()
    assert torch.equal(free.detach(), torch.zeros(2, 28)) and torch.allclose(
        free.grad, torch.ones(2, 28)
    )


def test_merged_is_worn(unet, inputs):  # b, g
    once, there = adapter(unet), copy.deepcopy(unet)
    plain = call(unet, *inputs)
    for strength in (1.0, 0.5, -1.0, 1.7):
        merge(there, once, strength)
        with wear(unet, [(Worn(once, strength),)] * 4):
            worn = call(unet, *inputs)
        assert (call(there, *inputs) - worn).norm() / worn.norm() <= 1e-5
        assert (worn - plain).norm() / plain.norm() >= 0.05
        merge(there, once, -strength)
    assert (call(there, *inputs) - plain).norm() / plain.norm() <= 1e-5


def test_each_layer_merged_is_worn():
    linear = torch.nn.Linear(63, 21)
    draw = torch.Generator().manual_seed(3)
    rotation = oft.cayley(oft.skew(torch.randn(9, 21, generator=draw)))
    x = torch.randn(7, 9, 63, generator=draw)
    merged = torch.nn.functional.linear(x, oft.merged(linear.weight, rotation), linear.bias)
    assert (merged - linear(oft.turn(x, rotation))).abs().max() < 1e-5


def test_strength_goes_from_the_base_to_the_concept_and_beyond(unet, inputs):  # g
    once, plain = adapter(unet, size=0.1), call(unet, *inputs)
    moved = []
    for strength in (0.0, 0.25, 0.5, 1.0, 1.5):
        with wear(unet, [(Worn(once, strength),)] * 4):
            moved.append(float((call(unet, *inputs) - plain).norm()))
    assert moved[0] == 0 and moved == sorted(moved) and len(set(moved)) == 5


def test_several_concepts_have_no_order_and_keep_orthogonality(unet, inputs):
    a, b = adapter(unet, 1), adapter(unet, 2, block=16)
    outputs = []
    for outfit in ((Worn(a), Worn(b, 0.7)), (Worn(b, 0.7), Worn(a))):
        with wear(unet, [outfit] * 4):
            outputs.append(call(unet, *inputs))
    assert torch.equal(*outputs)
    total = oft.prepare([(a.tensors, 1.0), (b.tensors, 0.7)])
    for rotation in total.values():
        assert (rotation.mT @ rotation - torch.eye(rotation.shape[-1])).abs().max() < 1e-5


def test_hyperspherical_energy_is_kept(unet):
    once, before = adapter(unet), {n: m.weight.double() for n, m in oft.layers(unet).items()}
    for layer, rotation in oft.prepare(
        [({n: {"q": t["q"].double()} for n, t in once.tensors.items()}, 1.0)]
    ).items():
        after = oft.merged(before[layer], rotation)
        was, now = oft.hyperspherical_energy(before[layer]), oft.hyperspherical_energy(after)
        assert abs(now - was) / was <= 1e-6
        assert (after - before[layer]).norm() / before[layer].norm() > 0.05  # and yet it moved
        noise = torch.randn(
            before[layer].shape, generator=torch.Generator().manual_seed(0)
        ).double()
        changed = oft.hyperspherical_energy(before[layer] + noise * before[layer].std())
        assert abs(changed - was) / was > 1e-6  # the measure can tell


def test_hyperspherical_energy_of_a_square():
    corners = torch.tensor([[1.0, 0], [0, 2], [-3, 0], [0, -1]])
    assert oft.hyperspherical_energy(corners) == pytest.approx(8 / math.sqrt(2) + 4 / 2)


def test_a_width_that_the_block_does_not_divide(unet):  # h
    odd = torch.nn.ModuleDict({"attn1": torch.nn.ModuleDict({"to_q": torch.nn.Linear(45, 7)})})
    wrapped = torch.nn.ModuleDict({"net": odd})
    assert oft.start(wrapped, 32)["net.attn1.to_q"].shape == (3, 15 * 14 // 2)


def test_gradient_of_the_rotation():
    free = (
        (0.3 * torch.randn(2, 6, generator=torch.Generator().manual_seed(0)))
        .double()
        .requires_grad_()
    )
    x = torch.randn(3, 5, 8, generator=torch.Generator().manual_seed(1)).double()

    def out(p):
        return oft.turn(x, oft.prepare([({"layer": {"q": oft.bound(p, 40)}}, 1.0)])["layer"])

    assert torch.autograd.gradcheck(out, (free,))


def test_a_damaged_adapter_is_not_merged(unet):  # h: the finite check
    bad = adapter(unet)
    layer = next(iter(bad.tensors))
    bad.tensors[layer]["q"][0, 0] = float("nan")
    with pytest.raises(Wrong, match="finite"):
        merge(copy.deepcopy(unet), bad)
