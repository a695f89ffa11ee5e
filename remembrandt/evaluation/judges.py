"""Judges: small networks that read named attributes off a picture, and one that tells instances apart.

They are folders inside a family (`judges/readers`, `judges/instances`) and know no world: what they can name stands in
their own `config.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from remembrandt.conditions.spatial import to_tensor
from remembrandt.family.family import Family


class Block(nn.Module):
    """A residual block (He et al. 2016) that may halve the picture."""

    def __init__(self, inner: int, outer: int, stride: int):
        super().__init__()
        self.first = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList([nn.GroupNorm(8, outer), nn.GroupNorm(8, outer)])
        self.past = nn.Conv2d(inner, outer, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        inner = F.silu(self.norms[0](self.first(x)))
        return F.silu(self.norms[1](self.second(inner)) + self.past(x))


def trunk(width: int) -> nn.Sequential:
    """Pixels (n, 3, h, w) in [-1, 1] -> features (n, 4*width, h/8, w/8)."""
    return nn.Sequential(
        nn.Conv2d(3, width, 4, 2, 1), Block(width, 2 * width, 2), Block(2 * width, 4 * width, 2),
        Block(4 * width, 4 * width, 1),
    )  # fmt: skip


class Readers(nn.Module):
    """Reads a picture: place, style, relation, and for every category whether it is there and with which attributes.

    Each category has a map of where it is; its peak says whether, and a category's attributes are read where its map
    points, so that two things in one picture are read apart. Size is in the map's extent.
    """

    def __init__(self, whole: dict[str, list[str]], categories: list[str], attributes: dict[str, list[str]], width=24):
        super().__init__()
        self.config = {"whole": whole, "categories": categories, "attributes": attributes, "width": width}
        c = 4 * width
        self.trunk = trunk(width)
        self.deep = nn.Sequential(Block(c, 2 * c, 2), Block(2 * c, 2 * c, 1))
        self.whole = nn.ModuleDict({name: nn.Linear(2 * c, len(values)) for name, values in whole.items()})
        self.join = nn.Conv2d(3 * c, c, 1)
        self.where = nn.Conv2d(c, len(categories), 1)
        facts = 2 * c + 5 + len(categories)
        self.thought = nn.Linear(facts + 2 * c, 128)  # how large "big" is: of what, and beside what
        self.of = nn.ModuleDict({name: nn.Linear(facts + 128, len(values)) for name, values in attributes.items()})

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Logits: `whole` names (n, k); `present` (n, categories); attribute names (n, categories, k); `maps`."""
        fine = self.trunk(pixels)
        deep = self.deep(fine)
        pooled = deep.mean((2, 3)) + deep.amax((2, 3))
        joined = F.silu(self.join(torch.cat([fine, F.interpolate(deep, size=fine.shape[-2:])], 1)))
        maps = self.where(joined).flatten(2).float()  # (n, categories, places)
        look = torch.softmax(maps, -1)
        features = torch.cat([fine, joined], 1).flatten(2).to(look.dtype)
        seen = torch.einsum("nkp,ncp->nkc", look, features)
        named = torch.eye(maps.shape[1], device=seen.device).expand(len(seen), -1, -1)
        seen = torch.cat([seen, _extent(look, *fine.shape[-2:]), named], -1)
        around = pooled[:, None].expand(-1, seen.shape[1], -1)
        seen = torch.cat([seen, F.silu(self.thought(torch.cat([seen, around], -1)))], -1)
        return (
            {name: head(pooled) for name, head in self.whole.items()}
            | {"maps": maps, "present": maps.logsumexp(-1) - math.log(maps.shape[-1])}
            | {name: head(seen) for name, head in self.of.items()}
        )


