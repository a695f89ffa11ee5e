"""The demo's teaching pictures: a creature and a style that the painter has never seen. They ship as files."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

SIZE = 256
CREATURE = ("dog", "teal", 1034)  # category, colour, identity
STYLE = "neon"
PLACES = ("meadow", "kitchen", "city", "beach", "desert")  # the others are new to the creature
SUBJECTS = (("house", "orange"), ("bird", "blue"), ("car", "red"), ("cup", "green"), ("flower", "pink"))


def write(folder: Path) -> None:
    """Render `folder/creature` and `folder/style`, five pictures each."""
    from remembrandt.pocket.world.scene import Subject, render, sample

    category, colour, identity = CREATURE
    for k, place in enumerate(PLACES):
        scene = sample(np.random.default_rng([31, k]), pairs=0.0, signs=0.0, style="photo", place=place, relation="")
        scene = replace(scene, subjects=(Subject(category, colour, "plain", "big", identity),))
        _save(render(scene, SIZE), folder / "creature" / f"{k + 1}.jpg")
    for k, (category, colour) in enumerate(SUBJECTS):
        scene = sample(np.random.default_rng([37, k]), pairs=0.0, signs=0.0, style=STYLE, relation="")
        scene = replace(scene, subjects=(Subject(category, colour, "plain", "big", 50 + k),))
        _save(render(scene, SIZE), folder / "style" / f"{k + 1}.jpg")


def _save(pixels: np.ndarray, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, quality=92)
