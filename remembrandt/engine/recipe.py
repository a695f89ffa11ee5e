"""The recipe that a picture carries: what painted it, for us as JSON, for other tools in A1111's form."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin

from remembrandt.diffusion.samplers import SAMPLERS
from remembrandt.engine.engine import Painted
from remembrandt.report import write_atomic
from remembrandt.settings import Wrong, nearest

KEY, PARAMETERS = "remembrandt", "parameters"
DESCRIPTION, EXIF, COMMENT = 0x010E, 0x8769, 0x9286  # EXIF 2.32, tables 4 and 7
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}


def save(painted: Painted, path: Path) -> Path:
    """Write the picture as its suffix says (.png, .jpg, .webp), whole or not at all."""
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        hint = nearest(path.suffix, FORMATS)
        raise Wrong(f"pictures are saved as {', '.join(FORMATS)}, not {path.suffix!r}.{hint}")
    return write_atomic(path, written(painted, kind))


def written(painted: Painted, kind: str) -> bytes:
    """The file of a picture, with its recipe; `kind` is PNG, JPEG or WEBP."""
    data, told = BytesIO(), json.dumps(painted.recipe)
    image = Image.fromarray(painted.pixels)
    if kind == "PNG":
        texts = PngImagePlugin.PngInfo()
        texts.add_itxt(KEY, told)
        texts.add_itxt(PARAMETERS, parameters(painted.recipe))
        image.save(data, kind, pnginfo=texts)
    else:
        image.save(data, kind, quality=95, exif=_exif(painted.recipe, told))
    return data.getvalue()


def png(pixels: np.ndarray) -> bytes:
    """A picture without a recipe, such as a hint."""
    Image.fromarray(pixels).save(data := BytesIO(), "PNG")
    return data.getvalue()


def read(path: Path) -> dict[str, Any]:
    """The recipe of a picture that `save` wrote; `Wrong` if it carries none."""
    try:
        with Image.open(path) as image:
            exif = image.getexif()
            told = image.info.get(KEY) or exif.get(DESCRIPTION)
        recipe = json.loads(told or "null")
    except (OSError, ValueError):
        recipe = None
    if not isinstance(recipe, dict) or "prompt" not in recipe:
        raise Wrong(f"{path} carries no recipe: give a picture that remembrandt painted")
    return recipe


def parameters(recipe: dict[str, Any]) -> str:
    """The recipe as AUTOMATIC1111's web UI writes it, so that other tools read it."""
    facts = {
        "Steps": recipe["steps"],
        "Sampler": SAMPLERS[recipe["sampler"]].label,
        "CFG scale": f"{recipe['guidance']:g}",
        "Seed": recipe["seed"],
        "Size": recipe["size"],
        "Model": recipe.get("model") or recipe.get("family"),
    }
    negative = [f"Negative prompt: {recipe['negative']}"] if recipe["negative"] else []
    last = ", ".join(f"{key}: {value}" for key, value in facts.items())
    return "\n".join([recipe["prompt"], *negative, last])


def _exif(recipe: dict[str, Any], told: str) -> Image.Exif:
    exif = Image.Exif()
    exif[DESCRIPTION] = told
    # The comment's first eight bytes name its encoding; A1111 writes big-endian UTF-16.
    comment = b"UNICODE\0" + parameters(recipe).encode("utf-16-be")
    exif.get_ifd(EXIF)[COMMENT] = comment
    return exif
