"""The update rules against diffusers' schedulers, on a real network, at their levels and timesteps."""

from __future__ import annotations

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
)

from remembrandt.conditions import text
from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.samplers import SAMPLERS, finish
from tests.diffusion.drive import drive

SD1 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
MULTI = {"algorithm_type": "dpmsolver++", "solver_order": 2, "solver_type": "midpoint"}
DDIM = {"clip_sample": False, "set_alpha_to_one": False, "steps_offset": 1}
PEERS = {
    "ddim": DDIMScheduler(**SD1, **DDIM),
    "euler": EulerDiscreteScheduler(**SD1, timestep_spacing="linspace"),
    "euler-a": EulerAncestralDiscreteScheduler(**SD1, timestep_spacing="linspace"),
    "heun": HeunDiscreteScheduler(**SD1, timestep_spacing="linspace"),
    "dpmpp-2m": DPMSolverMultistepScheduler(**SD1, **MULTI),
    "dpmpp-2m-karras": DPMSolverMultistepScheduler(**SD1, **MULTI, use_karras_sigmas=True),
}
SHAPE = (1, 4, 16, 16)


def test_every_sampler_has_a_peer():
    assert PEERS.keys() == SAMPLERS.keys()


@pytest.mark.parametrize("steps", [20, 7])
@pytest.mark.parametrize("name", sorted(SAMPLERS))
@torch.no_grad()
def test_same_latents(tiny, name, steps):
    tokens = text.encode(tiny, ["", "a red dog"])
    theirs = peer(tiny, PEERS[name], steps, tokens)
    mine = ours(tiny, name, PEERS[name], tokens)
    assert ((mine - theirs).norm() / theirs.norm()).item() <= 1e-4


@torch.no_grad()
def test_the_prompt_moves_the_latents(tiny):
    """Else the parity above would hold for a network that does not look."""
    one, other = (peer(tiny, PEERS["euler"], 7, text.encode(tiny, ["", p])) for p in ("a red dog", "a house"))
    assert ((one - other).norm() / one.norm()).item() >= 0.1


def guided(out):
    return out[:1] + 4 * (out[1:] - out[:1])


def peer(tiny, scheduler, steps, tokens):
    scheduler.set_timesteps(steps)
    generator = torch.Generator("cpu").manual_seed(1)
    chance = {"generator": generator} if isinstance(scheduler, EulerAncestralDiscreteScheduler) else {}
    x = torch.randn(SHAPE, generator=generator) * scheduler.init_noise_sigma
    for t in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, t)
        out = guided(tiny.unet(torch.cat([seen, seen]), t, tokens).sample)
        x = scheduler.step(out, t, x, **chance).prev_sample
    return x


def ours(tiny, name, scheduler, tokens):
    row, times = SAMPLERS[name], scheduler.timesteps.tolist()
    if name == "ddim":
        sigmas = [tiny.schedule.sigmas[t] for t in (*times, 0)]
    else:
        sigmas = list(dict.fromkeys(scheduler.sigmas.tolist()))  # Heun's stand twice
        times = list(dict.fromkeys(times))
    at, noise = dict(zip(sigmas, times, strict=False)), Noise(1, SHAPE)

    def denoise(x, sigma):
        times = torch.tensor([float(at[sigma])] * 2)
        return guided(tiny.denoise(torch.cat([x, x]), torch.tensor([sigma] * 2), times, tokens))

    found = drive(row.function(noise() * row.scale(sigmas[0]), sigmas, noise), denoise)
    return finish(found, sigmas[-1])
