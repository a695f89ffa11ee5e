"""Two models side by side on the same inputs: what each makes of them, and by how much it keeps to them.

Who judges is not who painted: pictures are compared by the instance extractor that a family brings, else by its image
encoder where neither model is steered by it, else by their pixels.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from remembrandt import report
from remembrandt.conditions.spatial import resized
from remembrandt.engine.engine import Painted
from remembrandt.evaluation import copies, features, judges, reading
from remembrandt.evaluation.features import Look
from remembrandt.evaluation.judges import Readers
from remembrandt.family.family import Family
from remembrandt.family.folder import VARIATIONS
from remembrandt.report import write_atomic
from remembrandt.settings import Wrong
from remembrandt.training import photo, photos

MOST = 64  # inputs
Document = dict[str, Any]


def given(places: Any) -> dict[str, Path]:
    """Pictures by their names: files, and those in folders; `Wrong` if there are none, or too many to look at."""
    found: dict[str, Path] = {}
    for place in [places] if isinstance(places, str | Path) else places:
        for path, name in photos.files(place):
            found[str(path) if name in found else name] = path
    if not 0 < len(found) <= MOST:
        raise Wrong(f"give 1 to {MOST} pictures to compare on, not {len(found)}")
    return found


def compare(
    models: Sequence[str],
    inputs: Mapping[str, Path],
    paint: Callable[[str, Path], Sequence[Painted]],
    judging: Callable[[], Iterable[Family]],
    out: Path,
    known: Mapping[str, Path] | None = None,
) -> Document:
    """`compare.png` and `compare.json` under `out`: the inputs, what each model paints of them, and figures.

    `paint(model, input)` gives the same number of pictures each time; `judging` the families that may bring who judges,
    the models' own among them, once all is painted. `known` are pictures that a model may have learned by heart: near
    copies of them are told beside those of the inputs.
    """
    pictures = {name: photo.whole(path) for name, path in inputs.items()}
    learned = {name: photo.whole(path) for name, path in (known or {}).items()}
    painted = [{name: paint(model, path) for name, path in inputs.items()} for model in models]
    measure, look, readers = _judges([*judging()])
    rows = [_model(*row, pictures, learned, look, readers) for row in zip(models, painted, strict=True)]
    found = {"inputs": list(inputs), "measure": measure, "models": rows, "sheet": str(out / "compare.png")}
    out.mkdir(parents=True, exist_ok=True)
    _sheet(found, pictures, painted).save(out / "compare.png")
    write_atomic(out / "compare.json", json.dumps(found, indent=1))
    return found


def _judges(families: Sequence[Family]) -> tuple[str, Look, Readers | None]:
    """Name and function of the encoder that steered neither model, and the first readers that there are."""
    found = {name: look for one in families for name, look in features.looks(one).items()}
    steered = any(one.kind == VARIATIONS for one in families)
    able = ("instances",) if steered else ("instances", "image encoder")
    chosen = next((name for name in able if name in found), None)
    readers = next((held for one in families if (held := reading.readers(one))), None)
    return (chosen, found[chosen], readers) if chosen else ("pixels", features.plain, readers)


def _model(
    model: str,
    painted: Mapping[str, Sequence[Painted]],
    pictures: Mapping[str, np.ndarray],
    learned: Mapping[str, np.ndarray],
    look: Look,
    readers: Readers | None,
) -> Document:
    """How near to its own input a picture is, beside how near to the others', and what of it is merely remembered."""
    given = look(list(pictures.values()))
    made = {name: [p.pixels for p in some] for name, some in painted.items()}
    images, own, apart, spread = [], [], [], []
    for number, (name, some) in enumerate(made.items()):
        seen = look(some)
        cosines, among = seen @ given.T, seen @ seen.T
        own += list(cosines[:, number])
        apart += list(np.delete(cosines, number, 1).flatten())
        spread += [1 - among[i, j] for i in range(len(some)) for j in range(i)]
        kept = _kept(readers, pictures[name], some)
        for k, pixels in enumerate(some):
            [near] = copies.nearest([pixels], [pictures[name]])
            told = {"input": name, "seed": painted[name][k].recipe["seed"], "similarity": float(cosines[k, number])}
            told |= {"copy": near.copied, "copy_score": near.score} | ({"category_kept": kept[k]} if kept else {})
            if learned:
                [near] = copies.nearest([pixels], list(learned.values()))
                told["remembered"] = list(learned)[near.of] if near.copied and near.of is not None else None
            images.append(told)
    return {
        "model": model,
        "similarity": _mean(own),
        "similarity_to_others": _mean(apart),
        "spread": _mean(spread),
        "near_copies": _mean([i["copy"] for i in images]),
        "category_kept": _mean([i["category_kept"] for i in images if "category_kept" in i]),
        **({"remembered": _mean([i["remembered"] is not None for i in images])} if learned else {}),
        "images": images,
    }


def _kept(readers: Readers | None, picture: np.ndarray, painted: Sequence[np.ndarray]) -> list[bool]:
    """Whether what is read in a picture is what is read in the input; nothing without readers."""
    if readers is None:
        return []
    high, wide = painted[0].shape[:2]
    seen = judges.read(readers, np.stack([resized(picture, (wide, high)), *painted]))
    first, *rest = (next(iter(one.things)) for one in seen)
    return [name == first for name in rest]


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if len(values) else None


def _sheet(found: Document, pictures: Mapping[str, np.ndarray], painted: Sequence[Mapping[str, Sequence[Painted]]]):
    """A row for each input: itself, what the first model made of it, what the second."""
    rows, captions = [], []
    told = [iter(row["images"]) for row in found["models"]]
    for name, picture in pictures.items():
        of = [[p.pixels for p in each[name]] for each in painted]
        rows.append((name, [picture, *(pixels for some in of for pixels in some)]))
        captions.append(["input", *(_said(k, next(told[k])) for k, some in enumerate(of) for _ in some)])
    figures = [
        f"{'AB'[k]} {row['model']}: similarity {row['similarity']:.2f}, near copies {row['near_copies']:.0%}"
        + ("" if row["category_kept"] is None else f", category kept {row['category_kept']:.0%}")
        for k, row in enumerate(found["models"])
    ]
    about = f"Similarity by {found['measure']}. " + "; ".join(figures)
    return report.sheet(rows, "The same inputs, two models", subtitle=about, captions=captions)


def _said(number: int, image: Document) -> str:
    copied = "near copy, " * image["copy"] + "remembered, " * bool(image.get("remembered"))
    return f"{'AB'[number]}: {copied}{image['similarity']:.2f}"
