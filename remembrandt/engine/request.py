"""What can be asked of the engine, and the check that it can be done."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from remembrandt.adapters.wear import Worn
from remembrandt.diffusion.samplers import SAMPLERS
from remembrandt.family.family import Family
from remembrandt.settings import Wrong, nearest


@dataclass(frozen=True, eq=False)
class Request:
    """`n` pictures of a prompt. What is None comes from the family's record.

    `size` is (width, height) in pixels; picture k has seed `seed` + k. `guidance` 1 paints with the prompt alone, 0
    without it. `words` are identifiers with their embedding rows (k, D), `wears` the adapters of what the prompt names.
    """

    prompt: str = ""
    negative: str = ""
    n: int = 1
    seed: int = 0
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    size: tuple[int, int] | None = None
    task: str = "text-to-image"
    words: Mapping[str, Tensor] = field(default_factory=dict)
    wears: tuple[Worn, ...] = ()


def settled(request: Request, family: Family) -> Request:
    """The request with the family's defaults filled in; `Wrong` if it asks for what cannot be painted."""
    record = family.record
    full = replace(
        request,
        sampler=request.sampler or record.sampler,
        steps=record.steps if request.steps is None else request.steps,
        guidance=record.guidance if request.guidance is None else float(request.guidance),
        size=request.size or (record.size, record.size),
    )
    if full.sampler not in SAMPLERS:
        hint = nearest(str(full.sampler), list(SAMPLERS))
        raise Wrong(f"there is no sampler {full.sampler!r}.{hint} `samplers` lists them")
    _within("the number of pictures", full.n, 1, 64)
    _within("steps", full.steps, 1, 1000)
    _within("the seed", full.seed, 0, 2**63 - 65)
    _within("guidance", full.guidance, 0, 100)
    assert full.size is not None
    for side in full.size:
        _within("each side of the size", side, 64, 2048)
        if side % family.factor:
            raise Wrong(f"each side of the size must be a multiple of {family.factor}, not {side}")
    return full


def _within(what: str, value: float | None, low: float, high: float) -> None:
    if value is None or not math.isfinite(value) or not low <= value <= high:
        raise Wrong(f"{what} must be from {low:g} to {high:g}, not {value}")
