"""What a control may see of a scene of the world: hints that are true, since the world knows what it painted.

Edges are those of the picture itself. Lines, depth and normals come from the very shapes that were painted, as hints of
ordinary pictures have them (`conditions/hints.py`); limbs and segments, of which the world has others, in its own
colours.
"""

from __future__ import annotations

import colorsys
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from remembrandt.conditions import hints
from remembrandt.pocket import paint, pictures

SIDES = ("left", "right")
#: Which keypoints a limb joins, whatever has them; each has a colour of its own.
LIMBS = (
    ("neck", "nose"), *(("nose", f"{s} eye") for s in SIDES), ("nose", "eye"), ("nose", "ear"),
    *((f"{s} eye", f"{s} ear") for s in SIDES),
    *(pair for s in SIDES for pair in (
        ("neck", f"{s} shoulder"), (f"{s} shoulder", f"{s} elbow"), (f"{s} elbow", f"{s} wrist"),
        ("neck", f"{s} hip"), (f"{s} hip", f"{s} knee"), (f"{s} knee", f"{s} ankle"),
    )),
    ("neck", "shoulder"), ("shoulder", "hip"), ("hip", "tail"), ("shoulder", "front paw"), ("hip", "hind paw"),
    *(("shoulder", f"{s} paw") for s in SIDES),
    ("beak", "eye"), ("eye", "crown"), ("crown", "neck"), ("neck", "back"), ("back", "tail"), ("back", "wing tip"),
    ("neck", "belly"), *(("belly", f"{s} foot") for s in SIDES),
    *(("neck", f"{s} {end}") for s in SIDES for end in ("hand", "foot")),
)  # fmt: skip


def of(scene, size: int = 128, picture: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """Each hint of a scene, uint8 (size, size, 3), by its control's name; `picture` is the scene's render, if known."""
    from remembrandt.pocket.world.ground_truth import truth
    from remembrandt.pocket.world.scene import render

    shown, true = render(scene, size) if picture is None else picture, truth(scene, size)
    facing = true.normals * np.array([-1, -1, 1], np.float32)  # to the left, up, to us
    return {
        "canny": hints.canny(shown),
        "soft-edge": hints.soft_edge(shown),
        "mlsd": lines([line for own in true.segments for line in own], size),
        "depth": hints.shaded(true.depth),
        "normal": np.rint(127.5 * (facing + 1)).astype(np.uint8),
        "pose": limbs(true.keypoints, size),
        "scribble": outlines(true.masks),
        "segmentation": coloured(true.segmentation),
    }


def lines(segments: Iterable[tuple[float, float, float, float]], size: int) -> np.ndarray:
    """Straight lines (x0, y0, x1, y1) in pixels, white on black."""
    drawn = np.zeros((size, size, 3), np.uint8)
    for x0, y0, x1, y1 in segments:
        cv2.line(drawn, (round(x0), round(y0)), (round(x1), round(y1)), (255, 255, 255), 1)
    return drawn


def limbs(keypoints: Iterable[dict[str, tuple[float, float]]], size: int) -> np.ndarray:
    """What joins the keypoints of each thing, and these themselves, each in its colour."""
    drawn, wide = np.zeros((size, size, 3), np.uint8), max(1, size // 64)
    for points in keypoints:
        at = {name: (round(x), round(y)) for name, (x, y) in points.items()}
        for number, (a, b) in enumerate(LIMBS):
            if a in at and b in at:
                cv2.line(drawn, at[a], at[b], colour(number, len(LIMBS)), wide)
        for number, name in enumerate(sorted(at)):
            cv2.circle(drawn, at[name], wide, colour(number, len(at), 0.5), -1)
    return drawn


def outlines(masks: np.ndarray) -> np.ndarray:
    """The outlines of things as strokes, white on black; `masks` bool (n, h, w)."""
    drawn = np.zeros((*masks.shape[1:], 3), np.uint8)
    for mask in masks:
        found = cv2.findContours(mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)[0]
        cv2.drawContours(drawn, found, -1, (255, 255, 255), max(2, masks.shape[1] // 64))
    return drawn


def coloured(numbers: np.ndarray) -> np.ndarray:
    """Segments in their colours, uint8 (h, w, 3)."""
    return palette()[numbers]


def read(picture: np.ndarray) -> np.ndarray:
    """The segments' numbers (h, w) of colours, the nearest of the palette."""
    apart = np.square(picture[..., None, :].astype(np.int32) - palette()).sum(-1)
    return apart.argmin(-1).astype(np.uint8)


def palette() -> np.ndarray:
    """A colour for each segment, uint8 (n, 3): the place's wall and ground, then every category."""
    from remembrandt.pocket.world import vocabulary

    count = len(vocabulary.CATEGORIES)
    things = [colour(k, count, 0.5 + 0.5 * (k % 2)) for k in range(count)]
    return np.array([(60, 60, 60), (150, 150, 150), *things], np.uint8)


def colour(number: int, count: int, light: float = 1.0) -> tuple[int, int, int]:
    """One of `count` hues."""
    r, g, b = (round(255 * part) for part in colorsys.hsv_to_rgb(number / count, 1, light))
    return r, g, b


def pairs(folder: Path, name: str, numbers: Iterable[int], size: int = 128) -> Path:
    """Scenes with their captions and the hints of a control, as `train FAMILY controlnet --data` takes them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        scene = pictures.scene(number)
        shown = pictures.picture(number, size)
        Image.fromarray(shown).save(folder / f"{number:07d}.png")
        Image.fromarray(of(scene, size, shown)[name]).save(folder / f"{number:07d}.hint.png")
        (folder / f"{number:07d}.txt").write_text(paint.caption(number, 0))
    return folder
