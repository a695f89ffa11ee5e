"""The check that what is asked can be done, and the family's defaults for what is not said."""

from __future__ import annotations

import math
from dataclasses import replace
from numbers import Integral, Real

from remembrandt.diffusion.samplers import SAMPLERS
from remembrandt.engine.compose import WAYS
from remembrandt.family.family import Family
from remembrandt.settings import Wrong, nearest
from remembrandt.tasks import TASKS, Request

__all__ = ["Request", "settled"]


def settled(request: Request, family: Family) -> Request:
    """The request with the family's defaults filled in; `Wrong` if it cannot be painted."""
    record = family.record
    full = replace(
        request,
        sampler=record.sampler if request.sampler is None else request.sampler,
        steps=record.steps if request.steps is None else request.steps,
        guidance=record.guidance if request.guidance is None else request.guidance,
        size=(record.size, record.size) if request.size is None else tuple(request.size),
    )
    _known("task", full.task, TASKS)
    _known("sampler", full.sampler, SAMPLERS)
    _known("composition", full.composition, WAYS)
    _within("the number of pictures", full.n, 1, 64)
    _within("steps", full.steps, 1, 1000)
    _within("the seed", full.seed, 0, 2**63 - 1)
    _within("guidance", full.guidance, 0, 1000, Real)
    for worn in full.wears:
        _within("an adapter's strength", worn.strength, -10, 10, Real)
    if len(full.size or ()) != 2:
        raise Wrong(f"the size is (width, height), for example (512, 512), not {full.size}")
    for side in full.size or ():
        _within("each side of the size", side, 64, 2048)
        if side % family.factor:
            step = family.factor
            raise Wrong(f"each side of the size must be a multiple of {step}, not {side}")
    return full


def _known(what: str, word: object, options: dict) -> None:
    if word not in options:
        hint = nearest(str(word), options)
        raise Wrong(f"there is no {what} {word!r}.{hint} There are: {', '.join(options)}")


def _within(what: str, value: object, low: int, high: int, kind: type = Integral) -> None:
    if not isinstance(value, kind) or not math.isfinite(value) or not low <= value <= high:  # type: ignore[operator, arg-type]
        whole = "a whole number " if kind is Integral else ""
        raise Wrong(f"{what} must be {whole}from {low} to {high}, not {value!r}")
