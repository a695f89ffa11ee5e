"""The recipe `controlnet`: a network beside the UNet that sees a hint of each picture.

After Zhang et al. 2023 (arXiv 2302.05543). It begins as a copy of the UNet's encoder whose convolutions towards it are
zero, so that its first picture is the base's; the UNet stays as it is. Half of the captions are empty, so that it
learns to read hints.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import ControlNetModel
from torch import Tensor, nn

from remembrandt.conditions import hints, turned
from remembrandt.conditions.condition import Condition, Control
from remembrandt.family import control
from remembrandt.family.family import TEXT, Family
from remembrandt.settings import Wrong
from remembrandt.training.corpus import Picture
from remembrandt.training.encoded import Row, Rows
from remembrandt.training.inpainting import said
from remembrandt.training.options import option
from remembrandt.training.recipe import Common, Stage, denoising

TRAINED = Path("controlnet")  # where a family keeps what is trained beside it


@dataclass(frozen=True)
class Controlled(Common):
    """What a picture follows: a network beside the UNet that sees its hint."""

    learning_rate: float = option(1e-5, "what it rises to, and stays at", low=1e-9, high=1)
    dropout: float = option(0.5, "share of pictures whose caption is empty; their hint is seen", low=0, high=1)
    method: str = option("copy", "what is trained: a copy of the UNet's encoder, or oft: rotations of the UNet")
    hint: str = option("", "made of each picture (canny, depth, ...); none: the one beside it, NAME.hint.png")

    @property
    def paired(self) -> bool:
        """Whether a picture needs a hint beside it."""
        return not self.hint

    def begun(self, family: Family) -> Family:
        """The family with a network of its UNet's own beside it."""
        if self.hint:
            hints.known(self.hint)
        if family.kind != TEXT or family.unet.config["in_channels"] != family.channels:
            raise Wrong(f"{family.name} does not paint from prompts alone: give a text-to-image model")
        if self.method not in METHODS:
            raise Wrong(f"a control is trained as {' or '.join(METHODS)}, not {self.method!r}")
        return replace(family, controls={TRAINED: METHODS[self.method](family)})

    def seen_at(self, family: Family) -> int:
        return family.record.size

    def adds(self, family: Family, some: Sequence[Picture]) -> Mapping[str, Tensor]:
        """The hints, uint8 (n, 3, h, w)."""
        found = [hints.make(self.hint, p.square, family) if self.hint else p.hint for p in some]
        shown = [np.zeros_like(p.square) if hint is None else hint for p, hint in zip(some, found, strict=True)]
        return {"hint": torch.from_numpy(np.stack(shown)).permute(0, 3, 1, 2).contiguous()}

    def given(
        self, family: Family, rows: Sequence[Row], chances: Sequence[torch.Generator], dropped: Sequence[bool]
    ) -> Condition:
        shown = torch.stack([row["hint"] for row in rows]).float() / 255
        network = family.controls[TRAINED]
        worn = network.worn() if isinstance(network, turned.Turned) else None
        beside = Control(network, shown.to(family.device), worn=worn)
        return Condition(said(family, rows, dropped), residual=(beside,))

    def stages(self, family: Family, rows: Rows, seed: int) -> list[Stage]:
        """All of the control, nothing of the UNet."""
        moved = dict(family.controls[TRAINED].named_parameters())
        return [Stage("control", moved, self.plan(), self.batch, denoising(self, family, rows, seed, self.batch))]

    def write(self, family: Family, place: Path) -> None:
        """The folder of the control alone."""
        about = {"name": family.name} | ({"hint": self.hint} if self.hint else {})
        network = family.controls[TRAINED]
        if isinstance(network, turned.Turned):
            turned.save(network, family, place, **about)
        else:
            control.save(network, place, **about)


def fresh(family: Family) -> ControlNetModel:
    """A copy of the family's encoder that says nothing yet; always the same, as all that is random here."""
    widths = turned.WIDTHS[: int(math.log2(family.factor)) + 1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = ControlNetModel.from_unet(family.unet, conditioning_embedding_out_channels=widths)
    nn.Module.to(network, family.device)
    return network.requires_grad_(False).eval()


METHODS = {"copy": fresh, "oft": turned.fresh}
