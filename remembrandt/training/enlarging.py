"""The recipe `upscale`: a UNet that sees, beside its latents, the picture at a quarter of its size, under some noise.

As Stable Diffusion's x4 upscaler: the level of that noise is told as a class, of which each begins at zero, as do the
new channels, so that the first picture is the base's. What differs from the base is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from remembrandt.conditions import enlarging, spatial
from remembrandt.conditions.condition import Condition
from remembrandt.family.family import Family
from remembrandt.settings import Wrong
from remembrandt.training.corpus import Picture
from remembrandt.training.deepening import differs, plain
from remembrandt.training.encoded import Row, Rows
from remembrandt.training.inpainting import channels, said
from remembrandt.training.options import option
from remembrandt.training.recipe import Common, Stage, denoising

TIMES = 4


@dataclass(frozen=True)
class Upscale(Common):
    """Small pictures enlarged four times: new channels hold the small one, noised to a level that is told."""

    noisiest: int = option(200, "of 1000, the highest level of noise on the small picture", low=0, high=350)

    def begun(self, family: Family) -> Family:
        plain(family, "an upscaler")
        if family.factor % TIMES:
            raise Wrong(f"{family.name} has {family.factor} pixels to a latent, which {TIMES} does not divide")
        channels(family.unet, family.channels + 3 * (family.factor // TIMES) ** 2)
        told(family.unet, enlarging.NOISIEST + 1)
        return family

    def seen_at(self, family: Family) -> int:
        return family.record.size

    def adds(self, family: Family, some: Sequence[Picture]) -> Mapping[str, Tensor]:
        """The small pictures, uint8 (n, 3, h, w)."""
        sizes = [tuple(side // TIMES for side in p.square.shape[1::-1]) for p in some]
        shown = [spatial.resized(p.square, size) for p, size in zip(some, sizes, strict=True)]  # type: ignore[arg-type]
        return {"small": torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).contiguous()}

    def given(
        self, family: Family, rows: Sequence[Row], chances: Sequence[torch.Generator], dropped: Sequence[bool]
    ) -> Condition:
        seen, levels = [], []
        for row, drawn in zip(rows, chances, strict=True):
            small = row["small"][None].float() / 127.5 - 1
            levels.append(int(torch.randint(self.noisiest + 1, (), generator=drawn)))
            seen.append(enlarging.beside(family, small, torch.randn(small.shape, generator=drawn), levels[-1]))
        beside = torch.cat(seen).to(family.device)
        return Condition(said(family, rows, dropped), beside, label=torch.tensor(levels, device=family.device))

    def stages(self, family: Family, rows: Rows, seed: int) -> list[Stage]:
        """The whole UNet."""
        moved = dict(family.unet.named_parameters())
        return [Stage("whole", moved, self.plan(), self.batch, denoising(self, family, rows, seed, self.batch))]

    def write(self, family: Family, place: Path) -> None:
        """What it differs by from its base."""
        differs(family, place, "upscale")


@torch.no_grad()
def told(unet: UNet2DConditionModel, classes: int) -> None:
    """Let a UNet be told one of so many classes: none of them says anything yet."""
    width = unet.time_embedding.linear_2.out_features
    unet.class_embedding = nn.Embedding(classes, width, _weight=unet.conv_in.weight.new_zeros(classes, width))
    unet.register_to_config(num_class_embeds=classes)
