"""Do two or three taught concepts come out in one picture, each as itself, and by which way of composing?

    python -m benchmarks.composition [--full | --tiny] [--base FAMILY] [--minutes N] [-o FILE]

Two dogs, two bottles, two chairs and two styles are taught to one gated model, that of `benchmarks.forgetting`; then
every way of `engine/compose.py` paints the same prompts from the same seeds, in rounds: the result holds the rounds
that are whole. Success is strict: every named thing is there, with its category and colour as the readers see them,
nearer to its own instance than to twelve others of its class (half of them in its colour), each in a half of its own if
there are two; and the picture is in the style. A style may destroy colours: they count. The base is asked for the same
pairs by colour, judged alike but for identity. The same judge first looks at renders of the very pictures (`judge:
renders`) and of strangers in their place (`judge: strangers`). Bleeding: in "a brc dog beside a dog" the half less like
the concept is the second; how often is it read as the concept all the same, against "a dog beside a dog" of the base?
Stopped, it goes on where it was. Beside the JSON a sheet: cells by ways.
"""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import arguments, forgetting, once, pieces, places, plain
from benchmarks.concepts import CONCEPTS, ORDERS, Concept, dressed, interval, order, readers, rulers
from benchmarks.painting import computing
from benchmarks.pairs import Case, Judge
from remembrandt.engine.compose import SUMMED, WAYS
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation import features
from remembrandt.evaluation.fidelity import composed, corrected
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.memory.library import Library
from remembrandt.pocket.world.scene import render
from remembrandt.report import sheet, write_atomic
from remembrandt.studio import Studio

BASE = "base"
TAUGHT = ("dog 1", "dog 2", "bottle 1", "bottle 2", "chair 1", "chair 2", "neon", "woodcut")
THINGS, TWINS = TAUGHT[:6], (("dog 1", "dog 2"), ("bottle 1", "bottle 2"), ("chair 1", "chair 2"))
MIXED = (("dog 1", "bottle 1"), ("chair 1", "dog 2"), ("bottle 2", "chair 2"), ("dog 1", "chair 1"))
PART, SHOWN = 32, 6  # pictures a piece; on the sheet
Document = dict[str, Any]


@dataclass(frozen=True)
class Cell:
    """A row of the table: cases by turns, by which ways they are painted, and what the figure is to reach."""

    cases: tuple[Case, ...]
    ways: tuple[str, ...] = tuple(WAYS)
    target: float | None = None


STYLED = [(thing, style) for thing in THINGS for style in ("neon", "woodcut")]
KNOWN = [(thing, style) for thing in THINGS for style in ("watercolour", "mosaic", "comic")]
CELLS = {
    "alone": Cell(tuple(Case((thing,)) for thing in THINGS), (SUMMED,)),
    "subject x taught style": Cell(tuple(Case((t,), s) for t, s in STYLED), target=0.75),
    "subject x base style": Cell(tuple(Case((t,), known=s) for t, s in KNOWN), (SUMMED,), 0.80),
    "two classes": Cell(tuple(Case(pair) for pair in MIXED), target=0.85),
    "one class": Cell(tuple(Case(pair) for pair in TWINS), target=0.6),
    "two subjects x style": Cell(tuple(Case(p, s) for p in MIXED for s in ("neon", "woodcut"))),
    "bleeding": Cell(tuple(Case((thing,), twin=True) for thing in THINGS), target=2.0),
}
NAMED = ("two classes", "one class", "bleeding")  # what the base is asked for, too


@dataclass(frozen=True)
class Size:
    """Pictures a cell and way, renders that the judge is judged by, steps of a picture, cases.

    `seen` are the renders of a thing and the others of its class that it is compared with.
    """

    each: int = 128
    renders: int = 96
    walk: int | None = None
    cases: int | None = None
    seen: tuple[int, int] = (8, 12)


SIZES = {"tiny": Size(2, 2, 2, 1, (2, 2)), "usual": Size(), "full": Size(each=1536, renders=512)}


