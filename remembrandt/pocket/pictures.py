"""What the pocket is trained on: numbered scenes of the world, and for the autoencoder also natural statistics.

A scene is its number: nothing but the number decides what it shows, so any process can render any of them, training can
start before all are rendered, and held-out numbers (from `UNSEEN` up) are never trained on.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np

UNSEEN = 1_000_000_000  # scenes from here up are for measuring
SHARD = 2_000  # pictures a file


def scene(number: int, **wanted):
    """Scene `number` of the world, with what `sample` is asked for held fixed."""
    from remembrandt.pocket.world.scene import sample

    return sample(np.random.default_rng([7, number]), **wanted)


def picture(number: int, size: int = 128) -> np.ndarray:
    """Scene `number`, uint8 (size, size, 3)."""
    from remembrandt.pocket.world.scene import render

    return render(scene(number), size)


def once(path: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """The array in `path`, which is made the first time; a maker that is killed leaves none, two do no harm."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        made = make()
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            np.save(file, made)
        Path(file.name).replace(path)
    return np.load(path, mmap_mode="r")


def shard(folder: Path, index: int) -> np.ndarray:
    """Pictures SHARD*index ... of the world as uint8 (SHARD, 128, 128, 3), rendered once and kept in `folder`."""
    path = folder / f"pictures-{index:04d}.npy"
    return once(path, lambda: np.stack([picture(SHARD * index + i) for i in range(SHARD)]))


def workers() -> ProcessPoolExecutor:
    """A process a core, begun afresh: a forked one waits forever for threads (OpenCV's) that stayed behind."""
    return ProcessPoolExecutor(mp_context=get_context("spawn"), initializer=_begin, initargs=(SHARD,))


def _begin(shard: int) -> None:
    """What a process begun afresh does not inherit."""
    global SHARD
    SHARD = shard
    cv2.setNumThreads(1)


def render(make: Callable[[Path, int], object], folder: Path, shards: int) -> None:
    """Make the first `shards` files, on every core; those that are there are not made again."""
    with workers() as pool:
        list(pool.map(make, [folder] * shards, range(shards)))


def natural(rng: np.random.Generator, size: int = 128) -> np.ndarray:
    """A picture with the statistics of photographs and nothing in it, uint8 (size, size, 3).

    Either occluding discs of scale-free radii (dead leaves; Lee, Mumford and Huang 2001) with soft inner texture, or
    noise of spectrum 1/f^a (Field 1987). The autoencoder learns edges and textures from it that the world lacks.
    """
    cloud = _cloud(rng, size)
    if rng.random() < 0.3:
        return cloud
    canvas = cloud.copy()
    for _ in range(int(rng.integers(15, 90))):
        radius = float(np.clip(4 / np.sqrt(rng.random() + 1e-3), 3, 70)) * size / 128
        centre = rng.integers(0, size, 2)
        shape = np.zeros((size, size), np.uint8)
        if rng.random() < 0.5:
            corners = centre + rng.normal(0, radius, (int(rng.integers(3, 7)), 2))
            cv2.fillPoly(shape, [corners.astype(np.int32)], 255, cv2.LINE_AA)
        else:
            axes = (int(radius), int(radius * rng.uniform(0.4, 1)))
            cv2.ellipse(shape, centre.tolist(), axes, float(rng.uniform(0, 180)), 0, 360, 255, -1, cv2.LINE_AA)
        y, x = np.mgrid[:size, :size] / size - 0.5
        slope = rng.normal(0, 50, 2)
        tone = rng.uniform(0, 255) + rng.normal(0, 35, 3) + (slope[0] * x + slope[1] * y)[..., None]
        if rng.random() < 0.4:
            shift = rng.integers(0, size, 2)
            tone = tone + rng.uniform(0.1, 0.6) * (np.roll(cloud, shift, (0, 1)).astype(np.float32) - 128)
        alpha = shape[..., None] / 255.0
        canvas = canvas * (1 - alpha) + np.clip(tone, 0, 255) * alpha
    if rng.random() < 0.6:
        canvas = cv2.GaussianBlur(canvas.astype(np.float32), (0, 0), float(rng.uniform(0.4, 1.6)))
    return np.clip(canvas, 0, 255).astype(np.uint8)


def _cloud(rng: np.random.Generator, size: int) -> np.ndarray:
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None])
    frequency[0, 0] = 1
    spectrum = frequency ** -rng.uniform(1.0, 1.8)
    mixing = np.eye(3) * 0.35 + 1  # photographs are mostly luminance
    planes = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(3, size, size))) * spectrum, (size, size))
    planes = np.einsum("ij,jyx->yxi", mixing, planes)
    planes = (planes - planes.mean()) / planes.std()
    return np.clip(128 + rng.normal(0, 40) + rng.uniform(15, 65) * planes, 0, 255).astype(np.uint8)
