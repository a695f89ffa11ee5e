"""Families from wherever they are kept: the package, a folder, a checkpoint, the hub's cache."""

from __future__ import annotations

import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel

from remembrandt.diffusion import schedule
from remembrandt.family import delta, folder, single_file, weights
from remembrandt.family.device import (
    PRECISIONS,
    check_precision,
    choose_device,
    choose_precision,
)
from remembrandt.family.family import Family, Record
from remembrandt.family.folder import TEXT, VARIATIONS
from remembrandt.family.folder import write as save
from remembrandt.family.parts import PUBLISHED, SCHEDULER, Parts, blank
from remembrandt.family.single_file import write as save_single_file
from remembrandt.settings import Wrong

__all__ = ["choose_device", "choose_precision", "load", "save", "save_single_file"]

POCKET = "pocket"
EMBEDDED = {POCKET: "weights", VARIATIONS: "variations", "inpaint": "inpaint"}  # and their folders
EMBEDDED |= {name: name for name in ("depth", "upscale", "mixer")}
HUB = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
KINDS = {"guidance": float, "steps": int, "sampler": str, "resize": dict}
RECORDED = ("size", *KINDS)

#: How families without a record of their own like to paint, by the width of their text.
FAMILIES: dict[int, dict[str, Any]] = {
    768: {"guidance": 7.5, "steps": 25, "sampler": "dpmpp-2m-karras"},
    1024: {"guidance": 7.5, "steps": 25, "sampler": "dpmpp-2m-karras"},
}
PICTURED = {"guidance": 3.0}  # those of kind variations, as their card says


def load(source: str | Path, *, device: str | None = None, precision: str | None = None) -> Family:
    """The family `source`: "pocket", "variations", "inpaint", a folder, a .safetensors file, or a hub id[@revision].

    Hub ids are read from the local cache only. Without `device` and `precision` ("fp32", "fp16",
    "bf16") the machine chooses. `Wrong` if it is none of these or not sound.
    """
    chosen = choose_device(device)
    dtype = PRECISIONS[check_precision(precision) if precision else choose_precision(chosen)]
    place, facts = _found(str(source))
    return _built(_parts(place), facts, chosen, dtype)


def source_of(family: Family) -> str:
    """What `load` finds a family's base by: the name of an embedded one, else where it lies."""
    package = Path(str(files("remembrandt"))) / "pocket"
    return next((name for name, place in EMBEDDED.items() if family.folder == package / place), str(family.folder))


def folder_of(source: str) -> Path | None:
    """The folder of a family, if it is here and is one."""
    try:
        place = _found(source)[0]
    except Wrong:
        return None
    return place if place.is_dir() else None


def parts_of(source: str) -> Parts:
    """What the files of a family hold, unread; `source` as for `load`."""
    return _parts(_found(source)[0])


def _parts(place: Path) -> Parts:
    if place.is_file():
        return single_file.read(place)
    if delta.is_one(place):
        return delta.read(place, parts_of(delta.base_of(place)))
    return folder.read(place)


def _found(source: str) -> tuple[Path, dict[str, str]]:
    name, _, revision = source.partition("@")
    if name in EMBEDDED:
        return _embedded(name, revision), {}
    path = Path(source).expanduser()
    beside = Path(name).expanduser()
    if revision and not path.exists() and (beside / revision).is_dir():  # a folder of revisions
        return _lone(beside / revision), {"name": beside.name, "revision": revision}
    if path.suffix.lower() in weights.PICKLES:
        raise Wrong(f"{source} is a pickle, which can run code: convert it to .safetensors first")
    if path.is_file() and path.suffix.lower() != ".safetensors":
        raise Wrong(f"{source} is no family: give a folder or a .safetensors file")
    if path.exists():
        return _lone(path), {}
    if (hub := HUB.fullmatch(source)) and not source.startswith((".", "/")):
        return _cached(hub[1], hub[2])
    raise Wrong(f"there is no family {source!r}: give 'pocket', a diffusers folder, a .safetensors file, or a hub id")


def _lone(path: Path) -> Path:
    """The checkpoint in a folder that holds nothing else, as a home keeps it; else the path."""
    found = [] if path.is_file() or (path / "unet").is_dir() else [*path.glob("*.safetensors")]
    return found[0] if len(found) == 1 else path


