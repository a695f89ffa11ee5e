"""What a model's name stands for: its base, its weights, what it was taught."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from remembrandt.jobs import permissions
from remembrandt.settings import Missing, Wrong, nearest
from remembrandt.store.rows import Concept, Model
from remembrandt.store.store import Store

MINE, PRETRAINED, POCKET, VARIATIONS, INPAINT = "mine", "pretrained", "pocket", "variations", "inpaint"
TASKS = (VARIATIONS, INPAINT, "depth", "upscale", "mixer")  # embedded painters for one task
RESERVED = (PRETRAINED, POCKET, *TASKS)
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
Document = dict[str, Any]


def painter(store: Store, name: str | None) -> Document:
    """What a request to paint with `name` has to hold: `model, version, base, weights, older, photos`.

    Without a name, or with `mine` before its first lesson, it is the embedded base itself. A
    folder, a file, a hub id and the name of an added family stand for themselves.
    """
    held = store.model(name or MINE)
    permissions.use(store, held.scope if held and held.version else PRETRAINED)
    if held and held.version:
        version, concepts = store.version(held.id, held.version), store.concepts(held)
        return {
            "model": held.name,
            "version": held.version,
            "base": held.base,
            "weights": version.weights if version else None,
            "worn_by": held.worn_by,
            "older": [known(c) for c in concepts],
            "photos": {c.identifier: c.photos for c in concepts},
        }
    base = {"source": _source(store, name), "folder": None, "digest": None}
    plain = {"version": 0, "weights": None, "worn_by": Model.worn_by, "older": [], "photos": {}}
    return {"model": name or MINE, "base": base, **plain}


def taught(store: Store, name: str) -> Model:
    """A model that was taught something; `Wrong` proposes the nearest name."""
    held = store.model(name)
    if held is None or not held.version:
        if name == MINE:
            raise Wrong("nothing was taught yet: remembrandt finetune PHOTOS --category dog")
        hint = nearest(name, [PRETRAINED, *(m.name for m in store.models())])
        raise Missing(f"there is no model {name!r}.{hint} `models list` names them")
    return held


def known(concept: Concept) -> Document:
    """A concept as the memory knows it, in JSON."""
    return {k: getattr(concept, k) for k in ("id", "identifier", "category", "name", "folder")}


def text_to_image(family: Any) -> Any:
    """The family, if it paints from a prompt alone; `Wrong` if its UNet wants a picture, a mask or a depth map."""
    if family.kind == VARIATIONS:
        raise Wrong(f"{family.name} is steered by pictures, not by text: give a text-to-image model")
    channels, own = family.unet.config["in_channels"], family.vae.config["latent_channels"]
    if channels != own:
        raise Wrong(
            f"{family.name} takes {channels} channels, not {own}, as models for inpainting or depth do:"
            " give a text-to-image model"
        )
    return family


def spelled(base: str) -> str:
    """A path as it is from anywhere; anything else as it is."""
    path = Path(base).expanduser()
    return str(path.absolute()) if path.exists() else base


def _source(store: Store, name: str | None) -> str:
    added = store.families()
    if name in TASKS:
        return str(name)
    if name in (None, MINE, PRETRAINED, POCKET):
        return POCKET
    if name in added:
        return added[name]
    if not store.owner and (Path(name).expanduser().exists() or "/" in name):  # a user of a server has no paths there
        return spelled(name)
    names = [MINE, PRETRAINED, *added, *(m.name for m in store.models())]
    raise Missing(f"there is no model {name!r}.{nearest(name, names)} `models list` names them")
