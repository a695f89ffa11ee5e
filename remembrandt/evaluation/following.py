"""How well pictures follow their prompts: by the family's own CLIP where it has both towers, else by its denoiser."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file

from remembrandt.evaluation import denoising, features
from remembrandt.family.family import Family

PROJECTION = "text_encoder/projection.safetensors"
CLIP, DENOISER = "CLIP-T", "denoising contrast"


def measure(family: Family) -> str:
    """Which of the two measures the family allows."""
    place = family.folder / PROJECTION if family.folder else None
    return CLIP if family.image_encoder is not None and place and place.is_file() else DENOISER


def following(family: Family, pictures: Sequence[np.ndarray], prompts: Sequence[str], plain: str) -> float:
    """The mean over pictures (uint8 (s, s, 3)), each with its own of the `prompts`, which name no identifier.

    `CLIP-T`: the cosine of picture and prompt, in [-1, 1] (Ruiz et al. 2022, section 4.2). `denoising contrast`: the
    share of the loss under `plain` that goes when the denoiser is told the prompt instead, at most 1 (after Li et al.
    2023, "Your diffusion model is secretly a zero-shot classifier").
    """
    if measure(family) == CLIP:
        seen = features.encoded(family, pictures)
        return float((seen * _told(family, prompts)).sum(1).mean())
    shares = []
    for picture, prompt in zip(pictures, prompts, strict=True):
        told, untold = (denoising.losses(family, [picture], p, last=denoising.ROWS).mean() for p in (prompt, plain))
        shares.append(1 - told / untold)
    return float(np.mean(shares))


@torch.inference_mode()
def _told(family: Family, prompts: Sequence[str]) -> np.ndarray:
    """Prompts in the space that both towers share: unit vectors (n, d)."""
    assert family.folder is not None
    weight = load_file(family.folder / PROJECTION)["weight"].float()
    ids = family.tokenizer(list(prompts), padding="max_length", truncation=True, return_tensors="pt").input_ids
    pooled = family.text_encoder(ids.to(family.device)).pooler_output
    return F.normalize(pooled.float().cpu() @ weight.T, dim=-1).double().numpy()
