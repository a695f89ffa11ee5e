"""Hints: what a control sees of a picture. A new hint is one function and one row of `HINTS`.

Edges, lines and strokes need no learned weights; the rest is seen by estimators whose weights have to be there. All
take and give uint8 (h, w, 3), and what they give is as published networks were trained on: white on black, white near,
blue to the front, coloured limbs, ADE20K's colours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from remembrandt.conditions import depth
from remembrandt.family.family import Family
from remembrandt.settings import Wrong, nearest

LOW, HIGH = 100, 200  # Canny's thresholds, as published
SHORTEST = 0.06  # of a picture's shorter side, a line that is drawn
STEEP = 2.0  # how far a whole change of depth along a picture's side tilts a normal: its tangent
DEPTHS, SEGMENTS, POSES = "Intel/dpt-large", "openmmlab/upernet-convnext-small", "lllyasviel/Annotators"


@dataclass(frozen=True)
class Hint:
    """A row: how it is made of a picture, or of how `near` (h, w) in [0, 1] what it shows is, and the hub's id of the
    network that was published for SD 1."""

    make: Callable[[np.ndarray], np.ndarray]
    about: str
    published: str
    near: bool = False


def canny(picture: np.ndarray) -> np.ndarray:
    """Edges, one pixel wide (Canny 1986)."""
    return _white(cv2.Canny(picture, LOW, HIGH))


def soft_edge(picture: np.ndarray) -> np.ndarray:
    """Edges as bright as they are strong: Scharr's gradient of a smoothed picture, in place of a learned one (HED)."""
    smooth = cv2.GaussianBlur(picture, (0, 0), _fine(picture)).astype(np.float32)
    across, down = (np.abs(cv2.Scharr(smooth, cv2.CV_32F, *way)).max(2) for way in ((1, 0), (0, 1)))
    strength = np.hypot(across, down)
    most = np.quantile(strength, 0.995)
    return _white(255 * (strength / most).clip(0, 1) if most > 1 else np.zeros_like(strength))


def straight(picture: np.ndarray) -> np.ndarray:
    """Straight lines (von Gioi et al. 2010), in place of a learned detector (M-LSD)."""
    grey, drawn = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.zeros(picture.shape[:2], np.uint8)
    lines = cv2.createLineSegmentDetector().detect(grey)[0]
    for a, b, c, d in () if lines is None else lines.reshape(-1, 4):
        if np.hypot(c - a, d - b) >= SHORTEST * min(drawn.shape):
            cv2.line(drawn, (round(a), round(b)), (round(c), round(d)), 255, 1)
    return _white(drawn)


def scribble(picture: np.ndarray) -> np.ndarray:
    """The edges that are left of a blurred picture, as strokes of a pen."""
    blurred = cv2.GaussianBlur(picture, (0, 0), 2 * _fine(picture))
    wide = max(2, round(min(picture.shape[:2]) / 64))
    pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (wide, wide))
    return _white(cv2.dilate(cv2.Canny(blurred, LOW / 4, HIGH / 4), pen))


def shaded(near: np.ndarray) -> np.ndarray:
    """How near things are."""
    return _white(255 * near)


def facing(near: np.ndarray) -> np.ndarray:
    """Which way surfaces face: red to the left, green to the top, blue to the front."""
    return normals(cv2.GaussianBlur(near, (0, 0), max(0.8, min(near.shape) / 512)))


def segmentation(picture: np.ndarray) -> np.ndarray:
    """What is where, in ADE20K's colours, by a network of transformers."""
    palette = _aux("segmentation", "util").ade_palette()
    place = _there("segmentation", SEGMENTS)
    processor, network = _segmenter(place)
    seen = network(**processor(picture, return_tensors="pt"))
    [numbers] = processor.post_process_semantic_segmentation(seen, target_sizes=[picture.shape[:2]])
    return np.asarray(palette, np.uint8)[numbers.cpu().numpy()]


def pose(picture: np.ndarray) -> np.ndarray:
    """The limbs of people, by OpenPose."""
    from PIL import Image

    detector = _aux("pose", "open_pose").OpenposeDetector.from_pretrained(str(_there("pose", POSES)))
    made = np.asarray(detector(Image.fromarray(picture)).convert("RGB"))
    return cv2.resize(made, picture.shape[1::-1], interpolation=cv2.INTER_AREA)


