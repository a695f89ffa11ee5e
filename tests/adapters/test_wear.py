"""The gate in the network: who wears what in a batch."""

import copy

import pytest
import torch

from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import Wardrobe, Worn, wear
from remembrandt.settings import Wrong
from tests.adapters.helpers import adapter, call, some


@pytest.fixture(scope="module", params=[torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def unet(tiny, request):
    return copy.deepcopy(tiny.unet).to(request.param).eval()


@pytest.fixture(scope="module")
def inputs(unet):
    return some(unet, 6)


def test_rows_that_wear_nothing_are_untouched_to_the_bit(unet, inputs):
    a, b, plain = adapter(unet, 1), adapter(unet, 2), call(unet, *inputs)
    with wear(unet, [(), (Worn(a),), (), (Worn(a), Worn(b)), (Worn(b, 0.5),), ()]):
        mixed = call(unet, *inputs)
    for row in (0, 2, 5):
        assert torch.equal(mixed[row], plain[row])
    for row in (1, 3, 4):
        assert (mixed[row] - plain[row]).float().norm() / plain[row].float().norm() > 0.05


def test_a_row_does_not_depend_on_what_its_neighbours_wear(unet, inputs):
    a, b, c = (adapter(unet, seed) for seed in (1, 2, 3))
    outputs = []
    for others in (
        [()] * 5,
        [(Worn(a),)] * 5,
        [(Worn(b),), (Worn(c),), (Worn(b), Worn(c)), (), (Worn(a, 0.3),)],
    ):
        with wear(unet, [(Worn(a),), *others]):
            outputs.append(call(unet, *inputs)[0])
    assert torch.equal(outputs[0], outputs[1]) and torch.equal(outputs[0], outputs[2])


def test_nothing_is_left_on_the_network(unet, inputs):
    plain, names = call(unet, *inputs), [type(m) for m in unet.modules()]
    with pytest.raises(RuntimeError, match="stop"), wear(unet, [(Worn(adapter(unet)),)] * 6):
        raise RuntimeError("stop")
    assert names == [type(m) for m in unet.modules()]
    assert not any(m._forward_pre_hooks or m._forward_hooks for m in oft.layers(unet).values())
    assert torch.equal(call(unet, *inputs), plain)


def test_what_is_prepared_is_prepared_once(unet, inputs, monkeypatch):
    wardrobe, outfit, made = Wardrobe(unet), (Worn(adapter(unet)),), []
    original = oft.cayley
    monkeypatch.setattr(oft, "cayley", lambda q: made.append(1) or original(q))
    for _ in range(3):
        with wardrobe([outfit] * 6):
            call(unet, *inputs)
    assert len(made) == len({t["q"].shape[-1] for t in outfit[0].adapter.tensors.values()})


def test_an_adapter_of_another_network_is_refused(unet):
    foreign = Adapter("oft", {"mid_block.nowhere.to_q": {"q": torch.zeros(2, 28)}})
    layer = next(iter(oft.layers(unet)))
    wide = Adapter("oft", {layer: {"q": torch.zeros(1000, 28)}})
    for bad in (foreign, wide):
        with pytest.raises(Wrong, match="does not fit"), wear(unet, [(Worn(bad),)]):
            pass
    with pytest.raises(Wrong, match="kind"), wear(unet, [(Worn(Adapter("hat", {})),)]):
        pass
