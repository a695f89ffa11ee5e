"""What only eyes can tell: sheets of numbered pictures without a word, and how right were those who named them.

    python -m benchmarks.eyes sheet NAME      writes benchmarks/eyes/NAME-1.jpg ... and the key, not to be read before
    python -m benchmarks.eyes score NAME      compares what stands in benchmarks/eyes/NAME.json with NAME.key.json

NAME is `world` (50 renders: "category, place, style"), `twins` (50 pairs of one class, colour and pattern: "same" or
"other"), `painted` (200 paintings of unseen prompts: "category, colour, place, style", against which the readers are
held) or `rendered` (32 pairs, one rendered, one painted: which is the painting, "left" or "right"). What stands in
NAME.json is a list of answers in the sheet's order; "?" says that nobody could tell.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw

from benchmarks.exam import painter
from remembrandt.evaluation import judges
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.pocket import judging, pictures
from remembrandt.pocket.world import vocabulary as words
from remembrandt.pocket.world.captions import canonical
from remembrandt.pocket.world.scene import Subject, render
from remembrandt.report import write_atomic

HERE, FIRST = Path("benchmarks/eyes"), pictures.UNSEEN + 50_000
CELL, COLUMNS, ROWS = 208, 6, 5  # of a page

Sheet = tuple[list[np.ndarray], list[dict[str, str]]]  # what is shown, and the key


def world(family: Family) -> Sheet:
    scenes = [pictures.scene(FIRST + n, pairs=0.0, signs=0.0) for n in range(50)]
    named = [{"category": s.subjects[0].category, "place": s.place, "style": s.style} for s in scenes]
    return [render(s, 128) for s in scenes], named


def twins(family: Family) -> Sheet:
    """Half of the pairs show one thing twice: in other places, poses, sizes and base styles that keep colours."""
    rng, shown, key = np.random.default_rng(50), [], []
    styles = tuple(s for s in words.STYLES if s not in words.HELD_BACK and s not in ("ink", "mosaic", "pixel"))
    for _ in range(50):
        coat = (str(rng.choice(list(words.COLOURS))), str(rng.choice(words.PATTERNS)))
        category = str(rng.choice(list(words.CATEGORIES)))
        first, second = (Subject(category, *coat, "middle", int(rng.integers(2**31))) for _ in range(2))
        same = bool(rng.random() < 0.5)
        both = [judging.portraits(rng, s, 1, styles)[0] for s in (first, first if same else second)]
        shown.append(np.concatenate(both, 1))
        key.append({"who": "same" if same else "other"})
    return shown, key


def painted(family: Family) -> Sheet:
    """The key is what the readers say of each painting."""
    assert family.folder is not None
    readers, paint, shown, key = judges.load(family.folder / "judges" / "readers"), painter(family), [], []
    assert isinstance(readers, judges.Readers)
    for start in range(0, 200, 25):
        scenes = [pictures.scene(FIRST + 1_000 + start + n, pairs=0.0, signs=0.0) for n in range(25)]
        made = paint([canonical(s) for s in scenes], start)
        for picture, seen in zip(made, judges.read(readers, made), strict=True):
            ((category, thing),) = seen.things.items()
            place, style = seen.whole["place"], seen.whole["style"]
            key.append({"category": category, "colour": thing["colour"], "place": place, "style": style})
            shown.append(picture)
    return shown, key


def rendered(family: Family) -> Sheet:
    scenes = [pictures.scene(FIRST + 2_000 + n, pairs=0.0, signs=0.0) for n in range(32)]
    made, rng = painter(family)([canonical(s) for s in scenes], 0), np.random.default_rng(51)
    shown, key = [], []
    for scene, painting in zip(scenes, made, strict=True):
        own = replace(scene, seed=scene.seed + 1)  # not the same scene twice: they would differ in more than the hand
        pair, left = [painting, render(own, 128)], bool(rng.random() < 0.5)
        shown.append(np.concatenate(pair if left else pair[::-1], 1))
        key.append({"painting": "left" if left else "right"})
    return shown, key


SHEETS: dict[str, Callable[[Family], Sheet]] = {
    "world": world,
    "twins": twins,
    "painted": painted,
    "rendered": rendered,
}


def page(shown: list[np.ndarray], first: int) -> Image.Image:
    """Up to ROWS rows of numbered pictures; a pair takes two columns."""
    across = COLUMNS * 128 // shown[0].shape[1]
    wide = CELL * shown[0].shape[1] // 128
    made = Image.new("RGB", (across * (wide + 4), -(-len(shown) // across) * (CELL + 18)), "white")
    draw = ImageDraw.Draw(made)
    for k, picture in enumerate(shown):
        x, y = k % across * (wide + 4), k // across * (CELL + 18)
        draw.text((x + 2, y + 2), str(first + k), fill="black")
        made.paste(Image.fromarray(picture).resize((wide, CELL), Image.Resampling.LANCZOS), (x, y + 16))
    return made


def write(name: str) -> None:
    shown, key = SHEETS[name](load("pocket"))
    each = ROWS * COLUMNS * 128 // shown[0].shape[1]
    HERE.mkdir(exist_ok=True)
    for number, start in enumerate(range(0, len(shown), each), 1):
        page(shown[start : start + each], start + 1).save(HERE / f"{name}-{number}.jpg", quality=80)
    write_atomic(HERE / f"{name}.key.json", json.dumps(key) + "\n")


def score(name: str) -> dict[str, object]:
    """Of how many pictures each was named ("?" is not), and named as the key says; which were not."""
    key = json.loads((HERE / f"{name}.key.json").read_text())
    said = [[part.strip() for part in line.split(",")] for line in json.loads((HERE / f"{name}.json").read_text())]
    if len(said) != len(key):
        raise SystemExit(f"{len(said)} answers for {len(key)} pictures")
    both = {what: [(s[n], k[what]) for s, k in zip(said, key, strict=True)] for n, what in enumerate(key[0])}
    found = {what: [a == b for a, b in pairs if a != "?"] for what, pairs in both.items()}
    wrong = {w: {n: p for n, p in enumerate(pairs, 1) if p[0] not in ("?", p[1])} for w, pairs in both.items()}
    return {"right, of": {what: [sum(f), len(f)] for what, f in found.items()}, "number: said, key": wrong}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["sheet", "score"])
    parser.add_argument("name", choices=list(SHEETS))
    asked = parser.parse_args()
    if asked.what == "sheet":
        return write(asked.name)
    print(json.dumps(score(asked.name), indent=1))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
