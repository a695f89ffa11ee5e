"""The recipe `text-to-image`: the whole UNet on as many captioned pictures as there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from remembrandt.conditions.condition import Condition
from remembrandt.family.family import TEXT, Family
from remembrandt.settings import Wrong
from remembrandt.training.corpus import Picture
from remembrandt.training.encoded import Row, Rows
from remembrandt.training.inpainting import said
from remembrandt.training.recipe import Common, Stage, denoising


@dataclass(frozen=True)
class Captioned(Common):
    """Pictures of a prompt: the whole UNet, each picture under its caption."""

    captions: ClassVar[bool] = True

    def begun(self, family: Family) -> Family:
        if family.kind != TEXT or family.unet.config["in_channels"] != family.channels:
            raise Wrong(f"{family.name} does not paint from prompts alone: give a text-to-image model")
        return family

    def seen_at(self, family: Family) -> int:
        return family.record.size

    def adds(self, family: Family, some: Sequence[Picture]) -> Mapping[str, Tensor]:
        return {}

    def given(
        self, family: Family, rows: Sequence[Row], chances: Sequence[torch.Generator], dropped: Sequence[bool]
    ) -> Condition:
        return Condition(said(family, rows, dropped))

    def stages(self, family: Family, rows: Rows, seed: int) -> list[Stage]:
        """The whole UNet."""
        moved = dict(family.unet.named_parameters())
        return [Stage("whole", moved, self.plan(), self.batch, denoising(self, family, rows, seed, self.batch))]
