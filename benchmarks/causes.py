"""What makes a model forget: that the next lesson's word is alike, its class, or its looks?

    python -m benchmarks.causes [--full] [--minutes N] [-o FILE]

The article's open question. A subject is taught by moving all weights, and from there, each time anew, a second one:
of its class or another, the most or the least alike of its kind in the instance extractor's eyes, under the identifier
that is nearest or farthest in the text encoder's table. How much of the first subject is lost is regressed on the
three, with and without class images beside the second lesson. Stopped, it goes on where it was. Beside the JSON a
sheet.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image

from benchmarks import arguments, once, pieces, places, plain
from benchmarks.concepts import CONCEPTS, PHOTOS, SEED, Concept, Ruler, rulers
from benchmarks.painting import computing
from remembrandt.engine.engine import Engine
from remembrandt.evaluation import fidelity
from remembrandt.family.family import Family
from remembrandt.family.load import load, save
from remembrandt.memory import identifiers
from remembrandt.pocket.world.scene import render
from remembrandt.pocket.world.vocabulary import COLOURS
from remembrandt.report import sheet, write_atomic
from remembrandt.tasks import Request
from remembrandt.training import class_images, examples, methods
from remembrandt.training.method import Lesson

CAUSES = ("class", "looks", "word")
OTHER = {"dog": "cat", "bottle": "cup", "chair": "lamp", "keyboard": "car"}
CANDIDATES = 8  # of which the most and the least alike are taught
Document = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """Who is taught first, steps of a lesson, pictures a prompt, class images, options of the method."""

    first: Sequence[str] = ("dog 1", "chair 1")
    steps: int = 150
    each: int = 2
    class_images: int = 64
    candidates: int = CANDIDATES
    options: Mapping[str, Any] = field(default_factory=dict)


SIZES = {
    "tiny": Size(("dog 1",), 2, 1, 2, 2, {"batch": 2, "warmup": 1}),
    "usual": Size(),
    "full": Size(("dog 1", "dog 2", "bottle 1", "bottle 2", "chair 1", "chair 2", "keyboard 1"), 400, 4),
}


@dataclass(frozen=True)
class Second:
    """A second lesson: who, called what, and how alike it is to the first: class 0 or 1, looks and word a cosine."""

    concept: Concept
    word: str
    alike: Mapping[str, float]


def words(family: Family) -> tuple[str, str, str, Mapping[str, float]]:
    """A rare word, the nearest and the farthest other one in the table of the tokens, and their cosines to it."""
    table = family.text_encoder.get_input_embeddings().weight
    assert isinstance(table, torch.Tensor)
    known = identifiers.candidates(family.tokenizer)[:400]

    def row(word: str) -> torch.Tensor:
        ids = family.tokenizer(word, add_special_tokens=False).input_ids
        return F.normalize(table[torch.tensor(ids, device=table.device)].detach().float().mean(0), dim=0)

    first = identifiers.choose(family.tokenizer, set(), 0)
    near = {word: float(row(first) @ row(word)) for word in known if word != first}
    ends = max(near, key=near.__getitem__), min(near, key=near.__getitem__)
    return first, *ends, {word: near[word] for word in ends}


def seconds(family: Family, first: Concept, ruler: Ruler, count: int) -> list[Second]:
    """The eight second lessons: class, looks and word, alike or not."""
    _, near, far, cosines = words(family)
    found = []
    for same in (True, False):
        category = first.category if same else OTHER[first.category]
        strange = [c for c in COLOURS if c != first.colour]
        options = [
            Concept(f"{category}?", category, 30_000 + k, first.colour if k < count / 2 else strange[k % len(strange)])
            for k in range(count)
        ]
        looks = [_looks(o, ruler) for o in options]
        for extreme, word in product((max, min), (near, far)):
            k = looks.index(extreme(looks))
            found.append(Second(options[k], word, {"class": float(same), "looks": looks[k], "word": cosines[word]}))
    return found


def _looks(concept: Concept, ruler: Ruler) -> float:
    seen = ruler.look([render(concept.scene(k)) for k in (PHOTOS, PHOTOS + 1)])
    return fidelity.similarity(seen, ruler.real)


def taught(family: Family, base: Family, concept: Concept, word: str, size: Size, work: Path, priors: bool) -> Family:
    """The family after a lesson that moved all weights, its own copy; class images are the base's."""
    prompt, own = f"a {concept.category}", replace(family, unet=copy.deepcopy(family.unet))
    found = examples.encode(family, concept.photos(family.record.size), [f"a {word} {concept.category}"])
    if priors:
        painted = class_images.paint(base, prompt, size.class_images, work / "class")
        found += examples.encode(family, painted, [prompt], kind="class")
    method = methods.method("dreambooth", {"steps": size.steps, **size.options}, family)
    methods.learn(method, own, Lesson(found, {}, SEED))
    return own


def looked(family: Family, concept: Concept, word: str, ruler: Ruler, each: int, shown: Path) -> Document:
    """Identity of a concept as the family paints it now."""
    asked = [Request(p, seed=SEED, n=each) for p in concept.prompts(word)]
    made = [picture.pixels for some in Engine(family).paint(asked) for picture in some]
    shown.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(made[0]).save(shown)
    return {"identity": ruler.identity(made), "shown": str(shown)}


