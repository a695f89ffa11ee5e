"""How fast samplers settle on a real painter, beside the exact mixture of `diffusion.convergence`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from remembrandt.conditions import text
from remembrandt.diffusion.convergence import Bench, advise, bench, curve
from remembrandt.diffusion.noise import Noise
from remembrandt.family.family import Family
from remembrandt.report import Event, Progress, silent

PROMPT, STARTS = "a red dog on the beach", 4


def on(family: Family) -> Bench:
    """Latents of `PROMPT` at the family's size and guidance, in its precision: the reference is Heun's at 100 steps."""
    tokens = text.encode(family, ["", PROMPT])
    side, guidance = family.record.size // family.factor, family.record.guidance

    @torch.inference_mode()
    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        t = torch.tensor([family.schedule.t(s) for s in sigma.tolist()])
        both = tokens.repeat_interleave(len(x), 0)
        nothing, prompt = family.denoise(torch.cat([x, x]), sigma.repeat(2), t.repeat(2), both).chunk(2)
        return torch.lerp(nothing, prompt, guidance)

    starts = [Noise(seed, (1, family.channels, side, side))() for seed in range(STARTS)]
    return Bench(denoise, family.schedule, torch.cat(starts).to(family.device), (5, 10, 20, 40), (10, 20, 40), 100)


def measure(names: Sequence[str], family: Family | None = None, progress: Progress = silent) -> dict[str, Any]:
    """`{bench, samplers, recommendation}`: `diffusion.convergence.curve` of each, on the family or the mixture."""
    ground = bench() if family is None else on(family)
    progress(Event("comparing", 0, len(names)))
    curves = []
    for number, name in enumerate(names, 1):
        curves.append(curve(ground, name))
        progress(Event("comparing", number, len(names)))
    about = "exact mixture of four Gaussians" if family is None else f"{family.name}, {PROMPT!r}"
    return {"bench": about, "samplers": curves, "recommendation": advise(curves, ground.calls)}
