"""Pictures as unit vectors: what a family's image encoder sees in them, and its judge of instances if it has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from remembrandt.conditions.image import embedded, preprocessed
from remembrandt.conditions.spatial import to_tensor
from remembrandt.evaluation import judges
from remembrandt.family.family import Family

AT_ONCE = 32
Look = Callable[[Sequence[np.ndarray]], NDArray[np.float64]]


def looks(family: Family) -> dict[str, Look]:
    """By name, the extractors that the family brings; pictures uint8 (h, w, 3) -> (n, d). Empty where it has none.

    `image encoder` sees what captions say, hardly who it is: it understates forgetting about threefold
    (docs/decisions.md). `instances` was trained to tell two of a kind apart.
    """
    found: dict[str, Look] = {}
    if family.image_encoder is not None:
        found["image encoder"] = lambda pictures: encoded(family, pictures)
    if place := judges.brought(family, "instances"):
        judge = cache(lambda: judges.load(place))
        found["instances"] = lambda pictures: told_apart(judge(), pictures)
    return found


def plain(pictures: Sequence[np.ndarray]) -> NDArray[np.float64]:
    """Without a network: 16 x 16 pixels less their mean, as unit vectors. For families that bring no encoder."""
    small = _pixels(pictures, 16).flatten(1).double().numpy()
    small = small - small.mean(1, keepdims=True)
    return small / np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-9)


@torch.inference_mode()
def encoded(family: Family, pictures: Sequence[np.ndarray]) -> NDArray[np.float64]:
    """CLIP's image embeddings, resized as the family's record says."""
    tower = family.image_encoder
    assert tower is not None
    how = {"antialias": True, **family.record.resize}  # as CLIP's own preprocessing, where the record says nothing
    x = preprocessed(pictures, how, int(tower.config.image_size))  # type: ignore[arg-type]
    rows = [F.normalize(embedded(family, part), dim=-1).cpu() for part in x.split(AT_ONCE)]
    return torch.cat(rows).double().numpy()


@torch.inference_mode()
def told_apart(judge: torch.nn.Module, pictures: Sequence[np.ndarray]) -> NDArray[np.float64]:
    """By the instance extractor."""
    return torch.cat([judge(to_tensor(p)) for p in pictures]).double().numpy()


def _pixels(pictures: Sequence[np.ndarray], size: int) -> torch.Tensor:
    """(n, 3, size, size) in [0, 255]; squashed, one by one, for they may differ in size."""
    made = [torch.tensor(np.ascontiguousarray(p)).permute(2, 0, 1)[None].float() for p in pictures]
    return torch.cat([F.interpolate(x, (size, size), mode="bicubic", antialias=True) for x in made])
