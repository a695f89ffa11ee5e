"""What the benchmarks of the memory share: concepts of the embedded world, and how much of one is left.

A subject is judged by the family's instance extractor; a style by what its readers say of the style of a picture,
beside what they say of its photos. Both against renders that no lesson has seen. On the scale of identity 0 is what
others of the kind reach (other things of the class, half of them in its colour; the same scenes in other styles), and 1
what unseen renders of the very concept reach among themselves.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from benchmarks import once
from remembrandt.conditions.spatial import to_tensor
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation import features, fidelity, judges
from remembrandt.family.family import Family
from remembrandt.jobs import painters, work
from remembrandt.memory.library import Library
from remembrandt.memory.measuring import STYLE, SUBJECT
from remembrandt.pocket.world.scene import Scene, Subject, render, sample
from remembrandt.pocket.world.vocabulary import CATEGORIES, COLOURS, HELD_BACK, PLACES, STYLES

PHOTOS, UNSEEN, OTHERS, SEED = 5, 8, 12, 7
Look = features.Look


@dataclass(frozen=True)
class Concept:
    """A subject (with a colour) or a style of the world; `seed` is who it is."""

    label: str
    category: str
    seed: int
    colour: str = ""
    style: str = "photo"

    def scene(self, number: int) -> Scene:
        """Scene `number` of it; the first `PHOTOS` are taught, the next `UNSEEN` kept back."""
        places, things, colours = list(PLACES), list(CATEGORIES), list(COLOURS)
        place, thing = places[number % len(places)], Subject(self.category, self.colour, size="big", seed=self.seed)
        if not self.colour:
            what, colour = things[(5 * number + 9) % len(things)], colours[3 * number % len(colours)]
            thing = Subject(what, colour, size="big", seed=50 + number)
        chance = np.random.default_rng([51, self.seed, number])
        drawn = sample(chance, pairs=0.0, signs=0.0, style=self.style, place=place, relation="")
        return replace(drawn, subjects=(thing,))

    def photos(self, size: int = 256) -> list[np.ndarray]:
        """What a lesson is given, (size, size, 3) uint8."""
        return [render(self.scene(k), size) for k in range(PHOTOS)]

    def unseen(self) -> list[np.ndarray]:
        """What it is measured on, (128, 128, 3) uint8."""
        return [render(self.scene(k)) for k in range(PHOTOS, PHOTOS + UNSEEN)]

    def others(self) -> list[list[np.ndarray]]:
        """Others of the kind, two pictures of each."""
        if not self.colour:
            mine = [self.scene(k) for k in (PHOTOS, PHOTOS + 1)]
            styles = [s for s in (*STYLES, *HELD_BACK) if s != self.style]
            return [[render(replace(scene, style=style)) for scene in mine] for style in styles]
        strange = [c for c in COLOURS if c != self.colour]
        colours = [strange[k % len(strange)] if k % 2 else self.colour for k in range(OTHERS)]
        made = [replace(self, seed=10_000 + 97 * self.seed + k, colour=c) for k, c in enumerate(colours)]
        return [[render(other.scene(k)) for k in (PHOTOS, PHOTOS + 1)] for other in made]

    def prompts(self, word: str) -> list[str]:
        """What it is painted by, called `word`."""
        full = f"{word} {self.category}".strip()
        return [f"a {full} {scene}".strip() for scene in (SUBJECT if self.colour else STYLE)]

    def write(self, folder: Path) -> Path:
        """Its photos as files, each with its caption beside it, in which {identifier} stands for the word."""
        folder.mkdir(parents=True, exist_ok=True)
        for k, photo in enumerate(self.photos()):
            Image.fromarray(photo).save(folder / f"{k}.png")
            scene = self.scene(k)
            said = f"a {{identifier}} {self.category} {PLACES[scene.place]}"
            if not self.colour:
                said = f"a {{identifier}} {self.category} of a {scene.subjects[0].category} {PLACES[scene.place]}"
            (folder / f"{k}.txt").write_text(said)
        return folder


def _subjects(category: str, *colours: str) -> list[Concept]:
    return [Concept(f"{category} {k}", category, 100 * len(category) + 7 * k, c) for k, c in enumerate(colours, 1)]


def _styles(*names: str) -> list[Concept]:
    return [Concept(name, "painting", 900 + k, style=name) for k, name in enumerate(names)]


CONCEPTS = {
    concept.label: concept
    for concept in (
        *_subjects("dog", "teal", "pink", "orange"),
        *_subjects("bottle", "purple", "red", "blue"),
        *_subjects("chair", "green", "orange", "grey"),
        *_styles("neon", "woodcut", "stained glass"),
        *_subjects("keyboard", "yellow"),
    )
}
#: Which concepts, in which order: twelve mixed, or the story that the article on BIG tells.
ORDERS = {
    "mixed": (
        "dog 1", "bottle 1", "neon", "chair 1", "dog 2", "bottle 2", "woodcut", "chair 2", "dog 3", "bottle 3",
        "stained glass", "chair 3",
    ),
    "seed": ("bottle 1", "bottle 2", "keyboard 1", "chair 1", "neon", "woodcut", "dog 1"),
}  # fmt: skip


def order(name: str, count: int, seed: int) -> list[Concept]:
    """The first `count` of an order; a seed above 0 shuffles the mixed one, the story stays as it is told."""
    labels = list(ORDERS[name])[:count]
    if seed and name == "mixed":
        np.random.default_rng(seed).shuffle(labels)
    return [CONCEPTS[label] for label in labels]


@dataclass(frozen=True, eq=False)
class Ruler:
    """One concept's scale: its unseen renders (n, d) and others of its kind (m, views, d), as `look` sees them."""

    look: Look
    real: NDArray[np.float64]
    others: NDArray[np.float64]

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The similarities that count as 0 and as 1."""
        return fidelity.similarity(self.others.reshape(-1, self.real.shape[1]), self.real), fidelity.ceiling(self.real)

    def identity(self, pictures: Sequence[np.ndarray]) -> float:
        """Normalised identity: about 0 to 1."""
        return float(fidelity.normalised(fidelity.similarity(self.look(pictures), self.real), *self.ends))

    def identified(self, pictures: Sequence[np.ndarray]) -> float:
        """The share of pictures that are nearer to this concept than to any other of its kind."""
        means = np.stack([self.real.mean(0), *self.others.mean(1)])
        return fidelity.identified(self.look(pictures), means / np.linalg.norm(means, axis=1, keepdims=True), 0)

    def valid(self) -> dict[str, float]:
        """The ruler itself: AUC of its own renders against others', and how far 1 lies above 0."""
        n = len(self.real)
        same = (self.real @ self.real.T)[~np.eye(n, dtype=bool)]
        other = (self.others.reshape(-1, self.real.shape[1]) @ self.real.T).ravel()
        return {"auc": float((same[:, None] > other[None]).mean()), "range": self.ends[1] - self.ends[0]}


