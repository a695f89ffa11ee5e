"""What an image encoder is shown by each way of resizing, and how far the ways lie apart. No weights are asked.

    python -m benchmarks.resizing [-o FILE] [--picture FILE]

Measures a render of the world (512 pixels to 224, CLIP's usual side, and to 96, the embedded tower's) and fields of
spectrum 1/f^p, as the difference of two ways over the standard deviation of the first (root mean squares). Writes the
JSON and the figure of docs/resizing.md.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from benchmarks import plain, surroundings
from remembrandt.conditions.image import preprocessed
from remembrandt.family.parts import PUBLISHED
from remembrandt.pocket import pictures
from remembrandt.report import sheet, write_atomic

LARGE, SIDES = 512, (224, 96)
SCENE = pictures.UNSEEN + 77
MEAN, STD = 0.45, 0.27  # about CLIP's, to show what is seen
WAYS: dict[str, dict[str, Any]] = {
    "as trained": {**PUBLISHED, "align_corners": True},
    "as the card": {**PUBLISHED},
    "antialiased": {**PUBLISHED, "antialias": True},
}
SQUASH = {**PUBLISHED, "antialias": True}
CROP = {**SQUASH, "fit": "crop"}


def picture() -> np.ndarray:
    """A render with a fine pattern on it, uint8 (LARGE, LARGE, 3)."""
    from remembrandt.pocket.world.scene import Scene, Subject, render

    subject = Subject("toy", "red", "checked", "big", 3)
    return render(Scene((subject,), "forest", "photo", seed=5), LARGE)


def field(p: float, seed: int) -> torch.Tensor:
    """(1, 1, LARGE, LARGE) of spectrum 1/f^p (amplitudes), mean 0 and deviation 1."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(np.fft.fftfreq(LARGE)[:, None], np.fft.rfftfreq(LARGE)[None])
    frequency[0, 0] = np.inf
    drawn = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(LARGE, LARGE))) * frequency**-p, (LARGE, LARGE))
    return torch.from_numpy((drawn - drawn.mean()) / drawn.std())[None, None].float()


def apart(seen: dict[str, np.ndarray]) -> dict[str, float]:
    """Root mean square of the difference of each two ways, over the deviation of the first."""
    return {
        f"{a} / {b}": float(np.sqrt(np.mean((seen[a] - seen[b]) ** 2)) / seen[a].std())
        for a, b in combinations(seen, 2)
    }


def of_fields(p: float, count: int = 6) -> dict[str, float]:
    """`apart` over several fields."""
    each: list[dict[str, float]] = []
    for seed in range(count):
        x = field(p, seed)
        ways = {n: {k: w[k] for k in ("align_corners", "antialias")} for n, w in WAYS.items()}
        seen = {n: F.interpolate(x, (224, 224), mode="bicubic", **w).numpy() for n, w in ways.items()}
        each.append(apart(seen))
    return {name: float(np.mean([one[name] for one in each])) for name in each[0]}


def seen(image: np.ndarray, side: int, ways: dict[str, dict[str, Any]]) -> dict[str, np.ndarray]:
    return {name: preprocessed([image], way, side)[0].permute(1, 2, 0).numpy() for name, way in ways.items()}


def shift(side: int) -> float:
    """How far, at most, aligned corners move a sample, in pixels of the large picture."""
    k = np.arange(side)
    return float(np.abs(k * (LARGE - 1) / (side - 1) - ((k + 0.5) * LARGE / side - 0.5)).max())


def shown(x: np.ndarray) -> np.ndarray:
    """What the encoder sees, as a picture."""
    return (np.clip(x * STD + MEAN, 0, 1) * 255).astype(np.uint8)


def figure(image: np.ndarray) -> Image.Image:
    """The ways side by side, a corner of each much enlarged, and what differs; below, squashed and cropped."""

    def near(x: np.ndarray) -> Image.Image:
        height, width = x.shape[0] // 3, x.shape[1] // 3
        part = Image.fromarray(shown(x)).crop((width, height, 2 * width, 2 * height))
        return part.resize((320, 320), Image.Resampling.NEAREST)

    def gap(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (255 - np.clip(np.abs(x - y).mean(-1) * STD * 4, 0, 1) * 255).astype(np.uint8)

    small = seen(image, 96, WAYS)
    first = small["as trained"]
    told = apart(small)
    rows: list[tuple[str, Sequence[Any]]] = [
        ("what it sees", [shown(x) for x in small.values()]),
        ("the middle", [near(x) for x in small.values()]),
        ("difference to the first, x 4", [None, *(gap(first, x) for x in list(small.values())[1:])]),
    ]
    names = list(small)
    captions: list[list[str]] = [[f"{name}: {LARGE} to 96" for name in names], [], [""]]
    captions[2] += [f"{told[f'{names[0]} / {name}']:.0%} of its deviation" for name in names[1:]]
    wide = np.asarray(Image.fromarray(image).resize((768, 512)))
    squashed, cropped = (shown(x) for x in seen(wide, 96, {"squash": SQUASH, "crop": CROP}).values())
    rows.append(("a picture of 3 : 2", [wide, squashed, cropped]))
    captions.append(["the picture", "squashed", "the middle cropped"])
    return sheet(rows, "One picture, five ways to show it to an encoder", captions=captions, cell=200)


def measure(count: int = 6) -> dict[str, Any]:
    image = picture()
    return {
        "render": {f"{LARGE} to {side}": apart(seen(image, side, WAYS)) for side in SIDES},
        "fields": {f"1/f^{p:g}": of_fields(p, count) for p in (1.0, 1.5)},
        "largest shift of a sample by aligned corners (pixels)": {str(side): shift(side) for side in SIDES},
    }


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.resizing", description=__doc__)
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument("-o", "--out", type=Path, default=Path("benchmarks/resizing.json"))
    parser.add_argument("--picture", type=Path, default=Path("docs/pictures/resizing.png"))
    asked = parser.parse_args()
    found = plain(measure())
    write_atomic(asked.out, json.dumps(found | surroundings(), indent=1))
    asked.picture.parent.mkdir(parents=True, exist_ok=True)
    figure(picture()).save(asked.picture)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
