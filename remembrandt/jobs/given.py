"""Pictures as Python gives them (paths, PIL, arrays, tensors), as the paths that `photos` reads."""

from __future__ import annotations

import io
import os
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from remembrandt.settings import Wrong


@contextmanager
def paths(images: Any) -> Iterator[Any]:
    """A folder as a path, several pictures as a list of paths; those in memory lie in a while's
    folder. Arrays are (h, w, 3) uint8; tensors (3, h, w) in [-1, 1]; a depth may be (h, w) of floats.
    """
    if images is None:
        yield None
    elif isinstance(images, str | os.PathLike):
        folder = Path(images).expanduser()
        if not folder.exists():
            raise Wrong(f"there is no folder {folder}: give the one that holds your photos")
        yield folder
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield [path(image, Path(folder) / f"{k:04d}.png") for k, image in enumerate(images)]


@contextmanager
def pictures(**images: Any) -> Iterator[dict[str, str | None]]:
    """Single pictures by name, each as the path of a file; None stays None."""
    with tempfile.TemporaryDirectory() as folder:
        yield {
            name: str(path(image, Path(folder) / f"{name}.png").absolute()) if not missing(image) else image
            for name, image in images.items()
        }


def missing(image: Any) -> bool:
    """Whether there is no picture, or one that is left to be found: a depth, which is estimated."""
    return image is None or (isinstance(image, str) and image == "auto")


def path(image: Any, place: Path) -> Path:
    """The file of a picture: its own, or `place`, where it is written if it is in memory."""
    if isinstance(image, str | os.PathLike):
        return Path(image).expanduser()
    if not isinstance(image, Image.Image):
        image = Image.fromarray(_array(image))
    image.save(place)
    return place


def _array(image: Any) -> np.ndarray:
    if hasattr(image, "detach"):  # a tensor, without importing torch to know
        image = (image.detach().float().cpu().numpy() + 1) * 127.5
        image = np.clip(np.round(image), 0, 255).astype(np.uint8).transpose(1, 2, 0)
    array = np.asarray(image)
    if array.ndim == 2 and array.dtype.kind == "f":  # a depth
        return ((array - array.min()) / (np.ptp(array) or 1) * 65535).astype(np.uint16)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] not in (3, 4):
        raise Wrong(
            f"a picture must be a path, a PIL picture, an array (h, w, 3) of uint8 or a tensor"
            f" (3, h, w) in [-1, 1], not {array.dtype} {array.shape}"
        )
    return array


def zipped(photos: Path | list[Path]) -> bytes:
    """A folder, or several pictures, as one zip."""
    data = io.BytesIO()
    several = not isinstance(photos, Path)
    found = [(p, p.name) for p in photos] if several else [(p, str(p.relative_to(photos))) for p in photos.rglob("*")]
    with zipfile.ZipFile(data, "w") as archive:
        for place, name in found:
            if place.is_file():
                archive.write(place, name)
            elif several:
                raise Wrong(f"there is no picture {place}")
    return data.getvalue()