@dataclass(frozen=True, eq=False)
class Bench:
    """A taught model, a judge, and where finished pieces lie."""

    family: Family
    size: Size
    work: Path
    judge: Judge
    library: Library

    @cached_property
    def words(self) -> dict[str, str]:
        """Identifiers by label: they were taught in this order."""
        return dict(zip(needed(self.size), (c.identifier for c in self.library.concepts), strict=False))

    def cases(self, name: str) -> Sequence[Case]:
        return CELLS[name].cases[: self.size.cases]

    def paint(self, name: str, way: str, numbers: range) -> list[np.ndarray]:
        """Pictures of a cell, of seed `number` each, whoever is beside them."""
        cases, requests = self.cases(name), []
        named = self.plain(name) if way == BASE else lambda c: f"{self.words[c.label]} {c.category}"
        for k in numbers:
            called = self.library.call_up(cases[k % len(cases)].prompt(named, k // len(cases)))
            wear = {"words": called.words, "wears": called.wears, "composition": SUMMED if way == BASE else way}
            requests.append(Request(called.prompt, seed=k, steps=self.size.walk, **wear))
        return [made[0].pixels for made in Engine(self.family).paint(requests)]

    def plain(self, name: str) -> Callable[[Concept], str]:
        """What the base is asked for: a thing by its colour; for the chance of bleeding just two of a class."""
        return lambda c: c.category if name == "bleeding" else f"{c.colour} {c.category}"

    def judged(self, name: str, numbers: range, made: Sequence[np.ndarray], named: bool = False) -> list[bool]:
        cases, judge = self.cases(name), self.judge.bleeds if name == "bleeding" else self.judge.success
        return [judge(cases[k % len(cases)], picture, named) for k, picture in zip(numbers, made, strict=True)]

    def part(self, name: str, way: str, first: int) -> list[bool]:
        """Pictures of a cell by one way, from number `first` on, judged; the first of all are kept to be shown."""
        numbers = range(first, min(first + PART, self.size.each))

        def piece() -> list[bool]:
            made = self.paint(name, way, numbers)
            for k, picture in zip(numbers, made, strict=True):
                if k < SHOWN:
                    self.shown(name, way, k).parent.mkdir(parents=True, exist_ok=True)
                    Image.fromarray(picture).save(self.shown(name, way, k))
            return self.judged(name, numbers, made, way == BASE)

        return once(self.place(name, way, first), piece)

    def place(self, name: str, way: str, first: int) -> Path:
        return self.work / "cells" / name / way / f"{first:05d}.json"

    def shown(self, name: str, way: str, number: int) -> Path:
        return self.work / "pictures" / name / way / f"{number}.png"

    def ceiling(self, name: str, strangers: bool) -> float:
        """What the judge says of renders of a cell: 1 and 0 if it never erred; of bleeding 0 both times."""
        numbers, cases = range(self.size.renders), self.cases(name)
        made = [render(cases[k % len(cases)].scene(k, strangers)) for k in numbers]
        return float(np.mean(self.judged(name, numbers, made)))

    def figure(self, name: str, found: Sequence[bool], trusted: Mapping[str, float]) -> Document:
        """The share with its interval over cases, or over pictures where there is one; and as a judge would find it

        who is right about all renders and strangers (not for bleeding, and nothing if this one is right by luck alone).
        """
        cases = len(self.cases(name))
        rows = [np.mean(found[k::cases]) for k in range(cases) if found[k::cases]]
        able = name != "bleeding" and trusted["renders"] - trusted["strangers"] > 0.1
        true = corrected(float(np.mean(found)), trusted["renders"], 1 - trusted["strangers"]) if able else None
        return {"pictures": len(found), **interval(rows if cases > 1 else found), "corrected": true}


def needed(size: Size) -> list[str]:
    """What is taught, in that order: as far as the cases of a size ask for it."""
    cases = [case for cell in CELLS.values() for case in cell.cases[: size.cases]]
    asked = {label for case in cases for label in (*case.things, case.taught)}
    return list(ORDERS["mixed"][: 1 + max(k for k, label in enumerate(ORDERS["mixed"]) if label in asked)])


def taught(asked: Namespace, family: Family, size: Size) -> Library:
    """The gated model of `benchmarks.forgetting`, taught as far as it is not there yet and is needed."""
    work, _ = places(asked, "forgetting", family.digest)
    story = order("mixed", len(needed(size)), 0)
    bench = forgetting.Bench(asked.base, family, forgetting.SIZES[asked.size], work, rulers(family, story, work))
    with pieces([work / "gated" / "0" / f"lesson-{k:02d}.json" for k in range(len(story))]):
        forgetting.lessons(bench, "gated", story, 0)
        return dressed(Studio(work / "gated" / "0" / "home"), forgetting.MODEL)[1]
    raise SystemExit  # there was no time to teach it


def run(bench: Bench, publish: Callable[[Document], None]) -> Document:
    """All cells, by every way and by the base, in rounds; `publish` is told what is known after each."""
    names = {n: (*c.ways, *((BASE,) if n in NAMED else ())) for n, c in CELLS.items()}
    seen = {n: {way: list[bool]() for way in ways} for n, ways in names.items()}
    found, starts = Document(), range(0, bench.size.each, PART)
    with pieces([bench.place(n, way, k) for k in starts for n, ways in names.items() for way in ways]):
        trusted = {
            n: once(bench.work / f"judge-{n}.json", lambda n=n: {
                "renders": bench.ceiling(n, False), "strangers": bench.ceiling(n, True)
            })
            for n in CELLS
        }  # fmt: skip
        for first in starts:
            made = {n: {way: bench.part(n, way, first) for way in ways} for n, ways in names.items()}
            seen = {n: {way: [*old, *made[n][way]] for way, old in ways.items()} for n, ways in seen.items()}
            figures = {n: {way: bench.figure(n, s, trusted[n]) for way, s in ways.items()} for n, ways in seen.items()}
            found = {"verdicts": verdicts(figures), "gaps": gaps(seen), "cells": figures, "judge": trusted}
            publish(found)
    return found


def verdicts(figures: Mapping[str, Mapping[str, Document]]) -> Document:
    """By cell and way what is measured, whether it reaches what was aimed at, and the way that wins."""

    def ratio(a: float, b: float) -> float | None:
        return a / b if b else None

    value = {n: {way: f["value"] for way, f in ways.items()} for n, ways in figures.items()}
    two, chance = value["two classes"][BASE], value["bleeding"][BASE]
    measured = {
        n: {way: value[n][way] if by is None else ratio(value[n][way], by) for way in CELLS[n].ways}
        for n, by in {
            "subject x taught style": None, "subject x base style": None, "two classes": two, "one class": two,
            "two subjects x style": None, "bleeding": chance,
        }.items()
    }  # fmt: skip
    met = {n: {way: reached(n, v) for way, v in ways.items()} for n, ways in measured.items() if CELLS[n].target}
    asked = [n for n, cell in CELLS.items() if len(cell.ways) > 1 and n != "bleeding"]
    score = {way: float(np.mean([value[n][way] for n in asked])) for way in WAYS}
    by = {"two classes": two, "one class of its own": value["one class"][BASE], "chance of bleeding": chance}
    return {"figures": measured, "met": met, "base": by, "score": score, "wins": max(score, key=score.__getitem__)}


def reached(name: str, figure: float | None) -> bool | None:
    """Of bleeding the target is the most, of all else the least."""
    target = CELLS[name].target
    if figure is None or target is None:
        return None
    return figure <= target if name == "bleeding" else figure >= target


def gaps(seen: Mapping[str, Mapping[str, Sequence[bool]]]) -> Document:
    """Success of two subjects less the product of each alone; below 0 they disturb each other."""
    alone = {t: float(np.mean(seen["alone"][SUMMED][k :: len(THINGS)] or [0.0])) for k, t in enumerate(THINGS)}
    found = {}
    for name in ("two classes", "one class"):
        cases = CELLS[name].cases
        for way in WAYS:
            each = [(seen[name][way][k :: len(cases)], case.things) for k, case in enumerate(cases)]
            found.setdefault(name, {})[way] = np.mean([composed(s, alone[a], alone[b]) for s, (a, b) in each if s])
    return found


def drawn(bench: Bench, found: Document) -> Image.Image:
    """Cells by ways."""
    rows = []
    for name, ways in found["cells"].items():
        for way, figure in ways.items():
            shown = [p for k in range(SHOWN) if (p := bench.shown(name, way, k)).is_file()]
            rows.append((f"{name}: {way}, {figure['value']:.2f}", shown))
    return sheet(rows, "Several taught concepts in one picture", cell=128)


def main(given: Sequence[str] | None = None) -> None:
    asked = arguments(__doc__, "composition").parse_args(given)
    family, size = load(asked.base), SIZES[asked.size]
    library = taught(asked, family, size)
    place, out = places(asked, "composition", family.digest)
    scales = rulers(family, [c for label in needed(size) if not (c := CONCEPTS[label]).colour], place)
    judge = Judge(readers(family), features.looks(family)["instances"], scales, place, *size.seen)
    bench = Bench(family, size, place, judge, library)
    told = {"rulers": {label: scale.valid() for label, scale in scales.items()}, "size": vars(size), "seed": 0}

    def publish(found: Document) -> None:
        write_atomic(out, json.dumps(plain({**found, **told, **computing(family)}), indent=1) + "\n")
        drawn(bench, found).save(out.with_suffix(".png"))

    print(json.dumps(plain(run(bench, publish).get("verdicts")), indent=1))


if __name__ == "__main__":
    main()
