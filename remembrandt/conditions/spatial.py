"""Pictures as conditions: their fit to a family's size, masks at the size of latents, and pasting back.

Masks are (h, w) bool, true where it is painted anew; pictures uint8 (h, w, 3).
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

LEAST, MOST = 64, 2048  # pixels a side that are painted
SOFT = 4  # pixels, at the size that is painted, over which what is new fades in


def fitted(width: int, height: int, side: int, step: int) -> tuple[int, int]:
    """(width, height) to paint a picture at: its own if that is whole steps and of about side x side pixels, else of
    that area and its own shape, in whole steps."""
    near = 0.5 <= width * height / side**2 <= 2 and min(width, height) >= LEAST
    if near and not width % step and not height % step:
        return width, height
    scale = side / math.sqrt(width * height)
    wide, high = (round(x * scale / step) * step for x in (width, height))
    return min(max(wide, LEAST), MOST), min(max(high, LEAST), MOST)


def resized(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resampled to (width, height): averaged where it shrinks, cubic where it grows."""
    if pixels.shape[1::-1] == tuple(size):
        return pixels
    shrinks = size[0] * size[1] < pixels.shape[0] * pixels.shape[1]
    return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)


def to_tensor(pixels: np.ndarray) -> Tensor:
    """uint8 (n, h, w, 3), or one (h, w, 3), as (n, 3, h, w) in [-1, 1]."""
    return torch.tensor(pixels if pixels.ndim == 4 else pixels[None]).permute(0, 3, 1, 2).float() / 127.5 - 1


def shrunk(mask: np.ndarray, size: tuple[int, int], factor: int) -> Tensor:
    """The mask over latents (1, 1, h, w) of a picture painted at `size`: 1 wherever any of its pixels is repainted."""
    wide, high = size
    grown = F.adaptive_max_pool2d(torch.tensor(mask).float()[None, None], (high, wide))  # a thin line stays
    return F.max_pool2d(grown, factor)


def expanded(pixels: np.ndarray, by: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The picture with (left, top, right, bottom) more pixels that continue its edge, and the mask of what is new."""
    left, top, right, bottom = by
    canvas = cv2.copyMakeBorder(pixels, top, bottom, left, right, cv2.BORDER_REPLICATE)
    mask = np.ones(canvas.shape[:2], bool)
    mask[top : top + pixels.shape[0], left : left + pixels.shape[1]] = False
    return canvas, mask


def pasted(old: np.ndarray, new: np.ndarray, mask: np.ndarray, soft: float) -> np.ndarray:
    """`new` where the mask is, fading in over `soft` pixels within it; outside `old`, to the bit."""
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    share = (depth / max(1.0, min(soft, depth.max())))[..., None].clip(0, 1)
    mixed = np.rint(old + (new.astype(np.float32) - old) * share).astype(np.uint8)
    return np.where(mask[..., None], mixed, old)
