"""Identity on real photos, of any family and without a judge: how well the network denoises them when it is told whom
it sees. Pairs (photo, time, noise) are numbered, so that two states of a model are compared on equal ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from remembrandt.adapters.wear import Outfit, wear
from remembrandt.conditions import text
from remembrandt.conditions.spatial import to_tensor
from remembrandt.family.family import Family

GOLDEN = (5**0.5 - 1) / 2
ROWS = 8  # a call; always as many, for at another batch shape the last bits differ
NOISE = 7_919  # the first seed


@torch.inference_mode()
def losses(
    family: Family,
    photos: Sequence[np.ndarray],
    prompt: str,
    words: Mapping[str, Tensor] | None = None,
    wears: Outfit = (),
    *,
    masks: Sequence[np.ndarray] = (),
    first: int = 0,
    last: int = 16,
) -> NDArray[np.float64]:
    """The mean squared error of the noise seen in pair k, k = first ... last - 1; (last - first,), at least 0.

    `photos` are uint8 (s, s, 3), `masks` uint8 (s, s) of each, if any: what is black counts nothing. Times are a
    golden-ratio sequence over the schedule, so that any stretch of pairs sees all of it (Li et al. 2023, "Your
    diffusion model is secretly a zero-shot classifier", eq. 5 and section 4).
    """
    means = [family.encode(to_tensor(p))[0] for p in photos]
    shares = [_share(mask, means[0].shape[-2:]) for mask in masks] or [torch.ones(1, 1, 1, 1)]
    tokens = text.encode(family, [prompt], words)
    bars, found = family.schedule.alphas_cumprod, []
    for start in range(first, last, ROWS):
        pairs = range(start, start + ROWS)
        clean = torch.cat([means[k % len(means)] for k in pairs]).float()
        noise = torch.cat([_noise(k, means[0].shape) for k in pairs]).to(clean)
        times = [int((0.5 + k * GOLDEN) % 1.0 * len(bars)) for k in pairs]
        bar = torch.tensor([float(bars[t]) for t in times], dtype=torch.float64)
        sigmas = ((1 - bar) / bar).sqrt().float()
        sigma = sigmas.to(clean.device).view(-1, 1, 1, 1)
        with wear(family.unet, [wears] * ROWS):
            seen = family.denoise(
                clean + sigma * noise, sigmas, torch.tensor(times, dtype=torch.float32), tokens.expand(ROWS, -1, -1)
            )
        share = torch.cat([shares[k % len(shares)] for k in pairs]).to(clean)
        found += (((seen - clean) / sigma).square() * share).mean((1, 2, 3)).double().tolist()
    return np.array(found[: last - first])


def _share(mask: np.ndarray, size: Sequence[int]) -> Tensor:
    """A mask over latents (1, 1, h, w), of mean 1, so that losses stay comparable."""
    grey = F.adaptive_avg_pool2d(torch.tensor(mask).float()[None, None], (size[0], size[1]))
    return grey / grey.mean()


def _noise(number: int, shape: torch.Size) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(NOISE + number))
