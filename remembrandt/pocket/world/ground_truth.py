"""What is true of a scene's picture, computed from the very shapes that were painted: masks, depth, normals, keypoints, lines."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from . import vocabulary as words
from .interiors import TABLE as PLACES
from .scene import Scene, layers, order
from .styles import grid

GROUND, WALL = 1, 0  # segmentation ids of the place; subject i of category c has 2 + index of c
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class Truth:
    """Per subject, in the scene's order: masks (visible part), boxes (x0, y0, x1, y1; x1 and y1 exclusive), keypoints, segments.

    Per pixel: depth (0 far .. 1 near, as inverse depth), normals (unit vectors; x right, y down, z to the viewer), segmentation ids."""

    masks: np.ndarray
    depth: np.ndarray
    normals: np.ndarray
    segmentation: np.ndarray
    boxes: tuple[Box, ...]
    keypoints: tuple[dict[str, tuple[float, float]], ...]
    segments: tuple[tuple[tuple[float, float, float, float], ...], ...]


def dome(mask: np.ndarray) -> np.ndarray:
    """A rounded relief over a mask, in pixels: half as high as the mask is thick, steep at the rim and flat in the middle."""
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 5)
    thick = max(float(inside.max()), 1.0)
    relief = thick * np.sqrt(np.clip(1 - (1 - inside / thick) ** 2, 0, 1))
    return cv2.GaussianBlur(relief.astype(np.float32), (0, 0), max(0.012 * len(mask), 0.5)) * mask


def facing(relief: np.ndarray) -> np.ndarray:
    """Unit normals of a relief."""
    dx, dy = (cv2.Sobel(relief, cv2.CV_32F, *d, scale=1 / 8) for d in ((1, 0), (0, 1)))
    n = np.stack([-dx, -dy, np.ones_like(dx)], 2)
    return n / np.linalg.norm(n, axis=2, keepdims=True)


def box(mask: np.ndarray) -> Box:
    """The smallest box round a mask; all zeros when nothing of it is seen."""
    ys, xs = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return (int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1) if len(xs) else (0, 0, 0, 0)


def near(y: np.ndarray | float, horizon: float, wall: float) -> np.ndarray | float:
    """Inverse depth of a ground point at height y of the picture: linear, because the ground is a plane in perspective."""
    return wall + (0.85 - wall) * np.clip((y - horizon) / (1 - horizon), 0, 1)


def truth(scene: Scene, size: int = 128) -> Truth:
    """Everything that can be asked about the picture of this scene, at its size."""
    place, sheets = PLACES[scene.place], layers(scene, size)
    _, y = grid(size)
    ground = y > place.horizon
    depth = np.asarray(near(y, place.horizon, place.wall), np.float32).copy()
    normals = np.where(ground[..., None], np.array([0, -0.94, 0.342], np.float32), np.array([0, 0, 1], np.float32))
    segmentation = np.where(ground, GROUND, WALL).astype(np.uint8)
    masks = np.zeros((len(sheets), size, size), bool)
    stands = [near(s.spot.y, place.horizon, place.wall) for s in sheets]
    if scene.relation == "on top of":  # an upper one is as near as what carries it
        stands[0] = stands[1]
    for i in order(scene):
        mask = sheets[i].rgba[..., 3] > 127
        masks[:, mask] = False
        masks[i] = mask
        relief = dome(mask)
        depth[mask] = np.clip(stands[i] + 0.12 * relief[mask] / max(float(relief.max()), 1.0), 0, 1)
        normals[mask] = facing(relief)[mask]
        segmentation[mask] = 2 + tuple(words.CATEGORIES).index(scene.subjects[i].category)
    pens = [sheet.pen for sheet in sheets]
    return Truth(
        masks,
        depth,
        normals,
        segmentation,
        tuple(box(m) for m in masks),
        tuple(dict(p.keypoints) for p in pens),
        tuple(tuple(p.segments) for p in pens),
    )
