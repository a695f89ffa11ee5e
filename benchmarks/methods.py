"""Which method teaches best, and what becomes of it when it is given ten times the steps?

    python -m benchmarks.methods [--full] [--methods oft,lora] [--minutes N] [-o FILE]

All weights (DreamBooth with class images), LoRA, OFT, the same blocks without orthogonality, textual inversion, and the
token first, then rotations. One training of ten units a concept and method; at 1, 2, 3, 5 and 10 units its pictures are
judged: identity (benchmarks.concepts), whether places (of a style: things) come as prompted, and how far pictures of
prompts that do not name it move while the adapter is worn all the same, as they would without a gate. Stopped, it goes
on where it was; the result holds all that is finished. Beside the JSON a sheet: methods down, units across.
"""

from __future__ import annotations

import copy
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks import arguments, once, pieces, places, plain
from benchmarks.concepts import CONCEPTS, SEED, Concept, Ruler, interval, readers, rulers
from benchmarks.painting import computing
from remembrandt.adapters import adapter as adapters
from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import KINDS, Kind, Worn
from remembrandt.engine.engine import Engine
from remembrandt.evaluation import features, fidelity
from remembrandt.evaluation.judges import Readers, read
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.jobs.files import size as bytes_of
from remembrandt.memory import identifiers
from remembrandt.memory.measuring import BASE
from remembrandt.pocket.world.vocabulary import PLACES
from remembrandt.report import sheet, write_atomic
from remembrandt.tasks import Request
from remembrandt.training import adapting, class_images, examples, methods
from remembrandt.training.method import Lesson, Stage, first_rows
from remembrandt.training.oft import Oft

UNITS = (1, 2, 3, 5, 10)
THINGS = ("dog", "house", "car", "cup", "chair", "boat", "cat", "bird")
BLOCKS, KEY = "blocks", "m"
Document = dict[str, Any]


@dataclass(frozen=True)
class Blocks(Oft):
    """What OFT multiplies the inputs by, without asking it to be a rotation: I + M, M free."""

    def stages(self, family: Family, lesson: Lesson) -> list[Stage]:
        """One stage: M of each layer's blocks, and the identifier's rows."""
        KINDS.setdefault(BLOCKS, Kind(_prepare, oft.fits, oft.merged, before=oft.turn))
        sizes = {n: oft.skew(q).shape for n, q in oft.start(family.unet, self.block).items()}

        def saved(moving: Mapping[str, Tensor], rows: Tensor | None) -> Adapter:
            return Adapter(BLOCKS, {n: {KEY: moving[n].detach().cpu().clone()} for n in sizes}, {}, rows)

        def worn(moving: Mapping[str, Tensor]) -> adapting.Parts:
            return {n: (_matrix(moving[n]),) for n in sizes}

        free = {n: torch.zeros(shape) for n, shape in sizes.items()}
        return [adapting.stage(self, family, lesson, BLOCKS, free, worn, saved)]


def _matrix(free: Tensor) -> Tensor:
    return torch.eye(free.shape[-1], device=free.device) + 2 * free  # a rotation begins as I + 2 Q


def _prepare(worn) -> dict[str, tuple[Tensor, ...]]:
    ((tensors, strength),) = worn
    return {layer: (_matrix(named[KEY] * strength),) for layer, named in tensors.items()}


@dataclass(frozen=True)
class Way:
    """A method under its own name here; `token_first` learns the token alone for one unit, then the rest without it."""

    method: str
    options: Mapping[str, Any] = field(default_factory=dict)
    token_first: bool = False


WAYS = {
    "all weights": Way("dreambooth"),
    "lora": Way("lora"),
    "oft": Way("oft"),
    "oft without orthogonality": Way(BLOCKS),
    "textual inversion": Way("textual-inversion"),
    "token then oft": Way("oft", {"token_rate": 0.0}, token_first=True),
}


@dataclass(frozen=True)
class Size:
    """Steps of a unit, the concepts that are taught, pictures a prompt, class images."""

    unit: int = 60
    concepts: Sequence[str] = ("dog 1", "neon")
    each: int = 1
    class_images: int = 64
    options: Mapping[str, Any] = field(default_factory=dict)


SIZES = {
    "tiny": Size(1, ("dog 1",), 1, 2, {"batch": 2, "warmup": 1}),
    "usual": Size(),
    "full": Size(300, ("dog 1", "bottle 1", "chair 1", "keyboard 1", "neon", "woodcut"), 4),
}