def folder(work: Path, first: Concept) -> Path:
    return work / first.label.replace(" ", "-")


def story(base: Family, first: Concept, ruler: Ruler, size: Size, work: Path) -> list[Document]:
    """One first subject, and what each second lesson left of it."""
    place, (word, *_) = folder(work, first), words(base)

    def begin() -> Document:
        now = taught(base, base, first, word, size, work, priors=False)
        save(now, place / "family")
        return looked(now, first, word, ruler, size.each, place / "first.png")

    before, rows = once(place / "first.json", begin), []
    for number, second in enumerate(seconds(base, first, ruler, size.candidates)):
        for priors in (False, True):
            shown = place / f"{number}-{'priors' if priors else 'plain'}.png"

            def go_on(second: Second = second, priors: bool = priors, shown: Path = shown) -> Document:
                then = load(place / "family", device=str(base.device), precision=base.precision)
                now = taught(then, base, second.concept, second.word, size, work, priors)
                return looked(now, first, word, ruler, size.each, shown)

            after = once(shown.with_suffix(".json"), go_on)
            lost = (before["identity"] or 0.0) - (after["identity"] or 0.0)
            about = {"first": first.label, "category": second.concept.category, "priors": priors, **second.alike}
            rows.append({**about, "lost": lost, "before": before, "after": after})
    return rows


def explained(rows: Sequence[Document]) -> Document:
    """Least squares of what is lost on the causes, each in standard deviations, every first subject by itself.

    `alone`: the share of variance that a cause explains by itself; `unique`: what the others cannot stand in for;
    `effect` of one deviation, with its 95 % interval over resampled second lessons.
    """
    owner = [r["first"] for r in rows]
    x = np.array([[r[c] for c in CAUSES] for r in rows])
    y = np.array([r["lost"] for r in rows])
    x, y = _within(x, owner), _within(y, owner)
    x = x / np.where(x.std(0) > 0, x.std(0), 1)
    chance, whole = np.random.default_rng(0), _fit(x, y)
    draws = [_fit(x[k], y[k])[0] for k in chance.integers(0, len(y), (2000, len(y)))]
    low, high = np.percentile(draws, [2.5, 97.5], axis=0)
    found: Document = {"rows": len(rows), "explained": whole[1], "mean_lost": float(np.mean([r["lost"] for r in rows]))}
    for k, cause in enumerate(CAUSES):
        others = [i for i in range(len(CAUSES)) if i != k]
        unique = whole[1] - _fit(x[:, others], y)[1]
        effect = {"value": whole[0][k], "low": low[k], "high": high[k]}
        found[cause] = {"effect": effect, "alone": _fit(x[:, [k]], y)[1], "unique": unique}
    return found


def _within(values: NDArray, owner: Sequence[str]) -> NDArray:
    values = values.astype(float).copy()
    for name in set(owner):
        mine = [k for k, o in enumerate(owner) if o == name]
        values[mine] -= values[mine].mean(0)
    return values


def _fit(x: NDArray, y: NDArray) -> tuple[NDArray, float]:
    effects = np.linalg.lstsq(x, y, rcond=None)[0]
    spread = float((y**2).sum())
    return effects, 1 - float(((y - x @ effects) ** 2).sum()) / spread if spread else 0.0


def drawn(rows: Sequence[Document]) -> Image.Image:
    """A row a first subject: after its own lesson, then after each second one."""
    lines, under = [], []
    for label in dict.fromkeys(r["first"] for r in rows):
        for priors in (False, True):
            mine = [r for r in rows if r["first"] == label and r["priors"] == priors]
            beside = "with class images" if priors else "without"
            lines.append((f"{label}, {beside}", [mine[0]["before"]["shown"], *(r["after"]["shown"] for r in mine)]))
            told = [f"{r['category']} {r['looks']:.2f} {r['word']:.2f}: -{r['lost']:.2f}" for r in mine]
            under.append([f"at first {mine[0]['before']['identity'] or 0:.2f}", *told])
    about = "the second lesson's class, likeness in looks and word, and how much identity it cost the first"
    return sheet(lines, "What makes it forget?", subtitle=about, captions=under, cell=110)


def main(given: Sequence[str] | None = None) -> None:
    asked = arguments(__doc__, "causes").parse_args(given)
    family, size = load(asked.base), SIZES[asked.size]
    work, out = places(asked, "causes", family.digest)
    firsts = [CONCEPTS[label] for label in size.first]
    scales = rulers(family, firsts, work)
    arms, rows, told = {"without priors": False, "class images": True}, list[Document](), Document()
    names = ["first", *(f"{k}-{arm}" for k in range(8) for arm in ("plain", "priors"))]
    with pieces([folder(work, first) / f"{name}.json" for first in firsts for name in names]):
        for first in firsts:
            rows += story(family, first, scales[first.label], size, work)
            found = {name: explained([r for r in rows if r["priors"] == p]) for name, p in arms.items()}
            told = plain({"explained": found, "rows": rows, "size": vars(size), **computing(family)})
            write_atomic(out, json.dumps(told, indent=1) + "\n")
            drawn(rows).save(out.with_suffix(".png"))
    print(json.dumps(told.get("explained"), indent=1))


if __name__ == "__main__":
    main()
