"""The recipe `inpaint`: a UNet that sees, beside its latents, a mask and what lies outside of it.

After CompVis's inpainting model: the new input channels begin at zero, so that the first picture is the base's; masks
are drawn for every picture, some of them over all of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from remembrandt.conditions import spatial, text
from remembrandt.conditions.condition import Condition
from remembrandt.family.family import TEXT, Family
from remembrandt.settings import Wrong
from remembrandt.training.corpus import Picture
from remembrandt.training.encoded import Row, Rows
from remembrandt.training.options import option
from remembrandt.training.recipe import Common, Stage, denoising

WHOLE = 0.25  # share of masks that hide everything


@dataclass(frozen=True)
class Inpaint(Common):
    """A part of a picture painted anew: nine channels, of which the five new ones hold mask and masked picture."""

    masks: int = option(4, "masks drawn for each picture", low=1, high=64)

    def begun(self, family: Family) -> Family:
        wide = 2 * family.channels + 1
        if family.kind != TEXT or family.unet.config["in_channels"] not in (family.channels, wide):
            raise Wrong(f"{family.name} cannot become an inpainting model: give a text-to-image model")
        channels(family.unet, wide)
        return family

    def seen_at(self, family: Family) -> int:
        return family.record.size

    def adds(self, family: Family, some: Sequence[Picture]) -> Mapping[str, Tensor]:
        """Masks (n, masks, 1, h, w) over latents, and mean and deviation of what each leaves (n, masks, c, h, w)."""
        found: dict[str, list[Tensor]] = {"mask": [], "left": [], "left_std": []}
        for picture in some:
            size = picture.square.shape[1::-1]
            drawn = [mask(np.random.default_rng([picture.number, k]), size[0]) for k in range(self.masks)]
            hidden = torch.cat([spatial.shrunk(m, size, 1) for m in drawn])
            mean, std = family.encode(spatial.to_tensor(picture.square) * (1 - hidden))
            small = torch.cat([spatial.shrunk(m, size, family.factor) for m in drawn])
            for name, tensor in zip(found, (small, mean, std), strict=True):
                found[name].append(tensor.half().cpu())
        return {name: torch.stack(tensors) for name, tensors in found.items()}

    def given(
        self, family: Family, rows: Sequence[Row], chances: Sequence[torch.Generator], dropped: Sequence[bool]
    ) -> Condition:
        beside = []
        for row, drawn in zip(rows, chances, strict=True):
            k = int(torch.randint(len(row["mask"]), (), generator=drawn))
            left = row["left"][k].float()
            left = left + row["left_std"][k].float() * torch.randn(left.shape, generator=drawn)
            beside.append(torch.cat([row["mask"][k].float(), left]))
        return Condition(said(family, rows, dropped), torch.stack(beside).to(family.device))

    def stages(self, family: Family, rows: Rows, seed: int) -> list[Stage]:
        """The whole UNet."""
        moved = dict(family.unet.named_parameters())
        return [Stage("whole", moved, self.plan(), self.batch, denoising(self, family, rows, seed, self.batch))]


def said(family: Family, rows: Sequence[Row], dropped: Sequence[bool]) -> Tensor:
    """The captions of the rows as tokens (n, L, D); nothing is the empty prompt."""
    with torch.no_grad():
        return text.encode(family, ["" if no else r["caption"] for r, no in zip(rows, dropped, strict=True)])


@torch.no_grad()
def channels(unet: UNet2DConditionModel, wide: int) -> None:
    """Let a UNet take `wide` channels: those that it lacks weigh nothing, and it says what it said without them."""
    first = unet.conv_in
    more = wide - first.in_channels
    if more:
        new = first.weight.new_zeros(first.out_channels, more, *first.kernel_size)
        first.weight, first.in_channels = torch.nn.Parameter(torch.cat([first.weight, new], 1)), wide
        unet.register_to_config(in_channels=wide)


def mask(rng: np.random.Generator, side: int) -> np.ndarray:
    """What is to be painted anew, bool (side, side): boxes, strokes of a brush, or everything."""
    drawn = np.zeros((side, side), np.uint8)
    if rng.random() < WHOLE:
        drawn[:] = 1
    elif rng.random() < 0.5:
        for _ in range(int(rng.integers(1, 4))):
            (left, top), (wide, high) = rng.integers(0, side * 3 // 4, 2), rng.integers(side // 8, side * 3 // 4, 2)
            drawn[top : top + high, left : left + wide] = 1
    else:
        for _ in range(int(rng.integers(1, 4))):
            turns = rng.integers(-side // 4, side // 4, (int(rng.integers(2, 8)), 2))
            walk = rng.integers(side // 4, side * 3 // 4, (1, 2)) + np.concatenate([turns[:1] * 0, turns]).cumsum(0)
            cv2.polylines(drawn, [walk.astype(np.int32)], False, 1, int(rng.integers(side // 16, side // 5)))
    return drawn.astype(bool)
