"""The embedded inpainting model: the recipe `inpaint` on the world, from the painter that is shipped.

It is kept as what its UNet differs by from the painter's, and made anew when the painter is another. Of every large
tensor but the first convolution, which is a new one, only a difference of low rank is trained: what is shipped is then
what was trained, and takes three megabytes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from torch.nn.utils import parametrize

from remembrandt.conditions.spatial import shrunk
from remembrandt.family import delta
from remembrandt.pocket import networks, paint, pictures
from remembrandt.pocket.stage import Sizes, Work, ship, standing, train
from remembrandt.training.examples import chance
from remembrandt.training.inpainting import Inpaint, mask

RANK = 16
HIDDEN = 128  # grey: what is hidden is painted so before it is encoded


class LowRank(nn.Module):
    """W + B A of rank `RANK`, as in LoRA (Hu et al. 2021, eq. 3), with A random and B zero: at first W itself."""

    def __init__(self, name: str, weight: Tensor) -> None:
        super().__init__()
        rows, columns = weight.flatten(1).shape
        drawn = torch.rand(RANK, columns, generator=chance("inpaint", name)) * 2 - 1
        self.down = nn.Parameter(drawn / math.sqrt(columns))
        self.up = nn.Parameter(torch.zeros(rows, RANK))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def lowered(unet: nn.Module) -> list[nn.Module]:
    """Let large weights but `conv_in`'s move by a low-rank difference only, and all small tensors freely; the layers
    that were changed."""
    unet.requires_grad_(True)
    some = [
        (name, layer)
        for name, layer in unet.named_modules()
        if isinstance(layer, nn.Linear | nn.Conv2d)
        and name != "conv_in"
        and RANK * sum(layer.weight.flatten(1).shape) < layer.weight.numel()
    ]
    for name, layer in some:
        layer.weight.requires_grad_(False)
        parametrize.register_parametrization(layer, "weight", LowRank(name, layer.weight).to(layer.weight.device))
    return [layer for _, layer in some]


class Masked:
    """The world's scenes as the recipe reads them: latents, captions, masks, what masks leave; made once a shard."""

    def __init__(self, vae: AutoencoderKL, folder: Path, shards: int, masks: int) -> None:
        self._shards = shards
        self._latents = lru_cache(maxsize=shards)(partial(paint.latents, vae, folder))
        self._left = [lru_cache(maxsize=shards)(partial(left, vae, folder, k)) for k in range(masks)]

    def __len__(self) -> int:
        return self._shards * pictures.SHARD

    def __getitem__(self, number: int) -> Mapping[str, Any]:
        index, place = divmod(number, pictures.SHARD)
        mean, std = torch.from_numpy(np.array(self._latents(index)[place])).chunk(2)
        seen = torch.from_numpy(np.stack([of(index)[place] for of in self._left]))
        beside = dict(zip(("mask", "left", "left_std"), seen.split([1, len(mean), len(mean)], 1), strict=True))
        return {"mean": mean, "std": std, "caption": paint.caption(number, 0), **beside}


def left(vae: AutoencoderKL, folder: Path, k: int, index: int) -> np.ndarray:
    """Mask `k` of each picture of shard `index`, over latents, and mean and deviation of what it leaves, float16
    (SHARD, 9, 16, 16); made once."""
    return pictures.once(folder / f"masked-{k}-{index:04d}.npy", lambda: _left(vae, folder, k, index))


def _left(vae: AutoencoderKL, folder: Path, k: int, index: int) -> np.ndarray:
    shown = np.array(pictures.shard(folder, index))
    hidden = [hides(pictures.SHARD * index + place, k) for place in range(len(shown))]
    shown[np.stack(hidden)] = HIDDEN
    latents = paint.encoded(vae, shown)
    factor = networks.SIZE // latents.shape[-1]
    small = torch.cat([shrunk(one, (networks.SIZE, networks.SIZE), factor) for one in hidden])
    return np.concatenate([small.half().numpy(), latents], 1)


def hides(number: int, k: int) -> np.ndarray:
    """Mask `k` of scene `number`, bool (128, 128): its first lies over a thing of the scene, a little larger than it;
    all others, and that of a thing that is not seen, over anything."""
    rng = np.random.default_rng([43, number, k])
    if k == 0:
        from remembrandt.pocket.world.ground_truth import truth

        things = truth(pictures.scene(number), networks.SIZE).masks
        reach = int(rng.integers(3, 16))
        round_ = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (reach, reach))
        grown = cv2.dilate(things[int(rng.integers(len(things)))].astype(np.uint8), round_).astype(bool)
        if grown.any():
            return grown
    return mask(rng, networks.SIZE)


def recipe(sizes: Sizes) -> Inpaint:
    """What it was trained with."""
    return Inpaint(
        steps=sizes.inpaint, learning_rate=1e-3, warmup=100, batch=sizes.batch, ema=0.998, gamma=5.0, masks=2,
    )  # fmt: skip


def make(work: Work) -> None:
    """From the family in `out` into the folder `inpaint` beside it; nothing where that is of this family already."""
    found = standing(work, "inpaint")
    if found is None:
        return
    (family, begun), asked = found, recipe(work.sizes)
    taught = asked.begun(family)  # the family's own UNet, now another; what it was is still in its files
    rows = Masked(family.vae, work / "pictures", work.sizes.masked, asked.masks)
    changed = lowered(taught.unet)
    [stage] = asked.stages(taught, rows, 41)
    train(work, begun, {"unet": taught.unet}, lambda step: stage.loss(step, range(stage.batch)), stage.plan)
    for layer in changed:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    ship(work, begun, family, taught.unet, "inpaint", form=delta.LOW_RANK, rank=RANK)
