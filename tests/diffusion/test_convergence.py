"""The bench itself: its denoiser is exact, orders come out as in theory, and what does not settle is told."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from remembrandt.diffusion.convergence import MODES, SPREAD, advise, bench, curve, mixture
from remembrandt.diffusion.samplers import SAMPLERS


@pytest.fixture(scope="module")
def small():
    return replace(bench(16), far=600, calls=(10, 20))


def test_the_denoiser_is_exact():
    """Tweedie: E[x0 | x] = x + sigma^2 grad log p(x)."""
    x = (4 * torch.randn(50, 2, dtype=torch.float64)).requires_grad_()
    sigma = torch.logspace(-1.5, 1.2, 50, dtype=torch.float64)
    wide = (SPREAD**2 + sigma.square())[:, None]
    density = torch.logsumexp(-(x[:, None] - MODES).square().sum(-1) / (2 * wide), 1).sum()
    [slope] = torch.autograd.grad(density, x)
    assert torch.allclose(mixture(x, sigma), x + sigma.square()[:, None] * slope)


@pytest.mark.parametrize(("name", "order"), [("euler", 1), ("heun", 2), ("dpmpp-2m", 2), ("unipc", 3), ("plms", 2)])
def test_observed_orders(small, name, order):
    found = curve(small, name)
    assert found["order"] == pytest.approx(order, abs=0.2) and found["converges"] is True
    row = SAMPLERS[name]
    assert [p["calls"] for p in found["points"]] == [row.calls * n + row.warmup for n in small.steps]
    assert "own_order" not in found


def test_adaptive_walks_go_one_by_one(small):
    found = curve(small, "dpm-adaptive")
    assert found["converges"] and found["order"] > 2.5 and len(found["used"]) == 1


@pytest.mark.parametrize(("name", "settles"), [("euler-a", False), ("dpmpp-sde", True)])
def test_what_adds_noise_does_not_come_to_the_flow(small, name, settles):
    found = curve(small, name)
    assert found["converges"] is False
    assert (found["own_order"] > 0.3) is settles


def test_a_rule_that_errs_is_found_out(small, monkeypatch):
    def wrong(x, sigmas, noise):
        return 1.01 * (yield from SAMPLERS["heun"].function(x, sigmas, noise))

    monkeypatch.setitem(SAMPLERS, "wrong", replace(SAMPLERS["heun"], function=wrong))
    assert curve(small, "wrong")["converges"] is False


def test_advice_names_the_nearest_for_the_calls_and_what_never_settles(small):
    said = advise([curve(small, name) for name in ("euler", "dpmpp-2m-karras", "euler-a")], small.calls)
    assert "20 calls: dpmpp-2m-karras with 20 steps" in said and said.endswith("another picture with euler-a.")
    assert "None of these settles" in advise([curve(small, "euler-a")], small.calls)