def _embedded(name: str, revision: str) -> Path:
    place = Path(str(files("remembrandt"))) / "pocket" / EMBEDDED[name]
    if not place.is_dir() and name != POCKET:
        raise Wrong(f"the embedded painter {name!r} is not there yet: give the folder or hub id of another model")
    if not place.is_dir():
        raise Wrong(f"the embedded model is missing at {place}: install remembrandt again")
    held = str(folder.facts(place).get("revision"))
    if revision and revision != held:
        raise Wrong(f"this version holds {name}@{held}, not {name}@{revision}: give the folder of that one")
    return place


def _cached(name: str, revision: str | None) -> tuple[Path, dict[str, str]]:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        place = Path(snapshot_download(name, revision=revision, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError):
        full = f"{name}@{revision}" if revision else name
        raise Wrong(
            f"{full} is neither a file or folder nor in the hub's cache:"
            f" fetch it with `remembrandt families pull {full}`"
        ) from None
    return place, {"name": name, "revision": place.name}


def _built(parts: Parts, facts: Mapping[str, str], device: torch.device, dtype: torch.dtype) -> Family:
    networks: dict[str, Any] = {}
    for name, config in parts.configs.items():
        networks[name] = blank(name, config, parts.tokenizer)
        kind = dtype if name == "unet" or dtype == torch.float16 else torch.float32
        what = f"{name} of {parts.place}"
        weights.fill(networks[name], parts.weights[name], device, kind, what)
    networks["vae"].to(memory_format=torch.channels_last)  # a quarter faster
    said = {**parts.facts, **facts}
    scheduler = parts.scheduler
    if scheduler is None:
        scheduler = SCHEDULER | {"prediction_type": _predicts(networks["unet"])}
        said.setdefault("size", 768 if scheduler["prediction_type"] == "v_prediction" else 512)
    kind = said.get("kind", TEXT)
    record, notices = _record(said, networks, kind)
    return Family(
        name=said["name"],
        revision=str(said["revision"]) if "revision" in said else None,
        folder=parts.place,
        tokenizer=parts.tokenizer,  # type: ignore[arg-type]
        text_encoder=networks.get("text_encoder"),  # type: ignore[arg-type]
        vae=networks["vae"],
        unet=networks["unet"],
        image_encoder=networks.get("image_encoder"),
        schedule=_schedule(scheduler, parts.place),
        scheduler=scheduler,
        record=record,
        device=device,
        dtype=dtype,
        stored=parts.weights,
        kind=kind,
        lower=said.get("lower"),
        slots=int(said.get("slots", 1)),
        notices=notices,
    )


def _record(said: Mapping[str, Any], networks: Mapping[str, Any], kind: str) -> tuple[Record, tuple[str, ...]]:
    """How the family likes to paint, and what is to be said of it."""
    unet, levels = networks["unet"].config, len(networks["vae"].config["block_out_channels"])
    known = {"size": unet["sample_size"] * 2 ** (levels - 1)}
    known |= FAMILIES.get(unet["cross_attention_dim"], {})
    notices = ()
    if kind == VARIATIONS:
        known |= PICTURED
        ways = ", ".join(f"{key} {str(value).lower()}" for key, value in PUBLISHED.items())
        silent = f"{said['name']} does not say how it is shown pictures: as was published with its kind ({ways})"
        notices = () if "resize" in said else (silent,)
        said = {**said, "resize": {**PUBLISHED, **said.get("resize", {})}}
    known |= {k: said[k] for k in RECORDED if k in said}
    try:
        return Record(int(known.pop("size")), **{k: KINDS[k](v) for k, v in known.items()}), notices
    except (TypeError, ValueError) as fault:
        raise Wrong(f"the record of {said['name']} is not sound: {fault}") from None


def _schedule(scheduler: Mapping[str, Any], place: Path) -> schedule.Schedule:
    try:
        return schedule.from_config(scheduler)
    except (TypeError, ValueError) as fault:
        raise Wrong(f"the scheduler of {place} is not one that is known here: {fault}") from None


@torch.no_grad()
def _predicts(unet: UNet2DConditionModel) -> str:
    """What a network of 2.x predicts, asked of itself, since its checkpoints do not say.

    At the last time step its input is noise: a network that predicts noise gives it back, one that
    predicts v gives something near minus the picture. The question is that of the AUTOMATIC1111 UI.
    """
    like = {"dtype": unet.dtype, "device": unet.device}
    x = torch.full((1, unet.config["in_channels"], 8, 8), 0.5, **like)
    tokens = torch.full((1, 2, unet.config["cross_attention_dim"]), 0.5, **like)
    out = unet(x, torch.tensor([999], device=unet.device), tokens).sample.float()
    return "v_prediction" if float((out - x[:, : out.shape[1]].float()).mean()) < -1 else "epsilon"
