"""Pictures of one or two taught things, and the judge that says whether they show what was asked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import once
from benchmarks.concepts import CONCEPTS, Concept, Look, Ruler
from remembrandt.evaluation import judges
from remembrandt.pocket.world.scene import Scene, Subject, layout, render, sample
from remembrandt.pocket.world.styles import STYLES
from remembrandt.pocket.world.vocabulary import COLOURS, PLACES

HALF = 0.56  # of the picture's side: what is cut out around each of two things


@dataclass(frozen=True)
class Case:
    """What one picture is to show: taught things, side by side if two, in a taught or a known style."""

    things: tuple[str, ...]
    taught: str = ""
    known: str = ""
    twin: bool = False  # beside the one thing another of its class, whoever that is

    @property
    def concepts(self) -> list[Concept]:
        return [CONCEPTS[label] for label in self.things]

    @property
    def style(self) -> str:
        return CONCEPTS[self.taught].style if self.taught else self.known or "photo"

    @property
    def colourful(self) -> bool:
        """Whether a colour can be read in its style."""
        return "colour" not in STYLES[self.style].destroys

    def prompt(self, call: Callable[[Concept], str], number: int) -> str:
        """Its words, with `call` for what a concept is named by; the place changes from picture to picture."""
        lead = f"{STYLES[self.known].prefix} " if self.known else ""
        lead = f"a {call(CONCEPTS[self.taught])} of " if self.taught else lead
        named = [call(c) for c in self.concepts] + [c.category for c in self.concepts if self.twin]
        return f"{lead}{' beside '.join(f'a {n}' for n in named)} {list(PLACES.values())[number % len(PLACES)]}"

    def scene(self, number: int, strangers: bool) -> Scene:
        """The same as a render; of others than the concepts, in their colours, with `strangers`."""
        subjects = [Subject(c.category, c.colour, seed=c.seed + (40_000 + number) * strangers) for c in self.concepts]
        subjects += [replace(s, seed=s.seed + 80_000 + number) for s in subjects if self.twin]
        return showing(subjects, self.style, [61, number], number)


def showing(subjects: Sequence[Subject], style: str, seed: Sequence[int], number: int) -> Scene:
    """A scene of one thing or of two side by side."""
    relation = "beside" if len(subjects) > 1 else ""
    drawn = sample(np.random.default_rng(seed), pairs=0.0, signs=0.0, style=style, relation=relation)
    return replace(drawn, subjects=tuple(subjects), place=list(PLACES)[number % len(PLACES)])


@dataclass(frozen=True, eq=False)
class Judge:
    """Says whether a picture shows its case. Like is compared with like: a thing beside another in neon with renders of
    it, and of `others` of its class (every second in another colour), beside another in neon; made once, under `work`.
    """

    readers: judges.Readers
    look: Look
    styles: Mapping[str, Ruler]
    work: Path
    own: int = 8
    others: int = 12

    def scale(self, label: str, style: str, paired: bool) -> Ruler:
        """The ruler of a thing in a style, alone or beside another."""
        concept, strange = CONCEPTS[label], [c for c in COLOURS if c != CONCEPTS[label].colour]
        beside = next(c for c in ("bottle", "dog") if c != concept.category)

        def views(number: int, count: int) -> list[list[float]]:
            colour = strange[number % len(strange)] if number % 2 else concept.colour
            seed = 10_000 + 97 * concept.seed + number if number else concept.seed
            made = []
            for k in range(count):
                things = [Subject(concept.category, colour, seed=seed)]
                things += [Subject(beside, strange[k % len(strange)], seed=k)] * paired
                scene = showing(things, style, [67, number, k], number + k)
                picture = render(scene)
                made.append(halves(picture)[int(layout(scene)[0].x > 0.5)] if paired else picture)
            return self.look(made).tolist()

        def measured() -> dict[str, list]:
            return {"real": views(0, self.own), "others": [views(k, 2) for k in range(1, self.others + 1)]}

        kept = once(self.work / "scales" / f"{label}, {style}{', paired' * paired}.json", measured)
        return Ruler(self.look, np.array(kept["real"]), np.array(kept["others"]))

    def success(self, case: Case, picture: np.ndarray, named: bool = False) -> bool:
        """Strictly; `named` things have a colour, but are nobody."""
        seen = halves(picture) if len(case.things) > 1 else [picture]
        orders = [case.concepts, case.concepts[::-1]] if len(seen) > 1 else [case.concepts]
        scales = {} if named else {c.label: self.scale(c.label, case.style, len(seen) > 1) for c in case.concepts}
        told = [next(iter(r.things.items())) for r in judges.read(self.readers, np.stack(seen))]

        def found(concept: Concept, place: int) -> bool:
            category, read = told[place]
            right = category == concept.category and (not case.colourful or read["colour"] == concept.colour)
            scale = scales.get(concept.label)
            return right and (scale is None or scale.identified([seen[place]]) == 1)

        there = any(all(found(c, place) for place, c in enumerate(order)) for order in orders)
        return there and self.styled(case, picture)

    def styled(self, case: Case, picture: np.ndarray) -> bool:
        """Whether the picture is in the style that was asked for, if any was."""
        if case.taught:
            return self.styles[case.taught].identified([picture]) == 1
        return not case.known or judges.read(self.readers, picture[None])[0].whole["style"] == case.known

    def bleeds(self, case: Case, picture: np.ndarray, named: bool = False) -> bool:
        """Whether the half less like the concept is read as the concept, too."""
        scale, seen = self.scale(case.things[0], case.style, True), halves(picture)
        second = min(seen, key=lambda half: scale.identity([half]))
        return scale.identified([second]) == 1


def halves(picture: np.ndarray) -> list[np.ndarray]:
    """What is left and right of the middle, as pictures of one thing each, (128, 128, 3)."""
    size = picture.shape[0]
    side, top = round(HALF * size), round((0.98 - HALF) * size)
    cut = (picture[top : top + side, x : x + side] for x in (0, size - side))
    return [np.asarray(Image.fromarray(part).resize((128, 128), Image.Resampling.BICUBIC)) for part in cut]
