"""One batch, many adapters: each picture is what it would be alone."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from remembrandt.adapters.adapter import TEXT, Adapter
from remembrandt.adapters.wear import Worn
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from tests.adapters.helpers import adapter, low_rank


@pytest.fixture(scope="module")
def eight(tiny):
    """Requests by the method, rank and strength of what they wear; the last wears nothing."""
    turn, wide = adapter(tiny.unet, 1, block=8), adapter(tiny.unet, 2, block=16)
    thin, thick, odd = (low_rank(tiny.unet, seed, rank) for seed, rank in ((3, 2), (4, 16), (5, 5)))
    draw = torch.Generator().manual_seed(6)
    rows = torch.randn(2, 32, generator=draw)
    layer = f"{TEXT}encoder.layers.0.self_attn.v_proj"
    pair = {"down": torch.randn(3, 32, generator=draw), "up": torch.randn(32, 3, generator=draw)}
    dressed = Adapter("lora", {layer: pair})
    outfits = {
        "oft": (Worn(turn),), "oft, half": (Worn(turn, 0.5),),
        "oft, other block, prompt row": (Worn(wide, 1, "prompt"),),
        "lora": (Worn(thin),), "lora, other rank, beyond": (Worn(thick, 1.5),),
        "lora and oft": (Worn(odd, 0.7), Worn(turn)), "text encoder": (Worn(dressed),), "nothing": (),
    }  # fmt: skip
    asked = {
        name: Request("a red dog", seed=k, steps=3, guidance=3.0, wears=wears)
        for k, (name, wears) in enumerate(outfits.items())
    }
    return asked | {"textual inversion": Request("a brc dog", seed=9, steps=3, guidance=3.0, words={"brc": rows})}


def paint(family, requests) -> list[np.ndarray]:
    return [p[0].pixels for p in Engine(family).paint(requests)]


def test_each_bites(eight, tiny):
    for name, request in eight.items():
        bare = replace(request, wears=(), words={})
        gap = np.abs(np.subtract(*paint(tiny, [request, bare]), dtype=float)).mean()
        assert gap > 1 or name == "nothing", name


def test_each_is_what_it_would_be_alone(eight, tiny):
    requests = list(eight.values())
    together = paint(tiny, requests)
    for k, name in enumerate(eight):
        # At the same batch shape, to the bit: the others wear nothing, and then other things.
        beside = [r if i == k else replace(r, wears=()) for i, r in enumerate(requests)]
        assert np.array_equal(together[k], paint(tiny, beside)[k]), name
    [alone] = paint(tiny, requests[:1])
    gap = np.abs(np.subtract(together[0], alone, dtype=float))
    assert gap.mean() <= 0.1 and (gap <= 2).mean() >= 0.999


def test_eight_adapters_of_one_shape_are_one_product_a_layer(tiny, monkeypatch):
    """What keeps their cost near that of one adapter."""
    from remembrandt.adapters import wear

    calls = []
    kind = wear.KINDS["lora"]
    counted = replace(kind, added=lambda layer, *rest: calls.append(layer) or kind.added(layer, *rest))
    monkeypatch.setitem(wear.KINDS, "lora", counted)
    adapters = [low_rank(tiny.unet, seed, rank=rank) for seed, rank in zip(range(8), itertools.cycle((5, 8)))]
    request = Request("a dog", steps=1, guidance=1.0, sampler="ddim")
    for wears in ([adapters[0]] * 8, adapters):
        calls.clear()
        paint(tiny, [replace(request, seed=k, wears=(Worn(a),)) for k, a in enumerate(wears)])
        assert len(calls) == len(adapters[0].tensors)


def test_what_is_prepared_is_forgotten_with_its_request(eight, tiny):
    engine = Engine(tiny)
    engine.paint(list(eight.values()))
    assert not engine._wardrobe._prepared and not engine._wardrobe._batches
