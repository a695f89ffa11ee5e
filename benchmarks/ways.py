"""What variations keep of the renders that they were given, in each way of bringing these to the encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from benchmarks.bars import bars
from remembrandt.conditions.image import embedded, preprocessed
from remembrandt.evaluation.judges import Readers, read
from remembrandt.family.family import Family
from remembrandt.pocket import pictures
from remembrandt.pocket.varied import VIEW
from remembrandt.pocket.world.scene import render
from remembrandt.pocket.world.styles import STYLES
from remembrandt.training.recipe import painted
from remembrandt.training.variations import Variations

FIRST = pictures.UNSEEN + 60_000  # the renders that are given
FIGURE = Path("docs/pictures/resizing-judged.png")
KEPT = ("category", "colour")

#: Ways to bring a picture to the encoder: what is other than in training.
WAYS: dict[str, Mapping[str, object]] = {
    "as trained": {},
    "antialiased": {"antialias": True},
    "corners aligned": {"align_corners": True},
    "cropped": {"fit": "crop"},
    "antialiased, cropped and clamped": {"antialias": True, "fit": "crop", "clamp": True},
}
CHANCE = "as trained, other noise"


def seen(family: Family, shown: np.ndarray, **other: object) -> Tensor:
    """Embeddings (n, D) of uint8 (n, h, w, 3), brought to the encoder as the family records, or otherwise."""
    assert family.image_encoder is not None
    side, how = family.image_encoder.config.image_size, {**family.record.resize, **other}
    parts = np.array_split(shown, max(1, len(shown) // 50))
    return torch.cat([embedded(family, preprocessed(part, how, side)).cpu() for part in parts])


Right = dict[str, list[float]]  # of each thing that is judged, of each render that shows it: 1 if it was kept


def judged(
    family: Family, judge: Readers, count: int, place: Path, seed: int = 1, **other: object
) -> tuple[dict, Right, np.ndarray]:
    """What of unseen renders their variations keep, render by render too, and the variations, painted once."""
    scenes = [pictures.scene(FIRST + n, pairs=0.0, signs=0.0) for n in range(count)]
    shown = np.stack([render(scene, VIEW) for scene in scenes])
    given = seen(family, shown, **other)
    shape = torch.zeros(family.channels, *[family.record.size // family.factor] * 2)
    rows = [{"mean": shape, "embedding": one} for one in given]
    made = pictures.once(place.with_suffix(".npy"), lambda: painted(Variations(), family, rows, seed))
    right: Right = {what: [] for what in KEPT}
    categories = [[scene.subjects[0].category] for scene in scenes]
    for scene, reading in zip(scenes, read(judge, made, categories), strict=True):
        thing, lost = reading.things[scene.subjects[0].category], STYLES[scene.style].destroys
        kept = {"category": thing["present"] == "True", "colour": thing["colour"] == scene.subjects[0].colour}
        for what in KEPT:
            right[what].append(float("nan") if what in lost else float(kept[what]))
    found: dict[str, object] = {what: share(right[what]) for what in KEPT}
    found["counts"] = [int(np.isfinite(right[what]).sum()) for what in KEPT]
    found["cosine_with_as_trained"] = float(F.cosine_similarity(given, seen(family, shown)).mean())
    return found, right, made


def share(hits: Sequence[float]) -> float | None:
    """Of those that are judged."""
    judged = np.array(hits)[np.isfinite(hits)]
    return float(judged.mean()) if len(judged) else None


def drop(before: Right, after: Right) -> dict[str, dict[str, float | None]]:
    """How much less is kept, render by render, and the deviation of that mean."""
    found = {}
    for what in KEPT:
        gap = np.array(before[what]) - np.array(after[what])
        gap = gap[np.isfinite(gap)]
        error = float(gap.std(ddof=1) / len(gap) ** 0.5) if len(gap) > 1 else None
        found[what] = {"mean": float(gap.mean()) if len(gap) else None, "error": error}
    return found


def quirks(family: Family, judge: Readers, count: int, work: Path, name: str) -> tuple[dict, list[tuple[str, list]]]:
    """What is kept where renders are resized in each way, and how much less than as it was trained."""
    found, drawn, trained = {}, [], None
    for way, other in {**WAYS, CHANCE: {}}.items():
        place = work / f"{name}, {way}".replace(", ", "-").replace(" ", "-")
        kept, right, some = judged(family, judge, count, place, 2 if way == CHANCE else 1, **other)
        trained = trained or right
        found[way] = kept | {"drop": drop(trained, right)}
        drawn.append((line(f"{name}, {way}", kept), list(some)))
    return found, drawn


def told(quirk: dict[str, dict[str, dict]]) -> str:
    """What docs/resizing.md says of it."""
    lines = []
    for name, ways in quirk.items():
        model = "the embedded model" if name == "embedded" else "a model of this benchmark"
        counts = ways["as trained"]["counts"]
        lines += [f"Of {counts[0]} unseen renders ({counts[1]} for colour), {model}:", ""]
        lines += ["| given | cosine | category kept | drop | colour kept | drop |", "|---|---|---|---|---|---|"]
        for way, kept in ways.items():
            cells = [f"{kept['cosine_with_as_trained']:.3f}"]
            for what in KEPT:
                lost = kept["drop"][what]
                told = "" if way == "as trained" else f"{lost['mean']:+.1%} ± {lost['error']:.1%}"
                cells += [f"{kept[what]:.0%}", told]
            lines.append(f"| {way} | {' | '.join(cells)} |")
        lines.append("")
    lines.append(f"![What is kept, by way of resizing](pictures/{FIGURE.name})")
    return "\n".join(lines)


def figure(quirk: dict[str, dict[str, dict]]) -> Image.Image:
    rows = []
    for name, ways in quirk.items():
        for way, kept in ways.items():
            shares = [kept[what] for what in KEPT]
            errors = [(s * (1 - s) / n) ** 0.5 for s, n in zip(shares, kept["counts"], strict=True)]
            rows.append((f"{way} ({name})" if len(quirk) > 1 else way, list(zip(shares, errors, strict=True))))
    return bars(rows, [f"{what} kept" for what in KEPT], "What a resize costs a variations model")


def line(name: str, found: dict) -> str:
    shares = (f"{what} {found[what]:.0%}" for what in ("category", "colour") if found[what] is not None)
    return f"{name}: {', '.join(shares)}"
