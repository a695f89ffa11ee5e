"""Levels are the published ones, and level and timestep are inverses."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
)
from hypothesis import given, settings
from hypothesis import strategies as some

from remembrandt.diffusion.samplers import SAMPLERS
from remembrandt.diffusion.schedule import GRIDS, from_config, scaled_linear

SD1 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}

GOLDEN = {  # ten levels between SD 1's ends
    "linspace": "14.61464 7.83988 4.60917 2.91831 1.95016 1.34493 0.93236 0.62498 0.36866 0.02917",
    "karras": "14.61464 9.10293 5.47839 3.16860 1.74942 0.91407 0.44692 0.20140 0.08191 0.02917",
    "leading": "8.39068 5.13443 3.34776 2.29285 1.62369 1.16822 0.83565 0.57405 0.34619 0.04131",
    "trailing": "14.61464 8.30280 5.08776 3.32108 2.27646 1.61289 1.16058 0.82986 0.56928 0.34167",
    "dpm-solver": "14.61464 8.30280 5.08776 3.32108 2.27646 1.61828 1.16439 0.83275 0.57167 0.34393",
}


@pytest.mark.parametrize("grid", GOLDEN)
def test_golden(grid):
    expected = [float(s) for s in GOLDEN[grid].split()]
    assert GRIDS[grid](scaled_linear(), 10) == pytest.approx(expected, abs=1.5e-5)


def test_exponential_levels_are_diffusers():
    scheduler = EulerDiscreteScheduler(**SD1, use_exponential_sigmas=True)
    scheduler.set_timesteps(11)
    assert GRIDS["exponential"](scaled_linear(), 10) == pytest.approx(scheduler.sigmas.tolist()[:10], rel=1e-4)
    assert GOLDEN.keys() | {"exponential"} == GRIDS.keys()


def test_ends():
    schedule = scaled_linear()
    assert schedule.alphas_cumprod[0].item() == pytest.approx(0.99915, abs=1e-6)
    assert schedule.alphas_cumprod[-1].item() == pytest.approx(0.0046601, abs=1e-7)
    assert schedule.sigma_min == pytest.approx(0.0291672, abs=1e-7)
    assert schedule.sigma_max == pytest.approx(14.6146412, abs=2e-5)
    assert SAMPLERS["ddim"].scale(schedule.sigma_max) == pytest.approx(14.6488135, abs=2e-5)


def test_karras_asks_between_timesteps():
    schedule = scaled_linear()
    times = [schedule.t(s) for s in GRIDS["karras"](schedule, 10)]
    expected = [999, 916.284, 815.045, 687.153, 523.198, 327.146, 145.938, 40.856, 6.732, 0]
    assert times == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize("steps", [7, 20, 30, 50])
@pytest.mark.parametrize(
    ("name", "peer", "options"),
    [
        ("euler", EulerDiscreteScheduler, {"timestep_spacing": "linspace"}),
        ("dpmpp-2m", DPMSolverMultistepScheduler, {}),
        ("dpmpp-2m-karras", DPMSolverMultistepScheduler, {"use_karras_sigmas": True}),
    ],
)
def test_as_diffusers(name, peer, options, steps):
    scheduler = peer(**SD1, **options)
    scheduler.set_timesteps(steps)
    ours = SAMPLERS[name].sigmas(scaled_linear(), steps)
    assert ours == pytest.approx(scheduler.sigmas.tolist(), rel=1e-4)  # theirs is linear in sigma
    times = [SAMPLERS[name].t(scaled_linear(), s) for s in ours[:-1]]
    assert times == pytest.approx(scheduler.timesteps.tolist(), abs=0.5 if "karras" in name else 0.02)


@pytest.mark.parametrize("steps", [7, 15, 20, 50])
def test_ddim_timesteps(steps):
    scheduler = DDIMScheduler(**SD1, steps_offset=1)
    scheduler.set_timesteps(steps)
    row, schedule = SAMPLERS["ddim"], scaled_linear()
    assert [row.t(schedule, s) for s in row.sigmas(schedule, steps)] == [*scheduler.timesteps.tolist(), 0]


@settings(deadline=None)
@given(some.sampled_from(sorted(SAMPLERS)), some.integers(1, 1000))
def test_levels_fall(name, steps):
    sigmas = SAMPLERS[name].sigmas(scaled_linear(), steps)
    assert len(sigmas) == steps + 1
    assert all(a >= b for a, b in pairwise(sigmas))


@settings(deadline=None)
@given(some.floats(0, 999))
def test_level_and_timestep_are_inverses(t):
    schedule = scaled_linear()
    assert schedule.t(schedule.sigma(t)) == pytest.approx(t, abs=1e-6)


def test_zero_terminal_snr_is_clamped():
    config = {**SD1, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}
    schedule = from_config(config)
    peer = EulerDiscreteScheduler(**config)
    assert schedule.prediction == "v"
    assert schedule.sigma_max == 4096 * (1 - 2**-24) ** 0.5
    assert torch.allclose(schedule.alphas_cumprod[:-1], peer.alphas_cumprod[:-1].double(), rtol=1e-4)


@pytest.mark.parametrize("fault", [{"prediction_type": "sample"}, {"beta_schedule": "squaredcos_cap_v2"}])
def test_unknown_kinds_are_refused(fault):
    with pytest.raises(ValueError, match="unknown"):
        from_config(SD1 | fault)
