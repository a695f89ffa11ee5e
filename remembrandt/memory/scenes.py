"""What a consolidation reads: pictures that the gated model paints, of one concept, of two, and of none.

Prompts and pictures are pure functions of (model, options, seed). Everything is painted in the same batches whether or
not the work was interrupted, kept as it is finished, and encoded once, before the first step.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, cycle, islice
from pathlib import Path

import numpy as np
from PIL import Image

from remembrandt.conditions import text
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.family.family import Family
from remembrandt.memory import measuring
from remembrandt.memory.library import Concept, Library
from remembrandt.memory.measuring import Subject
from remembrandt.report import Event, Progress, silent
from remembrandt.training import examples
from remembrandt.training.distillation import Distillation
from remembrandt.training.examples import Example

AT_ONCE = 16
HELD = 8  # pictures of the base that are never trained on, to judge by
PROMPTS = "prompts.txt"  # in a family's folder: captions that it knows, one a line

PLACES = ("", "on the beach", "in the snow", "in the forest", "in the city", "in a room", "in the kitchen")
MANNERS = ("", "a photo of", "a watercolour painting of", "an ink drawing of", "a pastel drawing of", "a mosaic of")
THINGS = ("dog", "cat", "bird", "car", "house", "tree", "chair", "cup", "flower", "boat", "person", "bottle")


@dataclass(frozen=True)
class Scripts:
    """Prompts of what is painted: of each concept by identifier, of two, of none.

    Of the last two, the first `HELD` pictures are held back to judge by.
    """

    pictures: Mapping[str, Sequence[str]]
    composed: Sequence[str]
    base: Sequence[str]


@dataclass(frozen=True, eq=False)
class Gathered:
    """`terms` are what the loop reads, by the terms of the loss; `pictures` what was painted of each concept, by
    identifier; `composed` and `base` are prompts with pictures that were held back.
    """

    terms: Mapping[str, Sequence[Example]]
    pictures: Mapping[str, Sequence[np.ndarray]]
    composed: Sequence[tuple[str, np.ndarray]]
    base: Sequence[tuple[str, np.ndarray]]


def script(family: Family, library: Library, options: Distillation, seed: int) -> Scripts:
    """The prompts of everything that is painted."""
    known, chance = library.concepts, random.Random(seed)
    pictures = {c.identifier: [*islice(cycle(alone(c)), options.pictures)] for c in known}
    pairs = [*combinations(known, 2)]
    chance.shuffle(pairs)
    ways = cycle(range(2))
    count = options.composed + HELD if pairs and options.composed else 0
    composed = [together(*pair, next(ways)) for pair in islice(cycle(pairs), count)]
    return Scripts(pictures, composed, without(family, known, chance, options.base_pictures + HELD))


def alone(concept: Concept) -> list[str]:
    """Prompts that name one concept: a subject in places and manners, a style of things."""
    word = f"{concept.identifier} {concept.category}"
    if concept.style:
        return [f"a {word}", *(f"a {word} of a {thing}" for thing in THINGS)]
    plain = [f"a {word} {place}".strip() for place in PLACES]
    return [*plain, *(f"{manner} a {word}" for manner in MANNERS if manner)]


def together(one: Concept, other: Concept, way: int) -> str:
    """A prompt that names two; subjects side by side in turns, a style of a subject."""
    first, second = (one, other) if one.style or (way and not other.style) else (other, one)
    joint = "of" if first.style else "beside"
    return f"a {first.identifier} {first.category} {joint} a {second.identifier} {second.category}"


def without(family: Family, concepts: Sequence[Concept], chance: random.Random, count: int) -> list[str]:
    """`count` prompts that name no concept: half of them the family's own captions, if it has any."""
    things = dict.fromkeys([*(c.category for c in concepts if not c.style), *THINGS])
    made = [f"{manner} a {thing} {place}".strip() for thing in things for manner in MANNERS for place in PLACES]
    made = [re.sub(r" +", " ", prompt) for prompt in made]
    own = _captions(family, {word for c in concepts for word in (c.identifier, c.name) if word})
    for prompts in (made, own):
        chance.shuffle(prompts)
    if not own:
        return [*islice(cycle(made), count)]
    mixed = (prompt for pair in zip(cycle(own), cycle(made), strict=False) for prompt in pair)
    return [*islice(mixed, count)]


