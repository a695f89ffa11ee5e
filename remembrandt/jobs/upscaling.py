"""What needs two passes: a generator that yields requests to be painted and is sent their pictures."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from remembrandt.engine.engine import Painted
from remembrandt.jobs import work
from remembrandt.jobs.files import Files
from remembrandt.jobs.hands import alone, hand
from remembrandt.report import Progress
from remembrandt.settings import Wrong

Document = dict[str, Any]
Passes = Generator[Sequence[Document], list[list[Painted]], list[list[Painted]]]
#: What of a wish is of the first pass alone: the enlarging model has likings of its own.
FIRST = ("sampler", "steps", "guidance", "size", "strength", "mask", "expand", "depth", "controls")
NONE = (
    "there is no model that enlarges for {}: `remembrandt train FAMILY upscale` makes one of its base,"
    " `families add` has it found"
)


def passes(requests: Sequence[Document], folder: Path) -> Passes:
    """Pictures as they are asked for, and then, where an enlargement is, each of them enlarged."""
    if not requests[0].get("upscale") or alone(requests[0]):
        return (yield requests)
    if hand(requests[0]) is None:
        raise Wrong(NONE.format(requests[0]["model"]))
    first = yield [_first(request) for request in requests]
    again, small = [], []
    for request, pictures in zip(requests, first, strict=True):
        for one in pictures:
            place = folder / f"{len(again):04d}.png"
            Image.fromarray(one.pixels).save(place)
            plain = {k: v for k, v in request.items() if k not in ("sees", "imagines")} | dict.fromkeys(FIRST)
            again.append({**plain, "image": str(place), "n": 1, "seed": one.recipe["seed"]})
            small.append(one)
    large = yield again
    pairs = zip(large, small, strict=True)
    told = ((own, {"enlarges": one.recipe}, one.hints) for own, one in pairs)
    return [[replace(p, recipe=p.recipe | more, hints=hints) for p in own] for own, more, hints in told]

def paint(requests: Sequence[Document], files: Files, progress: Progress) -> list[list[Painted]]:
    """The pictures of requests of one model, in as many passes as they need."""
    with tempfile.TemporaryDirectory() as folder:
        walk = passes(requests, Path(folder))
        asked = next(walk)
        while True:
            try:
                asked = walk.send(work.paint(asked, files, progress))
            except StopIteration as end:
                return end.value

def _first(request: Document) -> Document:
    """Without the enlargement; a depth finds its own model, if that is what was asked for too."""
    hand = request.get("hand")
    own = None if hand is None or request.get("depth") is None else {**hand, "task": "depth"}
    found = {k: v for k, v in request.items() if k not in ("upscale", "level", "hand")}
    return found | ({"hand": own} if own else {})
