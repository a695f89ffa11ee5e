"""Pictures as conditions: one token each, the embedding that a family's image encoder gives them.

How a picture is brought to the encoder belongs to the model (`Record.resize`): one that was trained on a resize without
antialiasing is poor with any other. "Nothing" is zeros. With one token cross-attention gives every place the same,
linear in the embedding, so that what is added to an embedding is added to each layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from remembrandt.family.family import Family
from remembrandt.family.parts import PUBLISHED
from remembrandt.settings import Wrong, nearest

PROJECTION = "text_encoder/projection.safetensors"
FITS = ("squash", "crop")
RESIZES = ("bicubic", "bilinear")


def preprocessed(pictures: Sequence[np.ndarray] | np.ndarray, resize: Mapping[str, Any], side: int) -> Tensor:
    """uint8 pictures (h, w, 3), or one array (n, h, w, 3), to the (n, 3, side, side) that a CLIP image encoder sees.

    `resize` holds `resize` (bicubic or bilinear), `antialias`, `align_corners`, `fit` (squash, or crop: the shorter
    side is fitted and the middle kept) and `clamp` (to [0, 1], since cubics overshoot); what it lacks is as published.
    `Wrong` if there is no such fit or resize. Normalised by CLIP's mean and standard deviation.
    """
    how = {**PUBLISHED, **resize}
    for what, options in (("fit", FITS), ("resize", RESIZES)):
        if how[what] not in options:
            hint = nearest(str(how[what]), options)
            raise Wrong(f"the model's preprocessing has no {what} {how[what]!r}.{hint} There are: {', '.join(options)}")
    batches = [pictures] if isinstance(pictures, np.ndarray) and pictures.ndim == 4 else [p[None] for p in pictures]
    x = torch.cat([_resized(np.ascontiguousarray(batch), how, side) for batch in batches])
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    return (x - mean) / std


def _resized(pictures: np.ndarray, how: Mapping[str, Any], side: int) -> Tensor:
    x = torch.tensor(pictures).permute(0, 3, 1, 2).float() / 255
    high, wide = x.shape[2:]
    scale = side / min(high, wide)
    size = (side, side) if how["fit"] == "squash" else (max(side, int(high * scale)), max(side, int(wide * scale)))
    ways = {key: bool(how[key]) for key in ("align_corners", "antialias")}
    x = F.interpolate(x, size, mode=how["resize"], **ways)
    top, left = (size[0] - side) // 2, (size[1] - side) // 2
    x = x[..., top : top + side, left : left + side]
    return x.clamp(0, 1) if how["clamp"] else x


@torch.no_grad()
def embedded(family: Family, pixels: Tensor) -> Tensor:
    """What `preprocessed` gives, or any tensor like it, to embeddings (n, D) in fp32, neither scaled nor normalised."""
    tower = family.image_encoder
    if tower is None:
        raise Wrong(f"{family.name} has no image encoder: name one that has with --model, for example variations")
    side = family.eye
    if pixels.ndim != 4 or pixels.shape[1:] != (3, side, side):
        raise Wrong(f"{family.name} sees tensors of (n, 3, {side}, {side}), not {tuple(pixels.shape)}")
    return tower(pixels.to(tower.device, tower.dtype)).image_embeds.float()


@torch.no_grad()
def spoken(family: Family, texts: Sequence[str]) -> Tensor:
    """Texts in the space that both towers share: embeddings (n, D) in fp32, of a length of their own.

    `Wrong` if the family has no text tower, or none that is projected there.
    """
    place = family.folder / PROJECTION if family.folder else None
    if not family.reads or place is None or not place.is_file():
        raise Wrong(f"{family.name} has no text tower beside its image encoder: give it pictures only")
    weight = load_file(place)["weight"].float()
    ids = family.tokenizer(list(texts), padding="max_length", truncation=True, return_tensors="pt").input_ids
    pooled = family.text_encoder(ids.to(family.device)).pooler_output
    return (pooled.float().cpu() @ weight.T).to(family.device)


def alike(x: Tensor, like: Tensor) -> Tensor:
    """`x` (..., D) at the length of `like`: texts and pictures differ in it, and the length is a weight of its own."""
    return F.normalize(x, dim=-1) * like.norm(dim=-1, keepdim=True)


def summed(tokens: Tensor, weights: Sequence[float]) -> Tensor:
    """(n, D) to one (D): the sum by shares, as Kandinsky mixes."""
    shares = torch.tensor(weights, device=tokens.device)
    return (tokens * (shares / shares.sum())[:, None]).sum(0)


def slerped(tokens: Tensor, weights: Sequence[float]) -> Tensor:
    """(n, D) to one (D), along great circles (Shoemake 1985), one after another; the length goes in proportion."""
    found, total = tokens[0], weights[0]
    for token, weight in zip(tokens[1:], weights[1:], strict=True):
        total += weight
        found = _slerp(found, token, weight / total) if weight else found
    return found


def _slerp(a: Tensor, b: Tensor, share: float) -> Tensor:
    length = torch.lerp(a.norm(), b.norm(), share)
    a, b = F.normalize(a, dim=0), F.normalize(b, dim=0)
    angle = torch.acos((a @ b).clamp(-1, 1))
    if angle.sin() < 1e-4:  # the same direction, or the opposite one: no circle
        return torch.lerp(a, b, share) * length
    return ((1 - share) * angle).sin() / angle.sin() * a * length + (share * angle).sin() / angle.sin() * b * length


BLENDS: dict[str, Callable[[Tensor, Sequence[float]], Tensor]] = {"slerp": slerped, "sum": summed}


def edited(token: Tensor, source: Tensor, target: Tensor, weight: float = 1.0) -> Tensor:
    """The embedding (D) moved from one text's to another's, both (D), as far as `weight` says; its length stays.

    The difference is that of unit vectors, at the length of the token (after unCLIP's text diffs, Ramesh et al. 2022,
    section 3.3).
    """
    unit = partial(F.normalize, dim=0)
    return alike(token + weight * token.norm() * (unit(target) - unit(source)), token) if weight else token
