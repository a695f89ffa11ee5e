"""The recipe in the picture: JSON and the A1111 "parameters" form, in PNG text or EXIF."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from remembrandt.diffusion.samplers import SAMPLERS
from remembrandt.engine.engine import Painted
from remembrandt.report import write_atomic
from remembrandt.settings import Wrong

KEY, PARAMETERS = "remembrandt", "parameters"
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
EXIF_IFD, USER_COMMENT, DESCRIPTION = 0x8769, 0x9286, 0x010E


def parameters(recipe: dict[str, Any]) -> str:
    """The form that other tools read: prompt, negative prompt, then "Steps: 20, Sampler: ..."."""
    negative = f"\nNegative prompt: {recipe['negative']}" if recipe.get("negative") else ""
    label = SAMPLERS[recipe["sampler"]].label
    facts = {
        "Steps": recipe["steps"], "Sampler": label, "CFG scale": recipe["guidance"], "Seed": recipe["seed"],
        "Size": recipe["size"], "Model": recipe.get("model", recipe.get("family")),
    }  # fmt: skip
    return f"{recipe['prompt']}{negative}\n" + ", ".join(f"{k}: {v}" for k, v in facts.items())


def save(painted: Painted, path: Path) -> None:
    """Write the picture with its recipe, atomically; the name's ending says the format (png, jpg, webp)."""
    kind = FORMATS.get(path.suffix.lower())
    if kind is None:
        raise Wrong(f"{path.suffix or path.name!r} is no picture format: png, jpg and webp are")
    image, options = Image.fromarray(painted.pixels), {}
    content = json.dumps(painted.recipe, sort_keys=True)
    if kind == "PNG":
        notes = PngImagePlugin.PngInfo()
        notes.add_itxt(KEY, content)
        notes.add_itxt(PARAMETERS, parameters(painted.recipe))
        options = {"pnginfo": notes}
    else:
        exif = image.getexif()
        exif[DESCRIPTION] = content
        comment = b"UNICODE\0" + parameters(painted.recipe).encode("utf-16-be")
        exif.get_ifd(EXIF_IFD)[USER_COMMENT] = comment
        options = {"exif": exif.tobytes(), "quality": 95}
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, buffer.getvalue())


def read(path: Path) -> dict[str, Any]:
    """The recipe of a picture that `save` wrote; `Wrong` if it has none."""
    try:
        with Image.open(path) as image:
            content = image.info.get(KEY) or image.getexif().get(DESCRIPTION)
            return json.loads(content)
    except (OSError, TypeError, ValueError):
        raise Wrong(f"{path} carries no recipe") from None
