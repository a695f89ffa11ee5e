"""Class images: what the base paints under the very prompt that they are trained with, kept and shared by content.

Each comes from a seed of its own and is kept without loss. Flat ones (a network's failure), near copies and those in
which the family's safety checker sees something are thrown away and made again from another seed: they would teach the
category to be flat, to be one picture, or to be what nobody asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from itertools import count as counting
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from remembrandt.engine import safety
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.family.family import Family
from remembrandt.report import Event, write_atomic
from remembrandt.settings import Wrong
from remembrandt.training.photo_hints import alike

AT_ONCE = 16
COPIES = 0.98  # correlation of small grey pictures; one painter's differ less than photos do
FLAT = 3.0  # grey levels: a standard deviation below it is no picture


def paint(
    family: Family, prompt: str, count: int, folder: Path, *, progress: Callable[[Event], None] = lambda event: None
) -> list[np.ndarray]:
    """`count` pictures (uint8, (h, w, 3)) of `prompt`, from `folder` if they were painted before.

    They lie under a digest of weights, prompt and size, so that lessons share them and never take another prompt's; a
    painting that was interrupted goes on, and a larger `count` adds to the smaller. Fewer come back if the base paints
    too many alike; `Wrong` if none is any good.
    """
    facts = {"base": family.digest, "prompt": prompt, "size": family.record.size}
    place = folder / hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    about = place / "about.json"
    thrown = set(json.loads(about.read_text())["thrown"]) if about.is_file() else set()
    good = {int(path.stem): _read(path) for path in sorted(place.glob("*.png"))}
    engine, had = Engine(family), len(good)
    while len(good) < count and len(good) + len(thrown) < 2 * count + AT_ONCE:
        fresh = (k for k in counting() if k not in good and k not in thrown)
        now = list(islice(fresh, min(AT_ONCE, count - len(good))))
        painted = engine.paint([Request(prompt=prompt, seed=k) for k in now])
        seen = safety.flagged(family, [picture.pixels for picture, *_ in painted])
        for k, (picture, *_), flags in zip(now, painted, seen, strict=True):
            if not flags and usable(picture.pixels, list(good.values())):
                good[k] = picture.pixels
                _write(Image.fromarray(picture.pixels), place / f"{k:05d}.png")
            else:
                thrown.add(k)
        write_atomic(about, json.dumps({**facts, "thrown": sorted(thrown)}))
        progress(Event("class images", len(good) - had, max(count, len(good)) - had))
    if count and not good:
        raise Wrong(f"the base paints nothing usable for {prompt!r}: give pictures of your own with --class-images")
    return [good[k] for k in sorted(good)[:count]]


def usable(picture: np.ndarray, others: list[np.ndarray]) -> bool:
    """Whether it shows something, and not what one of the others shows."""
    if picture.std(axis=(0, 1)).max() < FLAT:
        return False
    return not any(len(others) in pair for pair in alike([*others, picture], COPIES))


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def _write(picture: Image.Image, path: Path) -> None:
    picture.save(path.with_suffix(".part"), "PNG")
    path.with_suffix(".part").replace(path)
