"""What a family's own judges see in pictures that were asked for: what is there, where, in which style, and who it is.

Nothing here knows a world: what readers can name stands in their configuration.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from remembrandt.evaluation import fidelity, judges
from remembrandt.evaluation.features import Look
from remembrandt.evaluation.judges import Readers
from remembrandt.family.family import Family


def readers(family: Family) -> Readers | None:
    """The family's readers, if it brings any."""
    place = judges.brought(family, "readers")
    found = judges.load(place) if place else None
    return found if isinstance(found, Readers) else None


def asked(judge: Readers, prompt: str) -> dict[str, str]:
    """What a prompt asks for that the judge can read: `{head: value}`, and `present` for the category it names.

    A head of which the prompt names several values, and a prompt that names several categories, is not asked.
    """
    found = {head: _named(values, prompt) for head, values in judge.config["whole"].items()}
    found["present"] = _named(judge.config["categories"], prompt)
    return {head: values[0] for head, values in found.items() if len(values) == 1}


def followed(judge: Readers, pictures: Sequence[np.ndarray], prompts: Sequence[str]) -> float | None:
    """The share of what the prompts ask for that is read in their pictures (uint8 (h, w, 3)), in [0, 1].

    PF of docs/reference.md, `retention`. None where nothing was asked that the judge can read.
    """
    right = [hit for row in hits(judge, pictures, prompts) for hit in row.values()]
    return float(np.mean(right)) if right else None


def hits(judge: Readers, pictures: Sequence[np.ndarray], prompts: Sequence[str]) -> list[dict[str, bool]]:
    """For each picture, of everything that its prompt asks for whether it is read."""
    wanted = [asked(judge, prompt) for prompt in prompts]
    things = [[row["present"]] if "present" in row else [] for row in wanted]
    seen = judges.read(judge, np.stack(list(pictures)), things) if len(pictures) else []
    found = []
    for want, reading in zip(wanted, seen, strict=True):
        row = {head: reading.whole[head] == value for head, value in want.items() if head != "present"}
        if "present" in want:
            row["present"] = reading.things[want["present"]]["present"] == "True"
        found.append(row)
    return found


def identity(
    look: Look, pictures: Sequence[np.ndarray], photos: Sequence[np.ndarray], base: Sequence[np.ndarray]
) -> float | None:
    """How much it is the very one of the photos: 0 as the base's pictures of its category, 1 as the photos each other.

    None with fewer than two photos, or where the photos are no nearer to each other than the base is to them.
    """
    if len(photos) < 2 or not len(pictures) or not len(base):
        return None
    real = look(photos)
    floor, ceiling = fidelity.similarity(look(base), real), fidelity.ceiling(real)
    score = float(fidelity.normalised(fidelity.similarity(look(pictures), real), floor, ceiling))
    return score if np.isfinite(score) else None


def _named(values: Sequence[str], prompt: str) -> list[str]:
    said = prompt.lower()
    return [v for v in values if v and re.search(rf"(?<!\w){re.escape(v.lower())}(?!\w)", said)]