def _extent(look: Tensor, h: int, w: int) -> Tensor:
    """Centre, deviation and entropy of maps (n, k, h * w) that sum to 1: (n, k, 5)."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, h), torch.linspace(-1, 1, w), indexing="ij")
    grid = torch.stack([y, x], -1).flatten(0, 1).to(look)
    centre = look @ grid
    spread = (look @ grid.square() - centre.square()).clamp(min=1e-6).sqrt()
    entropy = -(look * (look + 1e-9).log()).sum(-1, keepdim=True)
    return torch.cat([centre, 3 * spread, entropy / 2], -1)


class Instances(nn.Module):
    """A picture of a thing as a unit vector that stays the same over places, poses and styles."""

    def __init__(self, size: int = 128, width: int = 24):
        super().__init__()
        self.config = {"size": size, "width": width}
        self.trunk = trunk(width)
        self.deep = nn.Sequential(Block(4 * width, 8 * width, 2), Block(8 * width, 8 * width, 1))
        self.gaze = nn.Conv2d(8 * width, 4, 1)
        self.out = nn.Linear(4 * 8 * width, size)

    def forward(self, pixels: Tensor) -> Tensor:
        """(n, 3, h, w) in [-1, 1] -> (n, size), unit length."""
        deep = self.deep(self.trunk(pixels)).flatten(2)
        look = torch.softmax(self.gaze(deep.unflatten(2, (-1, int(deep.shape[2] ** 0.5)))).flatten(2), -1)
        return F.normalize(self.out(torch.einsum("nkp,ncp->nkc", look, deep).flatten(1)).float(), dim=-1)


@dataclass(frozen=True)
class Reading:
    """What the readers see: `whole` (place, style, relation) and per named thing its attributes."""

    whole: dict[str, str]
    things: dict[str, dict[str, str]]


def save(network: Readers | Instances, folder: Path) -> None:
    """A byte a weight, beside the configuration that rebuilds it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps({"kind": type(network).__name__, **network.config}, indent=1))
    save_file(packed(network.state_dict()), folder / "model.safetensors")


def packed(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Matrices and convolutions as int8 with `NAME.scale`, a number a row; what is smaller in half precision."""
    made = {}
    for name, tensor in state.items():
        if tensor.ndim < 2:
            made[name] = tensor.half().contiguous()
            continue
        scale = tensor.flatten(1).abs().amax(1).clamp(min=1e-12).float() / 127
        made[name] = (tensor / _rows(scale, tensor)).round().to(torch.int8).contiguous()
        made[f"{name}.scale"] = scale
    return made


def unpacked(stored: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The inverse of `packed`, in single precision."""
    state = {name: tensor.float() for name, tensor in stored.items() if not name.endswith(".scale")}
    for name in state:
        if f"{name}.scale" in stored:
            state[name] *= _rows(stored[f"{name}.scale"], state[name])
    return state


def _rows(scale: Tensor, tensor: Tensor) -> Tensor:
    return scale.view(-1, *[1] * (tensor.ndim - 1))


def brought(family: Family, name: str) -> Path | None:
    """The folder of the family's judge of that name, if it brings one."""
    place = family.folder / "judges" / name if family.folder else None
    return place if place and (place / "config.json").is_file() else None


def load(folder: Path) -> Readers | Instances:
    """The judge in `folder`, in single precision, ready to judge."""
    config = json.loads((folder / "config.json").read_text())
    kind = {"Readers": Readers, "Instances": Instances}[config.pop("kind")]
    network = kind(**config)
    network.load_state_dict(unpacked(load_file(folder / "model.safetensors")))
    return network.eval().requires_grad_(False)


@torch.inference_mode()
def read(readers: Readers, images: np.ndarray, asked: list[list[str]] | None = None) -> list[Reading]:
    """Read uint8 pictures (n, h, w, 3). `asked[i]`: whose attributes to read; without it, of the likeliest category."""
    config = readers.config
    readings = []
    for start in range(0, len(images), 64):
        out = readers(to_tensor(images[start : start + 64]))
        for i in range(len(out["present"])):
            order = out["present"][i].argsort(descending=True).tolist()
            wanted = asked[start + i] if asked else [config["categories"][order[0]]]
            ranked = [config["categories"][k] for k in order[: max(1, len(wanted))]]
            things = {}
            for name in wanted:
                k = config["categories"].index(name)
                seen = {a: values[int(out[a][i, k].argmax())] for a, values in config["attributes"].items()}
                things[name] = {"present": str(name in ranked), **seen}
            whole = {n: values[int(out[n][i].argmax())] for n, values in config["whole"].items()}
            readings.append(Reading(whole, things))
    return readings
