"""What a lesson, and later the report, measures of one concept: how well it is known, and how freely it is painted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from remembrandt.engine.engine import UNPAINTED, Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation import collapse, denoising, features, fidelity, gate
from remembrandt.family.family import Family
from remembrandt.memory.library import Concept, Library
from remembrandt.report import write_atomic

HELD = 5  # photos from which on the last is held out of the lesson, to be measured on
STEPS = 12  # of the sampler: strips are looked at, not sold
SUBJECT = ("", "on the beach", "in the forest", "in the snow")
STYLE = ("", "of a dog", "of a house", "of a tree")
BASE = ("a watercolour painting of a house", "a pencil drawing of a cat", "a photo of a city at night", "a red car")
FREELY = 8  # pictures in which repeated surroundings are looked for
Document = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Subject:
    """A concept, the prompt that it was taught under, its photos, (s, s, 3) uint8, and their masks, if it has any:
    (s, s) uint8, what is black is not measured.
    """

    concept: Concept
    prompt: str
    photos: Sequence[np.ndarray]
    masks: Sequence[np.ndarray] = ()

    @property
    def plain(self) -> str:
        """What the base would be told of it."""
        return f"a {self.concept.category}"

    @property
    def unseen(self) -> tuple[Sequence[np.ndarray], Sequence[np.ndarray]]:
        """What it is measured on, with the masks: a photo that was held out, where there is one."""
        return (self.photos[-1:], self.masks[-1:]) if len(self.photos) >= HELD else (self.photos, self.masks)

    def scenes(self, word: str) -> list[str]:
        """Prompts of a strip, with `word` for "identifier category" or for the category alone."""
        some = STYLE if self.concept.style else SUBJECT
        return [f"a {word} {scene}".strip() for scene in some]


def taught(photos: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
    """The photos that a lesson trains on."""
    return photos[:-1] if len(photos) >= HELD else photos


def losses(family: Family, library: Library, subject: Subject, prompt: str, first=0, last=gate.LOOKS[0]) -> np.ndarray:
    """The denoising losses of a concept's pairs number `first` to `last`, under a prompt of the library."""
    called, (photos, masks) = library.call_up(prompt), subject.unseen
    told = called.prompt, called.words, called.wears
    return denoising.losses(family, photos, *told, masks=masks, first=first, last=last)


def apart(family: Family, library: Library, subject: Subject, prompt: str) -> float:
    """The mean loss of pairs that no gate judges by: what a policy reads must not favour what is judged."""
    return float(losses(family, library, subject, prompt, gate.LOOKS[-1], gate.LOOKS[-1] + gate.LOOKS[0]).mean())


def fading(family: Family, library: Library, subject: Subject, known: Document) -> float:
    """The share of a concept's identity that is lost by now, by the pairs `apart`, whose ends `known` holds."""
    base, best = known["apart"]
    now = apart(family, library, subject, subject.prompt)
    return float(np.clip((now - best) / (base - best), 0, 1)) if np.isfinite(now) and base > best else 0.0


def learned(now: np.ndarray, base: np.ndarray, subject: Subject) -> Document:
    """How far a concept is known just after its lesson. This is its own best: fidelity 1.

    `gain` is the share of the base's loss that is gone, `noise` half the width of its 95 % interval; a gain that is not
    above 0 for sure has taught nothing that could be lost (`fidelity` None).
    """
    if not np.isfinite(now).all():
        none = dict.fromkeys(("fidelity", "gain", "noise"))
        return {**none, "held_out": len(subject.photos) >= HELD, "pairs": len(now)}
    gain, low, high = gate.bounds((base - now) / base.mean())
    kept = {"base": float(base.mean()), "best": float(now.mean()), "pairs": len(now)}
    sure = 1.0 if low > 0 else None
    return {"fidelity": sure, "gain": gain, "noise": (high - low) / 2, "held_out": len(subject.photos) >= HELD, **kept}


def remaining(now: np.ndarray, first: Document) -> float | None:
    """Fidelity later: 1 at its own best, 0 where the base was; from the same pairs as `first`, its `learned`."""
    if first["fidelity"] is None:
        return None
    return float(fidelity.normalised(-now.mean(), -first["base"], -first["best"]))


def strip(family: Family, library: Library, prompts: Sequence[str], folder: Path) -> list[Path]:
    """One picture for each prompt, painted once: `folder/0.png` and on, with `prompts.json`."""
    places = [folder / f"{k}.png" for k in range(len(prompts))]
    if not all(place.is_file() for place in places):
        folder.mkdir(parents=True, exist_ok=True)
        for place, pixels in zip(places, paint(family, library, prompts), strict=True):
            Image.fromarray(pixels).save(place)
        write_atomic(folder / "prompts.json", json.dumps(list(prompts)))
    return places


def paint(family: Family, library: Library, prompts: Sequence[str]) -> list[np.ndarray]:
    """One picture for each prompt, of seed 0, 1, ..., so that two states of a model are compared in pairs."""
    called = [library.call_up(prompt) for prompt in prompts]
    asked = [Request(c.prompt, words=c.words, wears=c.wears, steps=STEPS, seed=k) for k, c in enumerate(called)]
    return [pictures[0].pixels for pictures in Engine(family).paint(asked)]


def freely(family: Family, library: Library, subject: Subject, bare: Family | None = None) -> Document:
    """How freely a concept is painted: diversity, nearness to its photos, and repeated surroundings.

    Each beside what the base (`bare`, where weights moved) does with the same prompts and seeds without the identifier.
    """
    full = f"{subject.concept.identifier} {subject.concept.category}"
    scenes, plain = ((subject.scenes(word)[1:] * FREELY)[:FREELY] for word in (full, subject.concept.category))
    try:
        own, base = paint(family, library, scenes), paint(bare or family, Library(), plain)
    except UNPAINTED as fault:
        return {"not_measured": str(fault)}
    name, look = next(iter(features.looks(family).items()), ("16 x 16 pixels", features.plain))
    seen, usual, real = look(own), look(base), look(subject.photos)
    found = collapse.repeated(own, subject.photos, base)
    return {
        "measure": name,
        "pictures": FREELY,
        "diversity": fidelity.diversity(seen),
        "base_diversity": fidelity.diversity(usual),
        "nearness": float((seen @ real.T).max(1).mean()),
        "base_nearness": float((usual @ real.T).max(1).mean()),
        "photos_nearness": fidelity.ceiling(real) if len(real) > 1 else None,
        "repeats": [{"photo": r.photo, "times": r.times, "pictures": r.pictures} for r in found],
    }


def advice(told: Document, free: Document) -> list[str]:
    """What to do about it, most pressing first; nothing where all is well."""
    said = []
    for repeat in free.get("repeats", [])[:1]:
        said.append(
            f"{repeat['times']} of {repeat['pictures']} repeat the background of {repeat['name']}: teach again with"
            " photos before other backgrounds, with captions that name what else is in the picture, or with fewer steps"
        )
    if told and told.get("fidelity") is None:
        said.append("the lesson left no measurable trace: teach again with more steps or clearer photos")
    ceiling = free.get("photos_nearness")
    if ceiling is not None and free["nearness"] > max(ceiling, free["base_nearness"]) + 0.05:
        said.append("its pictures are nearer to the photos than these to each other: learned by heart, use fewer steps")
    elif free.get("base_diversity") and free["diversity"] < 0.5 * free["base_diversity"]:
        said.append("its pictures are half as diverse as the base's: fewer steps, or photos that differ more")
    return said
