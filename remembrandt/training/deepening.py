"""The recipe `depth`: a UNet that sees, beside its latents, how near each place of the picture is.

As Stable Diffusion 2's depth model: one more channel, which begins at zero. What differs from the base is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from remembrandt.conditions import depth
from remembrandt.conditions.condition import Condition
from remembrandt.family import delta
from remembrandt.family.family import TEXT, Family
from remembrandt.family.load import source_of
from remembrandt.settings import Wrong
from remembrandt.training.corpus import Picture
from remembrandt.training.encoded import Row, Rows
from remembrandt.training.inpainting import channels, said
from remembrandt.training.options import option
from remembrandt.training.recipe import Common, Stage, denoising


@dataclass(frozen=True)
class Depth(Common):
    """Pictures in the shape of a depth: five channels, of which the new one holds how near each place is."""

    estimator: str = option("", "folder of a depth estimator; none: the depth beside each picture, NAME.hint.png")

    @property
    def paired(self) -> bool:
        """Whether a picture needs its depth beside it."""
        return not self.estimator

    def begun(self, family: Family) -> Family:
        plain(family, "a depth model")
        channels(family.unet, family.channels + 1)
        return family

    def seen_at(self, family: Family) -> int:
        return family.record.size

    def adds(self, family: Family, some: Sequence[Picture]) -> Mapping[str, Tensor]:
        """How near it is (n, 1, h, w) over latents, half; where that is one value, zeros."""
        return {"near": torch.cat([self._near(family, picture) for picture in some]).half()}

    def _near(self, family: Family, picture: Picture) -> Tensor:
        if self.estimator:
            found = depth.estimated(family, picture.square, Path(self.estimator))
        else:  # None: of no picture, to know how much one takes
            found = np.zeros((8, 8), np.float32) if picture.hint is None else picture.hint.mean(2)
        size = picture.square.shape[1::-1]
        if np.ptp(found) == 0:
            return torch.zeros(1, 1, *(side // family.factor for side in reversed(size)))
        return depth.beside(found, size, family.factor)

    def given(
        self, family: Family, rows: Sequence[Row], chances: Sequence[torch.Generator], dropped: Sequence[bool]
    ) -> Condition:
        near = torch.stack([row["near"].float() for row in rows])
        return Condition(said(family, rows, dropped), near.to(family.device))

    def stages(self, family: Family, rows: Rows, seed: int) -> list[Stage]:
        """The whole UNet."""
        moved = dict(family.unet.named_parameters())
        return [Stage("whole", moved, self.plan(), self.batch, denoising(self, family, rows, seed, self.batch))]

    def write(self, family: Family, place: Path) -> None:
        """What it differs by from its base."""
        differs(family, place, "depth")


def plain(family: Family, what: str) -> None:
    """`Wrong` unless the family paints from prompts alone."""
    if family.kind != TEXT or family.unet.config["in_channels"] != family.channels:
        raise Wrong(f"{family.name} cannot become {what}: give a text-to-image model")


def differs(family: Family, place: Path, task: str) -> None:
    """A task model as what its UNet differs by from that of the files it was loaded from."""
    delta.save(family, family.unet, place, name=family.name, source=source_of(family), facts={"task": task})
