"""Controls that turn the UNet itself, instead of a copy of its encoder beside it.

Qiu et al. 2023 (arXiv 2306.07280), section 4: the base's attentions are rotated (adapters/oft.py), which keeps the
angles between its neurons, and a small encoder's view of the hint is added behind the UNet's first convolution; its
last convolution is zero at first, and no rotation turns anything: the first picture is the base's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, final

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.controlnets.controlnet import ControlNetConditioningEmbedding
from torch import Tensor, nn

from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import Worn, wear
from remembrandt.conditions.condition import Control
from remembrandt.family import control, weights
from remembrandt.family import folder as folders
from remembrandt.family.family import Family

WIDTHS = (16, 32, 96, 256)  # of the hint's encoder, as ControlNet's for a factor of 8
BLOCK = 32  # as wide as is rotated together
ANGLE = 60.0  # degrees that no plane is turned beyond


@final
class Turned(nn.Module):
    """`encoder` sees hints; `free` are the rotations of the UNet's layers, unbounded, by name."""

    def __init__(self, width: int, widths: Sequence[int], rotations: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.encoder = ControlNetConditioningEmbedding(width, 3, tuple(widths))
        self.free = nn.ParameterDict({name.replace(".", "/"): nn.Parameter(q) for name, q in rotations.items()})

    def worn(self, weight: float = 1.0) -> Worn:
        """What every row wears that it controls."""
        turns = {name.replace("/", "."): {oft.NAME: oft.bound(q, ANGLE)} for name, q in self.free.items()}
        return Worn(Adapter("oft", turns), weight)


def fresh(family: Family) -> Turned:
    """One that turns nothing yet and says nothing; always the same, as all that is random here."""
    widths = WIDTHS[: int(math.log2(family.factor)) + 1]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = Turned(family.unet.config["block_out_channels"][0], widths, oft.start(family.unet, BLOCK))
    return made.to(family.device).requires_grad_(False).eval()


def save(network: Turned, family: Family, place: Path, **said: Any) -> Path:
    """Write it, whole or not at all, with what is `said` of it; `place` is new or empty."""
    widths = [layer.out_channels for layer in (network.encoder.conv_in, *network.encoder.blocks[1::2])]  # type: ignore[union-attr]
    shape = {k: family.unet.config[k] for k in ("in_channels", *control.SHAPE)}
    with folders.new(place) as part:
        weights.write(weights.held(network), part, "diffusion_pytorch_model")
        folders.write_json(part / "config.json", {"_class_name": control.TURNED, "widths": widths} | shape)
        folders.write_json(part / folders.RECORD, said)
    return place


def load(place: Path, family: Family) -> nn.Module:
    """The control of a folder, of either kind, as `family.control.load` does."""
    if not control.is_one(place) or not control.fits(place, family) or not control.turned(place):
        return control.load(place, family)
    lazy, config = weights.opened_folder(place), folders.read_json(place / "config.json")
    rotations = {n.removeprefix("free.").replace("/", "."): t() for n, t in lazy.items() if n.startswith("free.")}
    with torch.device("meta"):
        blank = {name: torch.empty(q.shape) for name, q in rotations.items()}
        made = Turned(family.unet.config["block_out_channels"][0], config["widths"], blank)
    weights.fill(made, lazy, family.device, torch.float32, f"the control {place}")
    made.encoder.to(family.unet.dtype)
    return made


@contextmanager
def entering(unet: UNet2DConditionModel, rows: Sequence[Sequence[Control]]) -> Iterator[None]:
    """Inside, what such controls see of each row's hint is added behind the UNet's first convolution."""
    several = [own for own in zip(*rows, strict=True) if isinstance(own[0].network, Turned)]

    def add(module: nn.Module, args: object, out: Tensor) -> Tensor:
        for own in several:
            hints = torch.cat([each.hint for each in own]).to(out)
            counts = torch.tensor([each.weight for each in own], device=out.device).view(-1, 1, 1, 1).to(out)
            out = out + own[0].network.encoder(hints) * counts  # type: ignore[operator]
        return out

    handle = unet.conv_in.register_forward_hook(add) if several else None
    try:
        yield
    finally:
        if handle:
            handle.remove()


@contextmanager
def acting(unet: UNet2DConditionModel, controls: Sequence[Control], count: int) -> Iterator[None]:
    """Inside, such controls act on a call of so many rows, all of them; hints have as many rows, or one."""
    worn = tuple(each.worn for each in controls if each.worn)
    with entering(unet, [controls]), wear(unet, [worn] * count):
        yield