@dataclass(frozen=True)
class Judge:
    """Everything that is measured of one concept; `before` are the base's pictures of `BASE`."""

    concept: Concept
    ruler: Ruler
    readers: Readers
    look: features.Look
    before: np.ndarray
    each: int

    def measure(self, family: Family, word: str, adapter: Adapter | None, shown: Path) -> Document:
        wears = () if adapter is None else (Worn(adapter),)
        words = {} if adapter is None or adapter.rows is None else {word: adapter.rows}

        def paint(prompts: Sequence[str]) -> list[np.ndarray]:
            asked = [Request(p, seed=SEED, n=self.each, words=words, wears=wears) for p in prompts]
            return [picture.pixels for made in Engine(family).paint(asked) for picture in made]

        own = paint(self.concept.prompts(word))
        shown.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(own[0]).save(shown)
        return {
            "identity": self.ruler.identity(own),
            "prompt": self.followed(paint, word),
            "drift": fidelity.drift(self.look(paint(BASE)), self.before),
            "energy": energy(family, adapter),
            "shown": str(shown),
        }

    def followed(self, paint: Callable[[Sequence[str]], list[np.ndarray]], word: str) -> float:
        """The share of pictures in the place, or of the thing, that was asked for."""
        full = f"a {word} {self.concept.category}"
        if self.concept.colour:
            asked = [p for p in PLACES for _ in range(self.each)]
            seen = read(self.readers, np.stack(paint([f"{full} {said}" for said in PLACES.values()])))
            return mean(r.whole["place"] == p for r, p in zip(seen, asked, strict=True))
        asked = [t for t in THINGS for _ in range(self.each)]
        seen = read(self.readers, np.stack(paint([f"{full} of a {thing}" for thing in THINGS])), [[t] for t in asked])
        return mean(r.things[t]["present"] == "True" for r, t in zip(seen, asked, strict=True))