def normals(near: np.ndarray) -> np.ndarray:
    """Which way the surface of a depth (h, w) in [0, 1], 1 near, faces: the normal's x to the left, y up, z to us."""
    slope = STEEP * max(near.shape) / 8  # Sobel's sum is 8 times the change from one pixel to the next
    left, up = (cv2.Sobel(near.astype(np.float32), cv2.CV_32F, *way, ksize=3) for way in ((1, 0), (0, 1)))
    found = np.dstack([left * slope, up * slope, np.ones_like(left)])
    found /= np.linalg.norm(found, axis=2, keepdims=True)
    return np.rint(127.5 * (found + 1)).astype(np.uint8)


#: The control that is published for each hint is of ControlNet 1.1.
HINTS: dict[str, Hint] = {
    "canny": Hint(canny, "sharp edges", "lllyasviel/control_v11p_sd15_canny"),
    "soft-edge": Hint(soft_edge, "soft edges", "lllyasviel/control_v11p_sd15_softedge"),
    "mlsd": Hint(straight, "straight lines", "lllyasviel/control_v11p_sd15_mlsd"),
    "depth": Hint(shaded, "near is white", "lllyasviel/control_v11f1p_sd15_depth", near=True),
    "normal": Hint(facing, "which way surfaces face", "lllyasviel/control_v11p_sd15_normalbae", near=True),
    "pose": Hint(pose, "limbs in colours", "lllyasviel/control_v11p_sd15_openpose"),
    "scribble": Hint(scribble, "strokes of a pen", "lllyasviel/control_v11p_sd15_scribble"),
    "segmentation": Hint(segmentation, "what is where, in colours", "lllyasviel/control_v11p_sd15_seg"),
}


def known(name: str) -> Hint:
    if name not in HINTS:
        raise Wrong(f"there is no hint {name!r}.{nearest(name, HINTS)} There are: {', '.join(HINTS)}")
    return HINTS[name]


@torch.no_grad()
def make(name: str, picture: np.ndarray, family: Family) -> np.ndarray:
    """The hint of a picture, uint8 (h, w, 3) both; `Wrong` if its estimator is not there."""
    row = known(name)
    return row.make(_near(name, picture, family) if row.near else picture)


def _fine(picture: np.ndarray) -> float:
    return max(0.8, min(picture.shape[:2]) / 512)


def _white(grey: np.ndarray) -> np.ndarray:
    return np.repeat(np.rint(grey).astype(np.uint8)[..., None], 3, 2)


def _near(hint: str, picture: np.ndarray, family: Family) -> np.ndarray:
    """(h, w) in [0, 1], 1 is nearest: by the family's own estimator, or else one of the hub's cache."""
    own = family.folder is not None and (family.folder / depth.OWN / "config.json").is_file()
    seen = depth.estimated(family, picture, None if own else _there(hint, DEPTHS))
    seen = cv2.resize(seen, picture.shape[1::-1], interpolation=cv2.INTER_CUBIC)
    return (seen - seen.min()) / max(float(np.ptp(seen)), 1e-12)


@cache
def _segmenter(place: Path) -> tuple[Any, Any]:
    from transformers import AutoImageProcessor, UperNetForSemanticSegmentation

    kind = UperNetForSemanticSegmentation.from_pretrained(place, local_files_only=True, use_safetensors=True)
    return AutoImageProcessor.from_pretrained(place, local_files_only=True), kind.eval()


def _there(hint: str, name: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except LocalEntryNotFoundError:
        how = f"hf download {name}" if name == POSES else f"remembrandt families pull {name}"
        raise Wrong(
            f"the hint {hint} needs the weights of {name}, which are not here: `{how}` fetches them;"
            f" or give a hint that is ready, as --control {hint}:hint=FILE"
        ) from None


def _aux(hint: str, module: str) -> Any:
    from importlib import import_module

    try:
        return import_module(f"controlnet_aux.{module}")
    except ImportError:
        raise Wrong(
            f"the hint {hint} needs controlnet_aux: pip install 'remembrandt[hints]';"
            f" or give a hint that is ready, as --control {hint}:hint=FILE"
        ) from None
