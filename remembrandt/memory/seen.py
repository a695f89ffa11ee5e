"""What the family's judges see in the pictures that lessons left: who it is, whether prompts are followed, the styles.

A family without judges is not judged here; the denoising loss, which needs none, is in `measuring`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from remembrandt.engine.engine import UNPAINTED
from remembrandt.evaluation import features, reading
from remembrandt.evaluation.features import Look
from remembrandt.evaluation.judges import Readers
from remembrandt.family.family import Family
from remembrandt.memory import measuring
from remembrandt.memory.library import Library
from remembrandt.memory.measuring import Subject

THINGS = ("a house", "a dog")  # each is painted in every style
Document = dict[str, Any]
Shown = tuple[Sequence[np.ndarray], Sequence[str]]  # pictures, and what each was asked for


@dataclass(frozen=True, eq=False)
class Eyes:
    """The extractor that tells instances apart and the readers; None where the family brings none."""

    look: Look | None
    judge: Readers | None


def eyes(family: Family) -> Eyes:
    """The judges of a family."""
    return Eyes(features.looks(family).get("instances"), reading.readers(family))


def judged(eyes: Eyes, subject: Subject, shown: Shown, base: Shown) -> Document:
    """`identity` (None of a style, which no extractor of instances knows) and `prompt` of a strip; `base_prompt`."""
    told: Document = {"pictures": len(shown[0])}
    if eyes.look is not None and not subject.concept.style:
        told["identity"] = reading.identity(eyes.look, shown[0], subject.photos, base[0])
    if eyes.judge is not None and shown[0]:
        told["prompt"] = reading.followed(eyes.judge, *shown)
        told["base_prompt"] = reading.followed(eyes.judge, *base) if base[0] else None
    return told


def styles(judge: Readers, before: Family, now: Family) -> Document:
    """Of every style that the readers know, the share of pictures that show it: `{style: [base, now]}`, and `kept`.

    Paired prompts and seeds; `kept` is of those that the base paints right, None where it paints none.
    """
    known = judge.config["whole"].get("style", [])
    prompts = [f"a {style} picture of {thing}" for style in known for thing in THINGS]
    try:
        pictures = [measuring.paint(family, Library(), prompts) for family in (before, now)]
    except UNPAINTED as fault:
        return {"kept": None, "styles": {}, "not_measured": str(fault)}
    seen = [np.array([bool(row.get("style")) for row in reading.hits(judge, shown, prompts)]) for shown in pictures]
    shares = {s: [float(x[k * len(THINGS) :][: len(THINGS)].mean()) for x in seen] for k, s in enumerate(known)}
    return {"kept": float(seen[1][seen[0]].mean()) if seen[0].any() else None, "styles": shares}
