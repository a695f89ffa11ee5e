"""From the controls of Paint to bodies of POST /generate, and from a picture's recipe back to the controls."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from itertools import product
from pathlib import Path
from typing import Any

from PIL import Image

from remembrandt.ui.asking import data_url, embedded, wrong

Document = dict[str, Any]
MIXED = 3  # rows of what is mixed in


@dataclass(frozen=True)
class Task:
    """A way to paint: its word on the page, the API's, what it is about, which controls it shows."""

    label: str
    name: str
    about: str
    shows: tuple[str, ...] = ()


TASKS = {
    task.label: task
    for task in (
        Task("From words", "text-to-image", "Paints what the words say."),
        Task("Repaint", "image-to-image", "Paints over your picture, as far from it as the strength allows.",
             ("picture", "strength")),
        Task("Vary", "variations", "Paints anew what your picture shows; words are not needed.", ("picture", "seeing")),
        Task("Mix", "variations", "Paints what your picture and the others show together.",
             ("picture", "mixing", "seeing")),
        Task("Edit", "variations", "Moves your picture from what one text says to what another says.",
             ("picture", "editing", "seeing")),
        Task("Extend", "outpaint", "Continues your picture beyond its frame, by so many pixels.", ("picture", "frame")),
        Task("Inpaint", "inpaint", "Repaints what you brush over; all the rest stays to the bit.",
             ("canvas", "strength")),
    )
}  # fmt: skip
AXES = {"Steps": int, "Guidance": float, "Seed": int, "Sampler": str, "Strength": float, "Words": str}
SIDES = ("left", "above", "right", "below")


def body(given: Mapping[str, Any]) -> Document:
    """What the controls ask for; `Error` if something is missing. What is empty is left to the model's record."""
    task = TASKS[given["task"]]
    fields = ("prompt", "negative", "sampler", "steps", "guidance", "seed", "size", "model", "safety")
    asked: Document = {name: given[name] for name in fields if given[name] not in (None, "")}
    asked |= {"prompt": given["prompt"] or "", "num_images": int(given["n"]), "task": task.name}
    for whole in ("steps", "seed"):
        if whole in asked:
            asked[whole] = int(asked[whole])
    if "canvas" in task.shows:
        asked |= drawn(given["canvas"])
    elif "picture" in task.shows:
        if not given["picture"]:
            raise wrong("drop a picture first, or choose one of yours below")
        asked["image"] = data_url(given["picture"])
    if "strength" in task.shows:
        asked["strength"] = given["strength"]
    if "frame" in task.shows:
        asked["expand"] = [int(given[side] or 0) for side in SIDES]
    if "seeing" in task.shows:
        asked["model"] = given["seeing"] or "variations"
    if "mixing" in task.shows:
        asked["mix"] = mixed(given)
    if "editing" in task.shows:
        if not (given["source"] and given["target"]):
            raise wrong("say what the picture shows, and what it shall show instead")
        asked["edit"] = {"source": given["source"], "target": given["target"], "weight": given["weight"]}
    return asked


def mixed(given: Mapping[str, Any]) -> list[Document]:
    """What is mixed in: pictures or words, each with its weight."""
    found = []
    for k in range(MIXED):
        words, picture = given[f"words{k}"], given[f"picture{k}"]
        what = {"image": data_url(picture)} if picture else {"text": words} if words else None
        if what:
            found.append({**what, "weight": given[f"weight{k}"]})
    if not found:
        raise wrong("add at least one picture, or words, to mix in")
    return found


def drawn(canvas: Mapping[str, Any] | None) -> Document:
    """The picture below the brush and the mask that the brush made: white is repainted."""
    if not canvas or canvas.get("background") is None:
        raise wrong("drop a picture onto the canvas first, or choose one of yours below")
    under = canvas["background"].convert("RGB")
    mask = Image.new("L", under.size)
    for layer in canvas.get("layers") or []:
        mask.paste(255, mask=layer.convert("RGBA").getchannel("A").resize(under.size).point(lambda a: 255 * (a > 24)))
    if not mask.getbbox():
        raise wrong("brush over what shall be repainted")
    return {"image": _url(under), "mask": _url(mask)}


def grid(asked: Document, axes: Mapping[str, str]) -> tuple[list[list[str]], list[Document]]:
    """Bodies over the values of one or two options, the last option's side by side, all from one seed."""
    values = [[v.strip() for v in text.split(",") if v.strip()] for text in axes.values()]
    if not all(values):
        raise wrong("give values with commas between them, for example 10, 20, 40")
    asked = {"seed": secrets.randbelow(2**31), **asked, "num_images": 1}
    found = []
    for cell in product(*values):
        one = dict(asked)
        for (axis, first), value in zip(zip(axes, values, strict=True), cell, strict=True):
            try:
                one |= {axis.lower(): AXES[axis](value)} if axis != "Words" else {}
            except ValueError:
                raise wrong(f"{axis.lower()} cannot be {value!r}") from None
            if axis == "Words":
                if first[0] not in asked["prompt"]:
                    raise wrong(f"the prompt has no {first[0]!r}: the first of the words is the one that is replaced")
                one["prompt"] = one["prompt"].replace(first[0], value)
        found.append(one)
    return values, found


def read(path: str | Path) -> Document:
    """The recipe that a picture of ours carries; `Error` if it carries none."""
    try:
        with Image.open(path) as picture:
            told = picture.info.get("remembrandt") or picture.getexif().get(0x010E)
        found = json.loads(told or "null")
    except (OSError, ValueError):
        found = None
    if not isinstance(found, dict) or "prompt" not in found:
        raise wrong("this picture carries no recipe: drop one that was painted here, as its own file")
    return found


def restored(recipe: Document, models: list[str]) -> Document:
    """The controls that paint it again, as far as they say it; what it was painted from is not in a recipe."""
    label = next((t.label for t in TASKS.values() if t.name == recipe.get("task")), "From words")
    found = {k: recipe.get(k) for k in ("prompt", "negative", "sampler", "steps", "guidance", "seed")}
    found |= {"n": 1, "task": label, "size": recipe.get("size") if label == "From words" else None}
    if recipe.get("strength") is not None:
        found["strength"] = recipe["strength"]
    if recipe.get("model") in models:
        found["model"] = recipe["model"]
    return found


def _url(picture: Image.Image) -> str:
    picture.save(data := BytesIO(), "PNG")
    return embedded(data.getvalue(), "image/png")
