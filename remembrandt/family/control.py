"""Networks of controls: folders of diffusers' `ControlNetModel`, read and written, for one family."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from diffusers import ControlNetModel

from remembrandt.family import delta, weights
from remembrandt.family import folder as folders
from remembrandt.family.family import Family
from remembrandt.family.load import parts_of
from remembrandt.family.parts import blank, config_of
from remembrandt.settings import Wrong

CLASS, TURNED = "ControlNetModel", "TurnedControl"  # the other kind is conditions/turned.py's
SHAPE = ("block_out_channels", "cross_attention_dim", "layers_per_block", "down_block_types")


def is_one(place: Path) -> bool:
    """Whether a folder holds a control."""
    config = place / "config.json"
    return config.is_file() and folders.read_json(config).get("_class_name") in (CLASS, TURNED)


def turned(place: Path) -> bool:
    """Whether the control of a folder turns the UNet."""
    return folders.read_json(place / "config.json").get("_class_name") == TURNED


def facts(place: Path) -> dict[str, Any]:
    """What a folder says of its control beside its configuration: `name`, and `hint`, the kind that it was shown."""
    return folders.read_json(place / folders.RECORD) if (place / folders.RECORD).is_file() else {}


def fits(place: Path, family: Family) -> bool:
    """Whether a control was made for UNets of the family's shape."""
    config, unet = folders.read_json(place / "config.json"), family.unet.config
    same = all(_plain(config.get(k)) == _plain(unet[k]) for k in SHAPE)
    return same and config.get("in_channels") == family.channels


def load(place: Path, family: Family) -> ControlNetModel:
    """The control of a folder, frozen, in the type and on the device of the family's UNet.

    `Wrong` if it is none, is pickled, is damaged or was made for UNets of another shape.
    """
    if not is_one(place):
        raise Wrong(f"{place} is no control: give a folder with the config.json of a {CLASS} of diffusers")
    config = folders.read_json(place / "config.json")
    if not fits(place, family):
        widths = [some.get("cross_attention_dim") for some in (config, family.unet.config)]
        raise Wrong(
            f"{place} was made for another UNet than that of {family.name}"
            " (text {} wide, here {}): give a control of this family".format(*widths)
        )
    network, held = blank("controlnet", config, None), weights.opened_folder(place)
    if "base" in (said := facts(place)):
        names = network.state_dict()
        held = {k: read for k, read in delta.whole(_unet(said, family, place), held).items() if k in names}
    weights.fill(network, held, family.device, family.unet.dtype, f"the control {place}")
    return network  # type: ignore[return-value]


def save(network: ControlNetModel, place: Path, **said: Any) -> Path:
    """Write a control in half precision, whole or not at all, with what is `said` of it; `place` is new or empty."""
    with folders.new(place) as part:
        part.rmdir()
        folders.write_network("controlnet", network, part)
        folders.write_json(part / folders.RECORD, said)
    return place


def save_difference(
    network: ControlNetModel, base: Family, place: Path, *, form: str = delta.LOW_RANK, rank: int = 16,
    source: str | None = None, **said: Any,
) -> Path:  # fmt: skip
    """Write a control as what it differs by from the base's encoder, that it began as a copy of (`delta.save`); `load`
    must find the base by `source`, which is its name if nothing is said. diffusers cannot read such a folder."""
    unet = base.held["unet"]
    about = {"base": source or base.name, "base_digest": weights.digest({"unet": unet})} | said
    with folders.new(place) as part:
        weights.write(delta.differing(unet, weights.held(network), form, rank), part, folders.STEMS["controlnet"])
        folders.write_json(part / "config.json", config_of(network))
        folders.write_json(part / folders.RECORD, about)
    return place


def _unet(said: dict[str, Any], family: Family, place: Path) -> weights.Lazy:
    """The UNet that a control was taken from: the family's own, or that of the base that its folder names."""
    for found in (lambda: family.held["unet"], lambda: parts_of(said["base"]).weights["unet"]):
        if weights.digest({"unet": (held := found())}) == said.get("base_digest"):
            return held
    raise Wrong(f"{place} was made of other weights of {said['base']} than are here: take those, or make it again")


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value
