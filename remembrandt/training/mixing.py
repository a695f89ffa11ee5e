"""The recipe `mixer`: a UNet that reads up to five embeddings at once, each in a token of its own.

After Justin Pinkney's Image Mixer: from a model of variations, each picture is to be painted from the embeddings of
five random crops of it, each of which is left out now and then. No code says which is first, so that their order means
nothing; at use each token has its own strength.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from remembrandt.conditions import image
from remembrandt.conditions.condition import Condition
from remembrandt.family.family import Family
from remembrandt.training.corpus import Picture
from remembrandt.training.encoded import Row, Rows
from remembrandt.training.examples import uniform
from remembrandt.training.options import option
from remembrandt.training.recipe import Common, Stage, denoising
from remembrandt.training.variations import Variations

#: As the Image Mixer is shown pictures: the middle square, antialiased.
SEEN = {"resize": "bicubic", "antialias": True, "align_corners": False, "fit": "crop", "clamp": True}


@dataclass(frozen=True)
class Mixer(Common):
    """Several pictures or texts in one: up to five tokens, each with a strength of its own."""

    slots: int = option(5, "tokens that are read at once", low=2, high=16)
    crops: int = option(10, "crops drawn of each picture, of which so many are seen at a time", low=2, high=64)
    smallest: float = option(0.085, "share of a picture that a crop has at least", low=0.01, high=1)
    blank: float = option(0.1, "share of tokens that are left out, each by itself", low=0, high=0.9)
    view: int = option(0, "pixels at which crops are cut; 0: the family's", low=0, high=2048)

    def begun(self, family: Family) -> Family:
        """The family as one of variations that reads several tokens."""
        family = Variations().begun(family)
        return replace(family, slots=self.slots, record=replace(family.record, resize=SEEN))

    def seen_at(self, family: Family) -> int:
        return self.view or family.record.size

    def adds(self, family: Family, some: Sequence[Picture]) -> Mapping[str, Tensor]:
        """Embeddings of crops (n, crops, D)."""
        found = []
        for picture in some:
            rng = np.random.default_rng([47, picture.number])
            cut = [crop(picture.wide, rng, self.smallest) for _ in range(self.crops)]
            found.append(image.embedded(family, image.preprocessed(cut, SEEN, family.eye)))
        return {"crops": torch.stack(found)}

    def given(
        self, family: Family, rows: Sequence[Row], chances: Sequence[torch.Generator], dropped: Sequence[bool]
    ) -> Condition:
        made = []
        for row, drawn, no in zip(rows, chances, dropped, strict=True):
            some = torch.randperm(len(row["crops"]), generator=drawn)[: self.slots]
            kept = [0.0 if no or uniform(drawn) < self.blank else 1.0 for _ in some]
            tokens = row["crops"][some] * torch.tensor(kept)[:, None]
            made.append(torch.cat([tokens, tokens.new_zeros(self.slots - len(some), tokens.shape[1])]))
        return Condition(torch.stack(made).to(family.device))

    def stages(self, family: Family, rows: Rows, seed: int) -> list[Stage]:
        """The whole UNet."""
        moved = dict(family.unet.named_parameters())
        return [Stage("whole", moved, self.plan(), self.batch, denoising(self, family, rows, seed, self.batch))]


def crop(square: np.ndarray, rng: np.random.Generator, smallest: float) -> np.ndarray:
    """A square of a share of the picture's area, from `smallest` to all, anywhere in it."""
    side = len(square)
    part = max(1, round(side * float(rng.uniform(smallest, 1)) ** 0.5))
    left, top = rng.integers(0, side - part + 1, 2)
    return square[top : top + part, left : left + part]
