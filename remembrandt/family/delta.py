"""Task models stored as what their UNet differs by from a base family's; everything else is the base's.

Such a folder holds `unet/` (the UNet's configuration, and differences by the names of its tensors) and
`remembrandt.json`, which names the `base` and the sha256 of its networks. A difference is a tensor of the base's shape:
half, or float8_e4m3fn with `NAME.scale` (a number a row), or low-rank factors `NAME.up` @ `NAME.down`. A tensor of
another shape is new. What is not there is as in the base.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from remembrandt.family import folder as folders
from remembrandt.family import weights
from remembrandt.family.family import Family
from remembrandt.family.parts import Parts, config_of
from remembrandt.family.weights import Lazy
from remembrandt.settings import Wrong

FLOAT8, HALF, LOW_RANK = "float8", "half", "low-rank"
LARGEST = 448.0  # of float8_e4m3fn
INHERITED = ("size", "guidance", "steps", "sampler", "resize")


@dataclass(frozen=True)
class Rounding:
    """What storing cost: the error's norm relative to the difference's and to the weights', and the bytes stored."""

    of_difference: float
    of_weights: float
    bytes: int


def is_one(folder: Path) -> bool:
    """Whether a folder holds differences from a base."""
    return (folder / folders.RECORD).is_file() and "base" in folders.read_json(folder / folders.RECORD)


def record(folder: Path) -> dict[str, Any] | None:
    """What a folder of differences says of itself, without its weights being read."""
    return folders.read_json(folder / folders.RECORD) if is_one(folder) else None


def base_of(folder: Path) -> str:
    """What a folder names as its base."""
    return str(folders.read_json(folder / folders.RECORD)["base"])


def made_of(folder: Path, base: Family) -> bool:
    """Whether a folder holds differences from exactly these weights."""
    return is_one(folder) and folders.read_json(folder / folders.RECORD).get("base_digest") == weights.digest(base.held)


def read(folder: Path, base: Parts) -> Parts:
    """The parts of a task model, made whole; `Wrong` if the base is not the one that it was taken from."""
    said = folders.read_json(folder / folders.RECORD)
    if said.get("base_digest") != weights.digest(base.weights):
        raise Wrong(f"{folder} was made of other weights of {said['base']} than are here: take those, or make it again")
    facts = {k: base.facts[k] for k in INHERITED if k in base.facts and (k != "guidance" or "kind" not in said)}
    held = weights.opened_folder(folder / "unet")
    return Parts(
        base.place,
        {**base.configs, "unet": folders.read_json(folder / "unet" / "config.json")},
        {**base.weights, "unet": whole(base.weights["unet"], held)},
        base.tokenizer,
        base.scheduler,
        facts | folders.facts(folder),
    )


def whole(base: Lazy, held: Lazy) -> Lazy:
    """A UNet's tensors from its base's and what it differs by."""
    own = {name.removesuffix(".up").removesuffix(".down") for name in held if not name.endswith(".scale")}
    return {name: partial(_made, name, base, held) for name in base.keys() | own}


def _made(name: str, base: Lazy, held: Lazy) -> Tensor:
    old = base[name]() if name in base else None
    if f"{name}.up" in held and old is not None:
        return old.float() + (held[f"{name}.up"]().float() @ held[f"{name}.down"]().float()).view(old.shape)
    if name not in held:
        assert old is not None
        return old
    own = held[name]()
    if old is None or own.shape != old.shape:
        return own
    own = own.float()
    if f"{name}.scale" in held:
        own = own * held[f"{name}.scale"]().view(-1, *[1] * (own.ndim - 1))
    return old.float() + own


