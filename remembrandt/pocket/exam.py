"""The painter's examination: unseen prompts are painted and read back by the judges.

Beside what was asked: how much what was *not* asked varies, and whether a picture was merely remembered.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from remembrandt.evaluation.judges import Readers, read
from remembrandt.pocket import pictures

#: paints one picture a prompt: (prompts, first seed) -> uint8 (n, h, w, 3)
Paint = Callable[[Sequence[str], int], np.ndarray]


def exam(paint: Paint, readers: Readers, singles: int = 512, pairs: int = 128, part: int = 32) -> dict[str, float]:
    """Shares of right answers on scenes never trained on: one thing (category, colour, pattern, place, style, all four)
    and two things (both categories; colours on the right ones; relation)."""
    from remembrandt.pocket.world.captions import canonical

    hits: dict[str, list[bool]] = {}

    def note(name: str, right: bool) -> None:
        hits.setdefault(name, []).append(bool(right))

    for start in range(0, singles, part):
        for row in marks(paint, readers, range(start, min(start + part, singles))):
            for name, right in row.items():
                note(name, right)
    for start in range(0, pairs, part):
        numbers = range(pictures.UNSEEN + 10**6 + start, pictures.UNSEEN + 10**6 + min(start + part, pairs))
        scenes = [pictures.scene(n, pairs=1.0, signs=0.0, styles=("photo",)) for n in numbers]
        images = paint([canonical(s) for s in scenes], 10_000 + start)
        names = [[t.category for t in s.subjects] for s in scenes]
        for scene, seen in zip(scenes, read(readers, images, names), strict=True):
            both = all(seen.things[t.category]["present"] == "True" for t in scene.subjects)
            bound = both and all(seen.things[t.category]["colour"] == t.colour for t in scene.subjects)
            note("two: categories", both)
            note("two: colours on the right thing", bound)
            note("two: relation too", bound and seen.whole["relation"] == scene.relation)
    return {name: float(np.mean(values)) for name, values in hits.items()}


def marks(paint: Paint, readers: Readers, numbers: range) -> list[dict[str, bool]]:
    """Of each unseen scene of one thing, by number, what of it is right in one call of `paint`."""
    from remembrandt.pocket.world.captions import canonical
    from remembrandt.pocket.world.styles import STYLES

    scenes = [pictures.scene(pictures.UNSEEN + n, pairs=0.0, signs=0.0) for n in numbers]
    images = paint([canonical(s) for s in scenes], numbers[0])
    found = []
    for scene, seen in zip(scenes, read(readers, images, [[s.subjects[0].category] for s in scenes]), strict=True):
        subject = scene.subjects[0]
        thing, lost = seen.things[subject.category], STYLES[scene.style].destroys
        right = {
            "category": thing["present"] == "True",
            "colour": thing["colour"] == subject.colour,
            "place": seen.whole["place"] == scene.place,
            "style": seen.whole["style"] == scene.style,
        }
        row = {name: value for name, value in right.items() if name not in lost}
        if not lost:  # else a colour that nobody can see would count as right
            row["all four"] = all(right.values())
        if "pattern" not in lost:
            row["pattern"] = thing["pattern"] == subject.pattern
        found.append(row)
    return found


def spread(images: np.ndarray, category: str, readers: Readers) -> dict[str, float]:
    """Entropy in bits of what the readers see in pictures of `category` alone, an attribute each."""
    seen = read(readers, images, [[category]] * len(images))
    columns = {name: [r.whole[name] for r in seen] for name in ("place", "style")}
    columns |= {name: [r.things[category][name] for r in seen] for name in readers.config["attributes"]}
    return {name: _entropy(values) for name, values in columns.items()}


def _entropy(values: Sequence[str]) -> float:
    shares = np.unique(np.array(values), return_counts=True)[1] / len(values)
    return float(-(shares * np.log2(shares)).sum())


def diversity(paint: Paint, readers: Readers, category: str = "dog", count: int = 1024) -> dict[str, float]:
    """Spread of `count` paintings of "a CATEGORY" over that of as many renders: of each attribute, and of all bits."""
    real = np.stack([picture for _, picture in zip(range(count), called(category), strict=False)])
    parts = [range(start, min(start + 32, count)) for start in range(0, count, 32)]
    made = np.concatenate([paint([f"a {category}"] * len(part), part[0]) for part in parts])
    theirs, ours = spread(real, category, readers), spread(made, category, readers)
    ratios = {name: ours[name] / theirs[name] for name in theirs}
    return ratios | {"all": sum(ours.values()) / sum(theirs.values())}


def called(category: str) -> Iterator[np.ndarray]:
    """Renders that a caption of the world calls "a CATEGORY" and no more: what those words leave open is not uniform.

    A style that is not a photo's, a size or a pattern is seldom left unsaid.
    """
    from remembrandt.pocket.world.captions import caption
    from remembrandt.pocket.world.scene import render

    for n in itertools.count(pictures.UNSEEN + 2 * 10**6):
        scene = pictures.scene(n, categories=(category,), pairs=0.0, signs=0.0)
        if caption(scene, np.random.default_rng([31, n])) == f"a {category}":
            yield render(scene, 128)


def near_copies(made: np.ndarray, unseen: np.ndarray, trained: Iterable[np.ndarray]) -> float:
    """Share of `made` that lie nearer to a training picture than 99 of 100 `unseen` renders do, at 16 x 16 pixels."""
    far = {"made": np.full(len(made), np.inf), "unseen": np.full(len(unseen), np.inf)}
    small = {"made": _small(made), "unseen": _small(unseen)}
    for shard in trained:
        known = _small(shard)
        for name, vectors in small.items():
            squares = (vectors**2).sum(1)[:, None] + (known**2).sum(1)[None] - 2 * vectors @ known.T
            far[name] = np.minimum(far[name], squares.min(1))
    return float((far["made"] < np.quantile(far["unseen"], 0.01)).mean())


def _small(images: np.ndarray) -> np.ndarray:
    """uint8 (n, 128, 128, 3) -> float (n, 768): block means."""
    n = len(images)
    return images.reshape(n, 16, images.shape[1] // 16, 16, -1, 3).mean((2, 4), dtype=np.float32).reshape(n, -1)


def guidance(paint_at: Callable[[float], Paint], readers: Readers, values=(0.0, 1.0, 2.0, 5.0, 10.0), count: int = 64):
    """{guidance: share of `count` unseen prompts of which all four attributes are right}."""
    return {g: exam(paint_at(g), readers, singles=count, pairs=0)["all four"] for g in values}