def rulers(family: Family, concepts: Sequence[Concept], work: Path) -> dict[str, Ruler]:
    """A ruler for each concept, by its label, made of the judges that the family brings; kept under `work`."""
    looks = {True: features.looks(family)["instances"], False: styled(readers(family))}

    def made(concept: Concept) -> Ruler:
        look = looks[bool(concept.colour)]
        seen = lambda: {"real": look(concept.unseen()), "others": [look(pair) for pair in concept.others()]}  # noqa: E731
        kept = once(work / "rulers" / f"{concept.label}.json", seen)
        return Ruler(look, np.array(kept["real"]), np.array(kept["others"]))

    return {concept.label: made(concept) for concept in concepts}


def readers(family: Family) -> judges.Readers:
    """The family's attribute readers."""
    assert family.folder is not None
    found = judges.load(family.folder / "judges" / "readers")
    assert isinstance(found, judges.Readers)
    return found


def styled(network: judges.Readers) -> Look:
    """Pictures as unit vectors of what the readers say of their style."""

    @torch.inference_mode()
    def look(pictures: Sequence[np.ndarray]) -> NDArray[np.float64]:
        parts = [network(to_tensor(p))["style"] for p in pictures]
        said = torch.log_softmax(torch.cat(parts).double(), -1).clamp_min(-12)
        return torch.nn.functional.normalize(said - said.mean(1, keepdim=True), dim=1).numpy()

    return look


def dressed(studio, model: str) -> tuple[Family, Library]:
    """The family of a model, and its library."""
    service = studio.service
    request = painters.painter(service._store(), model)
    return service._family(service._standing(model)), work.library(request, service._home)


def paint(studio, prompts: Sequence[str], model: str, each: int = 1) -> list[np.ndarray]:
    """`each` pictures of every prompt in one batch, of equal seeds whatever the model."""
    family, library = dressed(studio, model)
    called = [library.call_up(prompt) for prompt in prompts]
    worn = [{"words": c.words, "wears": c.wears, "composition": c.composition} for c in called]
    asked = [Request(c.prompt, seed=SEED, n=each, **how) for c, how in zip(called, worn, strict=True)]
    return [picture.pixels for some in Engine(family).paint(asked) for picture in some]


def stopped(studio, kind: str = "finetune") -> str | None:
    """The lesson that was cut off, if one was."""
    found = (j["id"] for j in studio.jobs() if j["kind"] == kind and j["state"] in ("interrupted", "queued"))
    return next(found, None)


def digest(pictures: Sequence[np.ndarray]) -> str:
    """Equal only for pictures that are equal to the bit."""
    return hashlib.sha256(b"".join(p.tobytes() for p in pictures)).hexdigest()[:16]


def interval(
    rows: Sequence[Any], statistic: Callable[[NDArray[np.float64]], float] = lambda rows: float(np.nanmean(rows))
) -> Mapping[str, float]:
    """The statistic of rows (one a concept) and its 95 % interval over concepts: 2,000 resamples."""
    values, chance = np.asarray(rows, float), np.random.default_rng(0)
    drawn = [statistic(values[chance.integers(0, len(values), len(values))]) for _ in range(2000)]
    low, high = np.nanpercentile(drawn, [2.5, 97.5])
    return {"value": statistic(values), "low": float(low), "high": float(high)}
