"""Where near copies end and other pictures of the same thing begin: what the threshold of `evaluation/copies.py` rests
on.

    python -m benchmarks.copies [-n 100] [--photos DIR] [-o FILE]

Renders are changed in ways that leave a copy a copy, and held against their originals; beside it stand pictures that
are no copies: another scene with a thing of the same category, colour and size in the same place and style, another
picture of the very same thing there, and anything else. `--photos` (a folder of photos for each subject) adds pairs of
real photos of one subject, which are no copies either. Writes quantiles, the shares that are found, and false alarms.
"""

from __future__ import annotations

import io
import json
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from benchmarks import plain, say, surroundings
from remembrandt.evaluation.copies import LEAST, nearest
from remembrandt.pocket import pictures
from remembrandt.report import write_atomic

FIRST = pictures.UNSEEN + 5 * 10**6
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def saved(picture: np.ndarray, quality: int = 40) -> np.ndarray:
    """Through JPEG."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=quality)
    return np.asarray(Image.open(file))


def cut(picture: np.ndarray, rng: np.random.Generator, share: float = 0.1) -> np.ndarray:
    """A square of 1 - `share` of a side."""
    side = int(len(picture) * (1 - share))
    y, x = rng.integers(0, len(picture) - side + 1, 2)
    return picture[y : y + side, x : x + side]


def toned(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    light = (picture / 255) ** rng.uniform(0.6, 1.6) * rng.uniform(0.8, 1.1) + rng.uniform(-0.05, 0.1)
    return (light.clip(0, 1) * 255).astype(np.uint8)


def recoloured(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """All hues turned by the same angle."""
    hsv = cv2.cvtColor(picture, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + int(rng.integers(20, 160))) % 180
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


WAYS: dict[str, Change] = {
    "JPEG": lambda p, rng: saved(p),
    "resized to 5/8": lambda p, rng: cv2.resize(p, None, fx=0.625, fy=0.625, interpolation=cv2.INTER_AREA),
    "mirrored": lambda p, rng: p[:, ::-1],
    "cut by 10 %": cut,
    "cut by 20 %": lambda p, rng: cut(p, rng, 0.2),
    "tone": toned,
    "hues": recoloured,
    "another shape": lambda p, rng: cv2.resize(p[4:-9], (96, 128)),
    "blurred": lambda p, rng: cv2.GaussianBlur(p, (0, 0), 2),
    "noisy": lambda p, rng: (p + rng.normal(0, 20, p.shape)).clip(0, 255).astype(np.uint8),
    "mirrored, cut, toned, JPEG": lambda p, rng: saved(toned(cut(p[:, ::-1], rng), rng)),
}


def scenes(number: int):
    """A scene, one like it of another thing, and one of the very same thing."""
    one, other = (pictures.scene(FIRST + 2 * number + k, pairs=0.0, signs=0.0) for k in (0, 1))
    like = replace(one.subjects[0], seed=other.subjects[0].seed)
    same = replace(other, place=one.place, style=one.style, light=one.light, subjects=one.subjects)
    return one, replace(same, light=other.light, subjects=(like,)), same


def told(scores: list[float]) -> dict[str, float]:
    """Quantiles, and the share that counts as a copy."""
    levels = {"least": 0, "1 %": 0.01, "5 %": 0.05, "median": 0.5, "95 %": 0.95, "99 %": 0.99, "most": 1}
    found = {name: float(np.quantile(scores, q)) for name, q in levels.items()}
    return {"n": len(scores), **found, "called copies": float(np.mean(np.array(scores) >= LEAST))}


def score(one: np.ndarray, other: np.ndarray) -> float:
    return nearest([one], [other])[0].score


def photographs(folder: Path) -> list[float]:
    """Scores of all pairs of photos of one subject."""
    found = []
    for subject in sorted(p for p in folder.iterdir() if p.is_dir()):
        shots = [np.asarray(Image.open(p).convert("RGB")) for p in sorted(subject.iterdir()) if p.suffix == ".jpg"]
        found += [score(a, b) for a, b in combinations(shots, 2)]
    return found


def measure(count: int, photos: Path | None = None) -> dict:
    from remembrandt.pocket.world.scene import render

    drawn = [[render(scene) for scene in scenes(k)] for k in range(count)]
    originals, others = [row[0] for row in drawn], [row[1] for row in drawn]
    copies = {}
    for name, change in WAYS.items():
        say(name)
        rng = np.random.default_rng(len(name))
        copies[name] = told([score(change(p, rng), p) for p in originals])
    say("other pictures")
    apart = {
        "another of its kind": told([score(b, a) for a, b, _ in drawn]),
        "the very same thing": told([score(c, a) for a, _, c in drawn]),
        "anything else": told([n.score for k, p in enumerate(others) for n in nearest([p], originals[k + 1 :][:20])]),
    }
    if photos:
        apart["photos of one subject"] = told(photographs(photos))
    return {"least": LEAST, "copies": copies, "others": apart}


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.copies", description=__doc__)
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument("-n", type=int, default=100, help="scenes")
    parser.add_argument("--photos", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("benchmarks/copies.json"))
    asked = parser.parse_args()
    cv2.setNumThreads(1)
    found = measure(asked.n, asked.photos)
    write_atomic(asked.out, json.dumps(plain({**found, **surroundings()}), indent=1))
    for kind in ("copies", "others"):
        for name, row in found[kind].items():
            print(f"{name:28} {row['called copies']:6.1%} copies; {row['least']:.3f} to {row['most']:.3f}")


if __name__ == "__main__":
    main()