def plain(prompt: str, concepts: Sequence[Concept]) -> str:
    """The prompt with every identifier left out."""
    for concept in concepts:
        prompt = re.sub(rf"(?<!\w){re.escape(concept.identifier)}(?!\w) ?", "", prompt, flags=re.IGNORECASE)
    return " ".join(prompt.split())


def _captions(family: Family, taught: set[str]) -> list[str]:
    """One chunk long, so that all prompts of a batch are."""
    path = family.folder / PROMPTS if family.folder else Path(PROMPTS)
    lines = path.read_text(encoding="utf-8").splitlines() if family.folder and path.is_file() else []
    some = dict.fromkeys(line.strip() for line in lines if line.strip())
    return [p for p in some if not text.named(p, taught) and len(text.tokens_of(family, p)) <= text.CHUNK]


def paint(
    family: Family,
    library: Library,
    prompts: Sequence[str],
    folder: Path,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> list[np.ndarray]:
    """A picture (uint8, (h, w, 3)) of each prompt, in always the same batches, from `folder` if they lie there."""
    engine, places = Engine(family), [folder / f"{k:05d}.png" for k in range(len(prompts))]
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(prompts), AT_ONCE):
        batch = range(start, min(start + AT_ONCE, len(prompts)))
        if not all(places[k].is_file() for k in batch):
            called = [library.call_up(prompts[k]) for k in batch]
            asked = [
                Request(c.prompt, words=c.words, wears=c.wears, composition=c.composition, seed=seed + k)
                for k, c in zip(batch, called, strict=True)
            ]
            for k, painted in zip(batch, engine.paint(asked), strict=True):
                part = places[k].with_suffix(".part")
                Image.fromarray(painted[0].pixels).save(part, "PNG")
                part.replace(places[k])
        progress(Event("painting", batch.stop, len(prompts)))
    return [_read(place) for place in places]


def gather(
    family: Family,
    library: Library,
    subjects: Sequence[Subject],
    scripts: Scripts,
    folder: Path,
    *,
    seed: int = 0,
    progress: Progress = silent,
) -> Gathered:
    """Paint and encode all that the loop reads.

    Where a concept is shown and not named, the base says what should be seen: its photos and pictures count among the
    prompts without a concept too, as much as the base's own.
    """
    single = [p for some in scripts.pictures.values() for p in some]
    every = [*single, *scripts.composed, *scripts.base]
    shown = iter(paint(family, library, every, folder / "painted", seed=seed * 1_000_003, progress=progress))
    pictures = {word: [(p, next(shown)) for p in some] for word, some in scripts.pictures.items()}
    composed = [(p, next(shown)) for p in scripts.composed]
    base = [(p, next(shown)) for p in scripts.base]
    photos = [[(s.prompt, square) for square in measuring.taught(s.photos)] for s in subjects if s.photos]
    unnamed = [(plain(p, library.concepts), s) for some in (*photos, *pictures.values()) for p, s in some]
    terms = {
        "photos": photos,
        "pictures": [*pictures.values()],
        "composed": [composed[HELD:]] if composed else [],
        "base": [base[HELD:], unnamed],
    }
    return Gathered(
        {t: _encoded(family, groups, folder / f"{t}.safetensors") for t, groups in terms.items() if groups},
        {word: [square for _, square in some] for word, some in pictures.items()},
        composed[:HELD],
        base[:HELD],
    )


def _encoded(family: Family, groups: Sequence[Sequence[tuple[str, np.ndarray]]], path: Path) -> list[Example]:
    """Each group is drawn as often as the others."""
    if not path.is_file():
        weighed = [(p, square, 1 / len(some)) for some in groups for p, square in some]
        examples.save([examples.encode(family, [s], [p], weight=w)[0] for p, s, w in weighed], path)
    return examples.load(path)


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
