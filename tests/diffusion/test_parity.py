"""The update rules against diffusers' schedulers, on a real network, at their levels and timesteps.

Four of the guide's samplers have no counterpart there: `dpmpp-2s-a`, its Karras form, `dpm-fast` and `dpm-adaptive`.
"""

from __future__ import annotations

import importlib
import sys
from itertools import pairwise
from types import ModuleType

import diffusers
import numpy as np
import pytest
import torch

from remembrandt.conditions import text
from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.samplers import SAMPLERS, finish
from tests.diffusion.drive import drive

SD1 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
LINE, KARRAS = {"timestep_spacing": "linspace"}, {"timestep_spacing": "linspace", "use_karras_sigmas": True}
MULTI = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"}
DDIM = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
PEERS = {
    "ddim": ("ddim.DDIMScheduler", DDIM),
    "plms": ("pndm.PNDMScheduler", {"skip_prk_steps": True, "set_alpha_to_one": False, "steps_offset": 1}),
    "euler": ("euler_discrete.EulerDiscreteScheduler", LINE),
    "euler-a": ("euler_ancestral_discrete.EulerAncestralDiscreteScheduler", LINE),
    "heun": ("heun_discrete.HeunDiscreteScheduler", LINE),
    "lms": ("lms_discrete.LMSDiscreteScheduler", LINE),
    "lms-karras": ("lms_discrete.LMSDiscreteScheduler", KARRAS),
    "dpm2": ("k_dpm_2_discrete.KDPM2DiscreteScheduler", LINE),
    "dpm2-karras": ("k_dpm_2_discrete.KDPM2DiscreteScheduler", KARRAS),
    "dpm2-a": ("k_dpm_2_ancestral_discrete.KDPM2AncestralDiscreteScheduler", LINE),
    "dpm2-a-karras": ("k_dpm_2_ancestral_discrete.KDPM2AncestralDiscreteScheduler", KARRAS),
    "dpmpp-2m": ("dpmsolver_multistep.DPMSolverMultistepScheduler", MULTI),
    "dpmpp-2m-karras": ("dpmsolver_multistep.DPMSolverMultistepScheduler", MULTI | KARRAS),
    "dpmpp-sde": ("dpmsolver_sde.DPMSolverSDEScheduler", LINE),
    "dpmpp-sde-karras": ("dpmsolver_sde.DPMSolverSDEScheduler", KARRAS),
    "unipc": ("unipc_multistep.UniPCMultistepScheduler", {"solver_order": 2, "solver_type": "bh2"}),
}
ALONE = {"dpmpp-2s-a", "dpmpp-2s-a-karras", "dpm-fast", "dpm-adaptive"}
SHAPE = (1, 4, 16, 16)


@pytest.fixture(autouse=True)
def borrowed(monkeypatch):
    """What diffusers would import for two of them: torchsde, whose noise ours replaces, and SciPy's `quad`."""

    def quad(f, low, high, **_):
        points, weights = np.polynomial.legendre.leggauss(8)  # exact for their cubics
        centre, half = (low + high) / 2, (high - low) / 2
        return float(half * sum(w * f(centre + half * p) for p, w in zip(points, weights, strict=True))), 0.0

    monkeypatch.setitem(sys.modules, "torchsde", ModuleType("torchsde"))
    lms = importlib.import_module("diffusers.schedulers.scheduling_lms_discrete")
    integrate = ModuleType("integrate")
    integrate.quad = quad
    monkeypatch.setattr(lms, "integrate", integrate, raising=False)


def scheduler(name):
    path, options = PEERS[name]
    module, kind = path.split(".")
    return getattr(importlib.import_module(f"diffusers.schedulers.scheduling_{module}"), kind)(**SD1, **options)


def test_every_sampler_has_a_peer_or_is_known_to_have_none():
    assert PEERS.keys() | ALONE == SAMPLERS.keys()
    assert not any(hasattr(diffusers, kind) for kind in ("DPMSolver2SAncestralScheduler", "DPMSolverAdaptiveScheduler"))


@pytest.mark.parametrize("steps", [20, 7])
@pytest.mark.parametrize("name", sorted(PEERS))
@torch.no_grad()
def test_same_latents(tiny, name, steps):
    tokens = text.encode(tiny, ["", "a red dog"])
    theirs = peer(tiny, name, steps, tokens)
    mine = ours(tiny, name, steps, tokens)
    assert ((mine - theirs).norm() / theirs.norm()).item() <= 1e-4


@torch.no_grad()
def test_the_prompt_moves_the_latents(tiny):
    """Else the parity above would hold for a network that does not look."""
    one, other = (peer(tiny, "euler", 7, text.encode(tiny, ["", p])) for p in ("a red dog", "a house"))
    assert ((one - other).norm() / one.norm()).item() >= 0.1


@pytest.mark.parametrize("name", sorted(PEERS.keys() - {"euler", "ddim"}))
@torch.no_grad()
def test_and_no_other_rule_has_them(tiny, name):
    """Euler on the same levels, with the same noise where there is some, is elsewhere."""
    tokens = text.encode(tiny, ["", "a red dog"])
    theirs, other = peer(tiny, name, 7, tokens), "euler-a" if SAMPLERS[name].stochastic else "euler"
    if name == "euler-a":
        other = "euler"
    assert ((ours(tiny, name, 7, tokens, other) - theirs).norm() / theirs.norm()).item() >= 1e-3


def guided(out):
    return out[:1] + 4 * (out[1:] - out[:1])


def peer(tiny, name, steps, tokens):
    theirs, noise = scheduler(name), Noise(1, SHAPE)
    theirs.set_timesteps(steps)
    chance = {"generator": noise._generator} if SAMPLERS[name].stochastic and "sde" not in name else {}
    x = noise() * theirs.init_noise_sigma
    if "sde" in name:
        theirs.noise_sampler = lambda s, t: noise.path(float(s), float(t))
    for t in theirs.timesteps:
        seen = theirs.scale_model_input(x, t)
        out = guided(tiny.unet(torch.cat([seen, seen]), t, tokens).sample)
        x = theirs.step(out, t, x, **chance).prev_sample
    return x


def ours(tiny, name, steps, tokens, rule=None):
    """Asked at the peer's timesteps, one after another, whatever the level."""
    row, theirs = SAMPLERS[rule or name], scheduler(name)
    theirs.set_timesteps(steps)
    if name in ("ddim", "plms"):
        sigmas = [tiny.schedule.sigmas[t] for t in (*dict.fromkeys(theirs.timesteps.tolist()), 0)]
    else:
        sigmas = list(dict.fromkeys(theirs.sigmas.tolist()))  # of two calls a step, each stands twice
    assert all(a > b for a, b in pairwise(sigmas))
    times = iter(theirs.timesteps.tolist() if rule is None else [tiny.schedule.t(s) for s in sigmas])
    noise = Noise(1, SHAPE)

    def denoise(x, sigma):
        at = torch.tensor([float(next(times))] * 2)
        return guided(tiny.denoise(torch.cat([x, x]), torch.tensor([sigma] * 2), at, tokens))

    first = noise() * SAMPLERS[name].scale(sigmas[0])
    found = finish(drive(row.function(first, sigmas, noise), denoise), sigmas[-1])
    assert rule or next(times, None) is None  # as many calls
    return found
