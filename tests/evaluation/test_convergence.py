"""Samplers compared on a painter: its latents, its guidance."""

from __future__ import annotations

from dataclasses import replace

import torch

from remembrandt.diffusion.convergence import curve
from remembrandt.evaluation.convergence import on


def test_on_a_painter(tiny):
    ground = on(tiny)
    ground = replace(ground, noise=ground.noise[:2], steps=(4, 8, 16), calls=(4,), far=32)
    assert ground.noise.shape == (2, 4, 16, 16)
    euler, heun = curve(ground, "euler"), curve(ground, "heun")
    assert euler["points"][-1]["error"] < euler["points"][0]["error"]
    assert heun["points"][-1]["error"] < euler["points"][-1]["error"]
    assert [p["calls"] for p in euler["points"]] == [4, 8, 16] and euler["used"][0]["steps"] == 4
    x, sigma = ground.noise * 3, torch.full((2,), 3.0)
    guided = replace(tiny, record=replace(tiny.record, guidance=1.0))
    assert not torch.allclose(ground.denoise(x, sigma), on(guided).denoise(x, sigma), atol=1e-2)