def save(
    base: Family,
    unet: UNet2DConditionModel,
    folder: Path,
    *,
    name: str,
    source: str | None = None,
    kind: str | None = None,
    form: str = FLOAT8,
    rank: int = 16,
    facts: Mapping[str, Any] | None = None,
    limit: int = 14_000_000,
) -> Rounding:
    """Write `unet` as what it differs by from the UNet of `base`, whole or not at all; `folder` must be new or empty.

    `load` must find the base by `source`, which is its name if nothing is said. `kind` is that of a family, if another
    than the base's; `facts` may hold what it is for (`task`),
    revision, size, guidance, steps and sampler where they are other than the base's. `form` is float8, half or
    low-rank; no file is larger than `limit` bytes.
    """
    old, new = base.held["unet"], weights.held(unet)
    lazy = differing(old, new, form, rank)
    found = _rounding(old, new, lazy)
    said = {"name": name, "base": source or base.name, "base_digest": weights.digest(base.held)}
    said |= {"of": base.digest, "rounding": asdict(found)}
    said |= {"kind": kind} if kind else {}
    with folders.new(folder) as place:
        (place / "unet").mkdir()
        weights.write(lazy, place / "unet", folders.STEMS["unet"], limit)
        folders.write_json(place / "unet" / "config.json", config_of(unet))
        folders.write_json(place / folders.RECORD, said | dict(facts or {}))
    return found


def differing(old: Lazy, new: Lazy, form: str = FLOAT8, rank: int = 16) -> Lazy:
    """What is kept of `new` beside `old`: tensors of another shape or name as they are, differences as `form` says."""
    held: dict[str, Tensor] = {}
    for key, read_one in new.items():
        tensor = read_one().float().cpu()
        before = old[key]().float().cpu() if key in old else None
        if before is None or before.shape != tensor.shape:
            held[key] = tensor.half()
        elif (tensor - before).any():
            held |= FORMS[form](key, tensor - before, rank)
    return {key: partial(_same, tensor) for key, tensor in held.items()}


def _same(tensor: Tensor) -> Tensor:
    return tensor


def _half(key: str, difference: Tensor, rank: int) -> dict[str, Tensor]:
    return {key: difference.half()}


def _float8(key: str, difference: Tensor, rank: int) -> dict[str, Tensor]:
    """Each row at its own scale: the type has three bits of mantissa and ends at 448 and 0.002."""
    if difference.ndim < 2:
        return _half(key, difference, rank)
    scale = difference.flatten(1).abs().amax(1).clamp(min=1e-12) / LARGEST
    rows = difference / scale.view(-1, *[1] * (difference.ndim - 1))
    return {key: rows.to(torch.float8_e4m3fn), f"{key}.scale": scale}


def _factors(key: str, difference: Tensor, rank: int) -> dict[str, Tensor]:
    """The best of that rank (Eckart and Young 1936), of matrices and of convolutions laid flat."""
    flat = difference.flatten(1) if difference.ndim > 1 else difference
    if flat.ndim < 2 or rank * sum(flat.shape) >= flat.numel():
        return _half(key, difference, rank)
    u, s, v = torch.linalg.svd(flat, full_matrices=False)
    root = s[:rank].sqrt()
    up, down = u[:, :rank] * root, root[:, None] * v[:rank]
    return {f"{key}.up": up.half().contiguous(), f"{key}.down": down.half().contiguous()}


FORMS: dict[str, Callable[[str, Tensor, int], dict[str, Tensor]]] = {
    FLOAT8: _float8,
    HALF: _half,
    LOW_RANK: _factors,
}


def _rounding(old: Lazy, new: Lazy, held: Lazy) -> Rounding:
    made, error, moved, size = whole(old, held), 0.0, 0.0, 0.0
    for key, read_one in new.items():
        tensor = read_one().double().cpu()
        before = old[key]().double() if key in old else None
        error += float((made[key]().double() - tensor).square().sum())
        size += float(tensor.square().sum())
        if before is not None and before.shape == tensor.shape:
            moved += float((tensor - before).square().sum())
    stored = sum(read_one().nbytes for read_one in held.values())
    return Rounding((error / moved) ** 0.5 if moved else 0.0, (error / size) ** 0.5, stored)