@torch.no_grad()
def energy(family: Family, adapter: Adapter | None) -> float | None:
    """The largest relative change of hyperspherical energy among weights that an adapter multiplies; OFT's is 0."""
    if adapter is None or adapter.kind not in ("oft", BLOCKS):
        return None
    layers, parts = oft.layers(family.unet), KINDS[adapter.kind].prepare([(adapter.tensors, 1.0)])
    names = list(parts)[:: max(1, len(parts) // 8)]
    before, after = (
        [oft.hyperspherical_energy(weight) for weight in weights]
        for weights in (
            [layers[n].weight.double() for n in names],
            [oft.merged(layers[n].weight.double(), parts[n][0].double()) for n in names],
        )
    )
    return max(abs(b / a - 1) for a, b in zip(before, after, strict=True))


@dataclass(frozen=True)
class Classroom:
    """What all methods share: a base that stays as it is, and the class images that it painted."""

    family: Family
    size: Size
    work: Path

    def teach(self, way: Way, judge: Judge, place: Path) -> list[Document]:
        """One method on one concept: what was measured at each of `UNITS`."""
        size, moves = self.size, way.method == "dreambooth"
        # What moves all weights takes a copy, and a word that is there already.
        family = replace(self.family, unet=copy.deepcopy(self.family.unet)) if moves else self.family
        method = made(way.method, {"steps": UNITS[-1] * size.unit, **way.options, **size.options}, family)
        word = identifiers.choose(family.tokenizer, {judge.concept.category}, 0)
        lesson = Lesson(self.examples(judge.concept, word, moves), {}, SEED)
        if way.token_first:
            token = made("textual-inversion", {"steps": size.unit, **size.options}, family)
            lesson = self.called(lesson, judge.concept, word, token)
            first = methods.learn(token, family, lesson, folder=place / "token").adapter
            assert first is not None and first.rows is not None
            lesson = replace(lesson, words={word: first.rows})
        elif not moves:
            lesson = self.called(lesson, judge.concept, word, method)
        clock = [time.monotonic()]

        def rung(step: int, adapter: Adapter | None) -> None:
            took, unit = time.monotonic() - clock[0], step // size.unit  # seconds of the last unit
            if unit in UNITS:
                shown = place / f"{unit:02d}.png"
                seen = lambda: {"seconds": took, **judge.measure(family, word, adapter, shown)}  # noqa: E731
                once(place / f"{unit:02d}.json", seen)
            clock[0] = time.monotonic()

        learned = methods.learn(method, family, lesson, folder=place, every={size.unit: rung})
        weights = sum(t.numel() for t in family.unet.parameters()) * 2  # kept in half precision
        if learned.adapter is not None:
            adapters.save(learned.adapter, place / "adapter", {})
            weights = bytes_of([place / "adapter"])
        shutil.rmtree(place / "checkpoints", ignore_errors=True)
        rows = [json.loads((place / f"{unit:02d}.json").read_text()) for unit in UNITS]
        return [{"unit": unit, "bytes": weights, **row} for unit, row in zip(UNITS, rows, strict=True)]

    def called(self, lesson: Lesson, concept: Concept, word: str, method) -> Lesson:
        """The lesson, its word an added one of as many rows as the method wants."""
        return replace(lesson, words={word: first_rows(self.family, concept.category, getattr(method, "vectors", 1))})

    def examples(self, concept: Concept, word: str, priors: bool) -> list[examples.Example]:
        squares = concept.photos(self.family.record.size)
        found = examples.encode(self.family, squares, [f"a {word} {concept.category}"])
        if priors:
            prompt = f"a {concept.category}"
            painted = class_images.paint(self.family, prompt, self.size.class_images, self.work / "class")
            found += examples.encode(self.family, painted, [prompt], kind="class")
        return found


def made(name: str, values: Mapping[str, Any], family: Family):
    """The method of that name with its defaults for such a family; `BLOCKS` takes those of OFT."""
    if name != BLOCKS:
        return methods.method(name, values, family)
    return Blocks(**asdict(methods.method("oft", values, family)))  # type: ignore[call-overload]


def summed(rows: Mapping[str, Mapping[str, Sequence[Document]]]) -> Document:
    """Of each method, over concepts: its curve, and its best rung by identity."""
    found: Document = {}
    for name, of in rows.items():
        curve = []
        for k, unit in enumerate(UNITS):
            now = [r[k] for r in of.values()]
            figures = {w: mean(r[w] or 0.0 for r in now) for w in ("identity", "prompt", "drift")}
            curve.append({"unit": unit, **figures, "energy": max((r["energy"] or 0.0 for r in now), default=0.0)})
        best = [max((r["identity"] or 0.0) for r in each) for each in of.values()]
        found[name] = {
            "curve": curve,
            "best": interval(best),
            "seconds_a_unit": mean(r["seconds"] for each in of.values() for r in each),
            "bytes": max(r["bytes"] for each in of.values() for r in each),
        }
    both = [label for label in rows.get("oft", {}) if label in rows.get("all weights", {})]
    of = ("oft", "all weights") if both else ()
    best = {n: mean(max(r["identity"] or 0.0 for r in rows[n][k]) for k in both) for n in of}
    if best and best["all weights"] > 0:
        found["oft"]["best over all weights' best (>= 0.95)"] = best["oft"] / best["all weights"]
    return found


def drawn(rows: Mapping[str, Mapping[str, Sequence[Document]]]) -> Image.Image:
    """Of each concept and method one picture a rung, with identity, prompt and drift."""
    lines, under = [], []
    for name, of in rows.items():
        for label, rungs in of.items():
            lines.append((f"{name}: {label}", [r["shown"] for r in rungs]))
            under.append([f"{r['unit']}x {_two(r['identity'])} {_two(r['prompt'])} {_two(r['drift'])}" for r in rungs])
    return sheet(lines, "Methods over steps", subtitle="identity, prompt, drift", captions=under, cell=110)


def _two(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def main(given: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, "methods")
    parser.add_argument("--methods", default=",".join(WAYS), help="some of: " + ", ".join(WAYS))
    asked = parser.parse_args(given)
    names = asked.methods.split(",")
    if strange := sorted(set(names) - set(WAYS)):
        parser.error(f"there is no method {strange[0]!r}: {', '.join(WAYS)}")
    family, size = load(asked.base), SIZES[asked.size]
    work, out = places(asked, "methods", family.digest)
    scales = rulers(family, [CONCEPTS[label] for label in size.concepts], work)
    look = next(iter(features.looks(family).values()))
    made_before = Engine(family).paint([Request(b, seed=SEED, n=size.each) for b in BASE])
    before = look([picture.pixels for some in made_before for picture in some])
    room = Classroom(family, size, work)
    place = {(n, k): work / n.replace(" ", "-") / k.replace(" ", "-") for k in size.concepts for n in WAYS}
    wanted = [k for k in place if k[0] in names or (place[k] / "all.json").is_file()]  # all on the first concept first
    rows, found = dict[str, dict[str, Any]](), dict[str, Any]()
    with pieces([place[k] / "all.json" for k in wanted]):
        for name, label in wanted:
            judge = Judge(CONCEPTS[label], scales[label], readers(family), look, before, size.each)
            piece = lambda n=name, j=judge, p=place[name, label]: room.teach(WAYS[n], j, p)  # noqa: E731
            rows.setdefault(name, {})[label] = once(place[name, label] / "all.json", piece)
            found = plain({"methods": summed(rows), "rows": rows, "size": vars(size), **computing(family)})
            write_atomic(out, json.dumps(found, indent=1) + "\n")
            drawn(rows).save(out.with_suffix(".png"))
    print(json.dumps(found.get("methods"), indent=1))


if __name__ == "__main__":
    main()
