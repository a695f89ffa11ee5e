"""What does lesson number k cost, and a batch whose requests wear different adapters?

    python -m benchmarks.cost [--full] [--minutes N] [-o FILE]

Sixty-four lessons of five steps on one gated model, each with its report: seconds, bytes on disk, and of the first and
last five, which are compared, and of every eighth between, the time from a new `Studio` to the first step of a picture
(start-up) and the time of a picture.
Then 8 requests that wear 8 adapters are painted beside 8 that wear one and 8 that wear none, by turns. Stopped, it goes
on where it was. Beside the JSON a plot. Leave the machine alone meanwhile.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks import arguments, once, pieces, places, plain
from benchmarks.concepts import CONCEPTS, Concept, dressed, stopped
from benchmarks.painting import computing
from remembrandt.engine.engine import Engine
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.jobs import files
from remembrandt.memory.library import Library
from remembrandt.report import plot, write_atomic
from remembrandt.studio import Studio
from remembrandt.tasks import Request

MODEL, STEPS, AT_ONCE = "mine", 5, 8
MEASURED = ("seconds", "bytes", "start_up", "picture")
Document = dict[str, Any]


@dataclass(frozen=True)
class Size:
    """Lessons, how many at each end are compared, how often a thing is timed."""

    lessons: int = 64
    ends: int = 5
    rounds: int = 5


SIZES = {"tiny": Size(3, 1, 1), "usual": Size(), "full": Size(256, 5, 15)}


def taught(number: int) -> Concept:
    """What lesson `number` teaches: never the same twice."""
    known = list(CONCEPTS.values())
    return replace(known[number % len(known)], seed=20_000 + number)


def lesson(home: Path, base: str, number: int, rounds: int) -> Document:
    """Teach it, then weigh the home and, `rounds` times, time how it paints; `bytes` is the whole home."""
    studio, concept = Studio(home), taught(number)
    known = studio.concepts(MODEL)
    if len(known) > number:
        seconds = studio.job(known[number]["job"])["result"]["seconds"]
    else:
        photos, job, new = concept.photos(), stopped(studio), {} if known else {"base": base}
        began = time.monotonic()
        studio.resume(job) if job else studio.finetune(photos, concept.category, steps=STEPS, model=MODEL, **new)
        seconds = time.monotonic() - began
    word = studio.concepts(MODEL)[number]["identifier"]
    prompt = f"a {word} {concept.category}"
    found = {"seconds": seconds, "bytes": files.size([home])}
    if rounds:
        found["start_up"] = median(timed(lambda: Studio(home).generate(prompt, steps=1, seed=1)) for _ in range(rounds))
        found["picture"] = median(timed(lambda: studio.generate(prompt, seed=1)) for _ in range(rounds + 1))
    return found


def rounds(size: Size, number: int) -> int:
    """How often a thing is timed after a lesson: at both ends, and here and there between."""
    ends = number < size.ends or number >= size.lessons - size.ends
    return size.rounds if ends or number % 8 == 7 else 0


def timed(call) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def grown(rows: Sequence[Document]) -> list[Document]:
    """The rows, with what each lesson added to the home for `bytes`; the first brought the base along."""
    before = [rows[0]["bytes"], *(row["bytes"] for row in rows)]
    return [{**row, "bytes": row["bytes"] - was} for row, was in zip(rows, before, strict=False)]


def ratios(rows: Sequence[Document], ends: int) -> dict[str, float]:
    """Medians of the last `ends` lessons over those of the first; bytes without the very first, which held the base."""
    found = grown(rows)
    first = {what: found[what == "bytes" :][:ends] for what in MEASURED}
    return {w: median(r[w] for r in found[-ends:]) / median(r[w] for r in first[w]) for w in MEASURED}


def batches(family: Family, library: Library, rounds: int) -> Document:
    """Seconds of 8 requests that wear 8 adapters, one adapter eight times, none: by turns, after a turn to warm up."""
    concepts = [library.concepts[k % len(library.concepts)] for k in range(AT_ONCE)]
    called = [library.call_up(f"a {c.identifier} {c.category}") for c in concepts]
    worn = {
        "eight": [Request(c.prompt, words=c.words, wears=c.wears, seed=k) for k, c in enumerate(called)],
        "one": [Request(c.prompt, words=c.words, wears=c.wears, seed=k) for k in range(AT_ONCE) for c in called[:1]],
        "none": [Request(f"a {concepts[0].category}", seed=k) for k in range(AT_ONCE)],
    }
    engine, seconds = Engine(family), {name: list[float]() for name in worn}
    for turn in range(rounds + 1):
        for name, requests in worn.items():
            took = timed(lambda asked=requests: engine.paint(asked))
            if turn:
                seconds[name].append(took)
    ratio = {
        f"eight over {name}": median(a / b for a, b in zip(seconds["eight"], seconds[name], strict=True))
        for name in ("one", "none")
    }
    return {"adapters": len(set(concepts)), "seconds": {n: median(s) for n, s in seconds.items()}, **ratio}


def main(given: Sequence[str] | None = None) -> None:
    asked = arguments(__doc__, "cost").parse_args(given)
    family, size = load(asked.base), SIZES[asked.size]
    place, out = places(asked, "cost", family.digest)
    if not (place / "lesson-000.json").is_file():
        lesson(place / "warm", asked.base, 0, 1)  # imports and caches are no lesson's cost
    paths = [place / f"lesson-{k:03d}.json" for k in range(size.lessons)]
    rows, batch = list[Document](), None
    with pieces([*paths, place / "batch.json"]):
        for k, path in enumerate(paths):
            rows.append(once(path, lambda k=k: lesson(place / "home", asked.base, k, rounds(size, k))))
        home = Studio(place / "home")
        batch = once(place / "batch.json", lambda: batches(*dressed(home, MODEL), 2 * size.rounds))
    if batch is None:
        return
    found = {
        "ratios (<= 1.1)": ratios(rows, size.ends),
        "batch (eight over one <= 1.20)": batch,
        "steps": STEPS,
        "lessons": rows,
        "size": vars(size),
        **computing(family),
    }
    write_atomic(out, json.dumps(plain(found), indent=1) + "\n")
    timed_of = [(w, [(k, row[w]) for k, row in enumerate(rows, 1) if w in row]) for w in MEASURED if w != "bytes"]
    curves = [(w, some) for w, some in timed_of if some]
    curves.append(("bytes, MB", [(k, row["bytes"] / 1e6) for k, row in enumerate(grown(rows), 1) if k > 1]))
    plot(curves, "What lesson number k costs", ("lesson", "seconds")).save(out.with_suffix(".png"))
    print(json.dumps(plain({k: v for k, v in found.items() if "<=" in k}), indent=1))


if __name__ == "__main__":
    main()
