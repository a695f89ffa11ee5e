"""What a lesson takes: counted memory against what autograd really keeps, and the options that make it fit."""

import copy

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

from remembrandt.report import Event
from remembrandt.training import cost, methods
from remembrandt.training.cost import GIGA, Cost, fitted

OPTIONS = {"batch": 8, "gradient_accumulation": 1, "gradient_checkpointing": False, "steps": 300}


@pytest.mark.parametrize(
    ("room", "batch", "times", "sparing"),
    [(50.5, 8, 1, False), (40, 4, 2, False), (24, 2, 4, False), (15.5, 1, 8, False), (12, 1, 8, True), (1, 1, 8, True)],
)
def test_what_fits(room, batch, times, sparing):
    price = Cost(10, 5, 1, room / cost.SPARE)  # type: ignore[arg-type]
    found = fitted(OPTIONS, price, ())
    told = found["batch"], found["gradient_accumulation"], found["gradient_checkpointing"]
    assert told == (batch, times, sparing) and (price.peak(found) <= room or room == 1)
    assert fitted(OPTIONS, price, OPTIONS) == OPTIONS  # what the user said stays
    assert fitted(OPTIONS, price, (), least=2)["batch"] == max(2, batch)


def test_memory_is_counted_as_autograd_keeps_it(tiny):
    family = copy.deepcopy(tiny)
    method = methods.method("dreambooth", {})
    told = cost.count(family, methods.moved(method))
    family.unet.requires_grad_(True)
    own = {p.data_ptr() for p in family.unet.parameters()}
    seen: dict[int, int] = {}

    def keep(t):
        seen[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    x, tokens = torch.randn(1, 4, 16, 16), torch.randn(1, 77, 32)
    with saved_tensors_hooks(keep, lambda t: t), cost.plain_attention(family.unet):
        out = family.unet(x, 5, encoder_hidden_states=tokens).sample
    real = sum(size for place, size in seen.items() if place not in own)
    assert out.requires_grad and told.row == pytest.approx(real, rel=0.02)
    frozen = cost.count(family, ())
    assert 0 < frozen.spared < frozen.row < told.row and frozen.held < told.held and told.room > GIGA // 8
    whole = sum(p.numel() for p in family.unet.parameters())
    assert told.held - frozen.held == 12 * whole  # gradients and two moments


def test_the_line_says_what_was_chosen(tiny):
    plain = cost.line(tiny, OPTIONS, Cost(GIGA, GIGA // 8, 1, 4 * GIGA), 0.5)
    assert "about 2.0 of 4.0 free GiB" in plain and "2 minutes on cpu in fp32 (300 steps, batch 8)" in plain
    tight = cost.line(tiny, fitted(OPTIONS, Cost(GIGA, GIGA, GIGA, 1), ()), Cost(GIGA, GIGA, GIGA, 1), 0.01)
    assert "more than there is" in tight and "batch 1, 8 of them a step, gradient checkpointing" in tight
    assert "less than a minute" in tight
    assert cost.pace(tiny, OPTIONS) > 0


def test_a_wrong_pace_is_put_right_once(monkeypatch):
    for seconds, said in ((1.0, 0), (10.0, 1)):
        clock, told = [0.0], []
        monkeypatch.setattr(cost.time, "monotonic", lambda clock=clock: clock[0])
        tell = cost.corrected(told.append, seconds)
        for step in range(1, 40):
            clock[0] += 1.0
            tell(Event("teaching", step, 100))
        lines = [e.message for e in told if e.message]
        assert len(lines) == said and all("takes 1 s, not 10 s" in line for line in lines)
