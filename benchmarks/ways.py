"""What variations keep of the renders that they were given, in each way of bringing these to the encoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from benchmarks.bars import bars
from remembrandt.conditions.image import embedded, preprocessed
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation.copies import nearest
from remembrandt.evaluation.judges import Readers, read
from remembrandt.family.family import Family
from remembrandt.pocket import pictures
from remembrandt.pocket.varied import VIEW
from remembrandt.pocket.world.scene import render
from remembrandt.pocket.world.styles import STYLES
from remembrandt.training.method import computing

FIRST = pictures.UNSEEN + 60_000  # the renders that are given
FIGURE = Path("docs/pictures/resizing-judged.png")
KEPT, REST = ("category", "colour"), ("pattern", "size", "place", "style")
AT_ONCE = 16  # variations

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


def varied(family: Family, given: Tensor, seed: int) -> np.ndarray:
    """One variation of each embedding, number k from seed + k, uint8 (n, h, w, 3)."""
    engine, made = Engine(family), []
    asked = [Request("", seed=seed + k, embedding=one) for k, one in enumerate(given)]
    with computing(family):
        for start in range(0, len(asked), AT_ONCE):
            made += [one.pixels for [one] in engine.paint(asked[start : start + AT_ONCE])]
    return np.stack(made)


Right = dict[str, list[float]]  # of each thing that is judged, of each render that shows it: 1 if it was kept


@dataclass(frozen=True, eq=False)
class Judged:
    """What is told; render by render what was kept, and what the rest was read as; the variations."""

    found: dict[str, Any]
    right: Right
    rest: list[dict[str, str]]
    made: np.ndarray


def judged(family: Family, judge: Readers, count: int, place: Path, seed: int = 1, **other: object) -> Judged:
    """What of unseen renders their variations keep. They are painted once."""
    scenes = [pictures.scene(FIRST + n, pairs=0.0, signs=0.0) for n in range(count)]
    shown = np.stack([render(scene, VIEW) for scene in scenes])
    given = seen(family, shown, **other)
    made = pictures.once(place.with_suffix(".npy"), lambda: varied(family, given, seed))
    right: Right = {what: [] for what in KEPT}
    rest = []
    categories = [[scene.subjects[0].category] for scene in scenes]
    for scene, reading in zip(scenes, read(judge, made, categories), strict=True):
        thing, lost = reading.things[scene.subjects[0].category], STYLES[scene.style].destroys
        rest.append({name: {**reading.whole, **thing}[name] for name in REST})
        kept = {"category": thing["present"] == "True", "colour": thing["colour"] == scene.subjects[0].colour}
        for what in KEPT:
            right[what].append(float("nan") if what in lost else float(kept[what]))
    found: dict[str, Any] = {what: share(right[what]) for what in KEPT}
    found["counts"] = [int(np.isfinite(right[what]).sum()) for what in KEPT]
    found["cosine_with_as_trained"] = float(F.cosine_similarity(given, seen(family, shown)).mean())
    if not other:
        copied = [nearest([one], [render])[0].copied for one, render in zip(made, shown, strict=True)]
        found["near_copies"] = float(np.mean(copied))
    return Judged(found, right, rest, made)


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
    """What is kept where renders are resized in each way, and how much less than as it was trained; with other noise
    also of how many renders the rest is read otherwise."""
    found, drawn = {}, []
    trained: Judged | None = None
    for way, other in {**WAYS, CHANCE: {}}.items():
        place = work / f"{name}, {way}".replace(", ", "-").replace(" ", "-")
        now = judged(family, judge, count, place, 2 if way == CHANCE else 1, **other)
        trained = trained or now
        found[way] = now.found | {"drop": drop(trained.right, now.right)}
        if way == CHANCE:  # what of a picture is left to chance
            pairs = list(zip(trained.rest, now.rest, strict=True))
            found[way]["differs"] = {what: float(np.mean([a[what] != b[what] for a, b in pairs])) for what in REST}
        drawn.append((line(f"{name}, {way}", now.found), list(now.made)))
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
        copied, differs = (ways["as trained"]["near_copies"], ways[CHANCE]["differs"])
        told = ", ".join(f"{what} {share:.0%}" for what, share in differs.items())
        lines += ["", f"Near copies: {copied:.1%}. Read otherwise with other noise: {told}.", ""]
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
