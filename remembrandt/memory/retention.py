"""What a lesson has changed of what was there: picture hashes of older concepts and the base.

In a gated model the answer is known (nothing: the gate is a proof), so what is measured here is
that the code keeps the proof's promises. The same requests are painted before and after in the same
batch, and every value of every picture must be equal.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation.gate import Faded, Judged
from remembrandt.family.family import Family
from remembrandt.memory.library import Concept, Library

MOST = 8  # older concepts that a lesson measures; the proof covers the rest
MARGIN = 0.1  # of its own range, that a concept may lose before a lesson is refused
LOOSEST = 1e3  # a margin that refuses broken weights alone: a concept can lose more than its whole range
STEPS = 4  # a difference of one bit shows at the first


def turn(concepts: Sequence[Concept], lesson: int) -> list[Concept]:
    """The concepts that lesson number `lesson` measures: all in turn, `MOST` at a time."""
    if len(concepts) <= MOST:
        return list(concepts)
    return [concepts[(lesson * MOST + k) % len(concepts)] for k in range(MOST)]


def prompts(older: Sequence[Concept], identifier: str, category: str) -> dict[str, list[str]]:
    """What is painted: each older concept, and prompts of the base on both sides of the gate."""
    base = ["", f"a {category}", f"a {identifier}s {category}", f"a x{identifier} {category}"]
    return {"base": base} | {c.identifier: [f"a {c.identifier} {c.category}"] for c in older}


def hashes(family: Family, library: Library, asked: Mapping[str, list[str]]) -> dict[str, str]:
    """A digest of the pictures of each key, all painted in one batch."""
    called = [library.call_up(prompt) for group in asked.values() for prompt in group]
    requests = [Request(prompt=c.prompt, words=c.words, wears=c.wears, steps=STEPS) for c in called]
    painted = iter(Engine(family).paint(requests) if requests else [])
    found = {}
    for key, group in asked.items():
        pixels = [next(painted)[0].pixels.tobytes() for _ in group]
        found[key] = hashlib.sha256(b"".join(pixels)).hexdigest()
    return found


def compare(before: Mapping[str, str], after: Mapping[str, str], concepts: int) -> dict[str, Any]:
    """`mean, worst, published` (and `why`), of `concepts` older ones: 1 means equal to the bit."""
    changed = [key for key, digest in before.items() if after.get(key) != digest]
    older = [float(key not in changed) for key in before if key != "base"]
    kept = sum(older) + concepts - len(older)  # those not painted now keep their figure
    found: dict[str, Any] = {
        "mean": kept / concepts if concepts else 1.0,
        "worst": min(older, default=1.0),
        "published": not changed,
        "measure": "picture hashes" if before else "not measured",
        "measured": len(older),
        "carried": concepts - len(older),
        "base_unchanged": "base" not in changed if before else None,
    }
    if changed:
        found["why"] = f"pictures changed that this lesson must not touch: {', '.join(changed)}"
    return found


def judged(found: Mapping[str, Judged], margin: float) -> dict[str, Any]:
    """As `compare`, where weights are shared: refused if a concept has surely lost more than `margin` (0 ... 1).

    `found` is what `gate.judge` says of every older concept, by a name that people know.
    """
    said = {name: f"{name} ({min(j.loss, 1):.2f}, at least {min(j.lower, 1):.2f})" for name, j in found.items()}
    lost = [said[name] for name, j in found.items() if j.verdict == "lost"]
    kept = [max(0.0, 1 - j.loss) for j in found.values()]  # worse than the base is no less than nothing
    told: dict[str, Any] = {
        "mean": sum(kept) / len(kept) if kept else 1.0,
        "worst": min(kept, default=1.0),
        "published": not lost,
        "measure": "paired denoising",
        "measured": len(kept),
        "carried": 0,
        "pairs": max((j.pairs for j in found.values()), default=0),
        "unsure": [name for name, j in found.items() if j.verdict == "unsure"],
    }
    return told | ({"why": f"lost more than the margin of {margin:g}: {', '.join(lost)}"} if lost else {})


def slowly(told: Mapping[str, Any], found: Mapping[str, Faded], margin: float) -> dict[str, Any]:
    """What `judged` told, and of the concepts that faded lesson by lesson: refused if this one took one too far."""
    said = {name: f"{name} ({min(f.loss, 1):.2f}, at least {min(f.lower, 1):.2f})" for name, f in found.items()}
    crossed = [said[name] for name, f in found.items() if f.crossed]
    about = {**told, **({"faded": [*found]} if found else {})}
    if not crossed:
        return about
    why = f"lost more than the margin of {margin:g} since its best, over several lessons: {', '.join(crossed)}"
    return {**about, "published": False, "why": "; ".join([*([told["why"]] if "why" in told else []), why])}
