"""What a lesson that moves shared weights has left of every concept that was there: measured, drawn, judged.

Pairs of (photo, time, noise) are the same before and after, and both are read from weights as they were saved.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from remembrandt.engine.engine import UNPAINTED
from remembrandt.evaluation import gate
from remembrandt.family.family import Family
from remembrandt.memory import measuring, retention
from remembrandt.memory.library import Library
from remembrandt.memory.measuring import Subject
from remembrandt.report import Event, Progress, silent

Document = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Past:
    """A concept that was there, with what the last lesson wrote down of it; without all its photos it has none."""

    subject: Subject
    known: Document | None

    @property
    def span(self) -> float | None:
        """Its own range: from its best loss to the base's. None if nothing was learned that could be lost."""
        if not self.subject.photos or not self.known or self.known.get("fidelity") is None:
            return None
        return self.known["base"] - self.known["best"]

    @property
    def peak(self) -> np.ndarray | None:
        """The losses of its first pairs when it was known best. None where a lesson of old did not write them down."""
        return np.array(self.known["peak"]) if self.known and self.known.get("peak") else None


def judge(
    before: Family, after: Family, past: Sequence[Past], margin: float, samples: Path, progress: Progress = silent
) -> Document:
    """What `retention.judged` says of the lesson, with `concepts` by id; a strip of each lies under `samples`.

    A loss is of the concept's own range. What is not measurable can neither be lost nor kept, and is named.
    """
    rows = {f"{o.subject.concept.identifier} {o.subject.concept.category}": o for o in past}
    library = Library([o.subject.concept for o in past])
    seen: dict[str, tuple[np.ndarray, np.ndarray]] = {}

    def lost(name: str, first: int, last: int) -> np.ndarray:
        row = rows[name]
        progress(Event("checking", len(seen), len(rows)))
        now, was = (measuring.losses(f, library, row.subject, row.subject.prompt, first, last) for f in (after, before))
        seen.setdefault(name, (now, was))
        return (now - was) / row.span

    found = gate.judge([name for name, row in rows.items() if row.span], lost, margin)
    concepts = {}
    for k, (name, row) in enumerate(rows.items()):
        progress(Event("checking", k, len(rows)))
        with suppress(*UNPAINTED):  # the numbers are what counts
            measuring.strip(after, library, row.subject.scenes(name), samples / row.subject.concept.id)
        concepts[row.subject.concept.id] = _row(row, found.get(name), seen.get(name), after, library)
    told = retention.slowly(retention.judged(found, margin), _faded(rows, seen, margin), margin)
    blind = [name for name in rows if name not in found]
    return told | {"concepts": concepts} | ({"not_measurable": blind} if blind else {})


def _faded(
    rows: Mapping[str, Past], seen: Mapping[str, tuple[np.ndarray, np.ndarray]], margin: float
) -> dict[str, gate.Faded]:
    """The concepts that have lost more than the margin since their best, one small loss after another."""
    found = {}
    for name, (now, was) in seen.items():
        span, peak = rows[name].span, rows[name].peak
        if span and peak is not None and (one := gate.faded(now / span, was / span, peak / span, margin, len(seen))):
            found[name] = one
    return found


def _row(
    row: Past, one: gate.Judged | None, pair: tuple[np.ndarray, np.ndarray] | None, after: Family, library: Library
) -> Document:
    """As `measuring.learned` told of it first, and what is left of that."""
    known = row.known or {}
    if one is None or pair is None:
        return {**known, "fidelity": None}
    now, _ = pair
    figures = {"loss": one.loss, "lower": one.lower, "upper": one.upper, "pairs": one.pairs, "verdict": one.verdict}
    left = {"fidelity": measuring.remaining(now, known)}
    if row.peak is not None and now.mean() < row.peak.mean():
        left["peak"] = now.tolist()
    if known.get("apart"):
        left["fading"] = measuring.fading(after, library, row.subject, known)
    return {**known, **figures, **left}
