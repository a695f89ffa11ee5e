"""One driver for many requests: a picture is a sampler under way, a step is one call for all rows.

Requests join and leave between steps, each with its own sampler, steps, guidance, seed, size and
adapters. What they yield goes through the network together wherever the shapes agree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, final

import numpy as np
import torch
from torch import Tensor

from remembrandt.adapters.wear import Outfit, Wardrobe
from remembrandt.conditions import control
from remembrandt.conditions.turned import entering
from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.samplers import SAMPLERS
from remembrandt.engine import compose
from remembrandt.engine.compose import Look, Regions
from remembrandt.engine.lean import Lean
from remembrandt.engine.request import Request, described, settled
from remembrandt.engine.rows import Row, each, joined
from remembrandt.engine.texts import Texts
from remembrandt.family.family import Family, NotFinite
from remembrandt.report import Event, Progress, silent
from remembrandt.settings import Wrong
from remembrandt.tasks import TASKS, Begun, Start

#: Places of latents (h * w, over all rows) that one call takes: 4 rows of 512 x 512 pixels on a CPU.
ROOM = {"cpu": 2**14, "mps": 2**14, "cuda": 2**17}

TOLD = {
    "stopped": "{sampler} was stopped at {stopped} model calls: seed {seed}",
    "fitted": "the image of {fitted} pixels was painted at {size}: seed {seed}",
}

#: What ends a request that cannot be painted, and no other.
UNPAINTED = (Wrong, NotFinite)


@dataclass(frozen=True, eq=False)
class Painted:
    """A picture: uint8 (h, w, 3), the recipe that paints it again, and by control the hint that it follows."""

    pixels: np.ndarray
    recipe: dict[str, Any]
    hints: Mapping[str, np.ndarray] = field(default_factory=dict)


@dataclass(eq=False)
class Ticket:
    """A request under way: `calls` of `total` model calls are done; `error` ended it, if set.

    `total` is what is foreseen where a sampler decides by itself how many it takes.
    """

    request: Request
    total: int
    calls: int = 0
    error: Wrong | NotFinite | None = None
    canceled: bool = False
    _done: dict[int, Painted] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return self.canceled or self.error is not None or len(self._done) == self.request.n

    @property
    def pictures(self) -> list[Painted]:
        """The pictures that are finished, by seed; raises the error that ended the request."""
        if self.error:
            raise self.error
        return [self._done[k] for k in sorted(self._done)]


@dataclass(eq=False)
class Picture:
    """One picture under way, at the level where its sampler waits for an estimate."""

    ticket: Ticket
    number: int
    start: Start
    looks: Sequence[Look]
    begun: Begun
    x: Tensor
    sigma: float
    calls: int = 0
    estimate: Tensor | None = None  # what the last call thought the picture is: a preview's latent

    def __post_init__(self):
        self._regions = Regions(self.looks, self.start.calls) if len(self.looks) > 1 else None
        told = self.begun.prompt
        self._told = [told if look.tokens is None else replace(told, tokens=look.tokens) for look in self.looks]
        self._row = SAMPLERS[str(self.ticket.request.sampler)]
        self._begin, self._foreseen = self.sigma, self.start.calls

    def count(self, end: float | None) -> None:
        """One call more; `end` is the level that the walk goes to, None once it is there."""
        self.calls += 1
        self.ticket.calls += 1
        if self._row.max_calls is not None:
            now = self.calls if end is None else self._row.foreseen(self.calls, self._begin, self.sigma, end)
            self.ticket.total += now - self._foreseen
            self._foreseen = now

    @property
    def stopped(self) -> bool:
        """Whether the walk ran out of calls before its own end."""
        return self.calls == self._row.max_calls

    def rows(self) -> list[Row]:
        """Of each look that paints now, at guidance 1 the prompt's row, at 0 that of "nothing", else both."""
        begun, t, regions = self.begun, self.start.t(self.sigma), self._regions
        found, nothings = [], dict[Outfit, Row]()
        alone = regions if regions and regions.open else None
        now = slice(0, 1) if alone or len(self.looks) == 1 else slice(1, None)
        for look, told in list(zip(self.looks, self._told, strict=True))[now]:
            prompt = Row(self.x, self.sigma, t, told, look.prompt, alone)
            nothing = Row(self.x, self.sigma, t, begun.nothing, look.nothing)
            nothing = nothings.setdefault(look.nothing, nothing)
            found += {0: [nothing], 1: [prompt]}.get(self.ticket.request.guidance, [prompt, nothing])  # type: ignore[call-overload]
        return each(found, self.start.windows)

    def send(self, estimates: Sequence[Tensor]) -> Tensor | None:
        """Guide and go on: the latent to decode if that was the last step."""
        x0 = self.guided(estimates)
        if amend := self.begun.prompt.amend:
            x0 = amend(x0, self.sigma)
        self.estimate = x0
        try:
            self.x, self.sigma = self.begun.walk.send(x0)
        except StopIteration as end:
            return end.value
        return None

    def guided(self, estimates: Sequence[Tensor]) -> Tensor:
        """One estimate from those of `rows`: each look guided, each place by its own."""
        estimates = joined(estimates, self.start.windows)
        each, found = 1 if self.ticket.request.guidance in (0, 1) else 2, []
        for prompt, *nothing in (estimates[k : k + each] for k in range(0, len(estimates), each)):
            found.append(torch.lerp(nothing[0], prompt, self.ticket.request.guidance) if nothing else prompt)  # type: ignore[arg-type]
        return self._regions.blend(found) if self._regions and len(found) > 1 else found[0]


@final
class Engine:
    """Paints on one family. `max_rows` bounds a call; else memory does (`ROOM`).

    Not thread-safe: one thread steps, and submits and cancels between steps.
    """

    def __init__(self, family: Family, max_rows: int | None = None):
        self.family = family
        self.max_rows = max_rows
        self._live: list[Picture] = []
        self._say = Texts(family)
        self._wardrobe = Wardrobe(family.unet)
        self._lean = Lean()

    def paint(self, requests: Iterable[Request], progress: Progress = silent) -> list[list[Painted]]:
        """The pictures of all requests, painted together. Progress counts model calls."""
        tickets: list[Ticket] = []
        try:
            for request in requests:
                tickets.append(self.submit(request))
            while not all(t.done for t in tickets):
                self.step()
                progress(Event("painting", sum(t.calls for t in tickets), sum(t.total for t in tickets)))
            painted = [t.pictures for t in tickets]
            calls = sum(t.calls for t in tickets)
            for p in (p for pictures in painted for p in pictures):
                for about, told in TOLD.items():
                    if about in p.recipe:
                        progress(Event("painting", calls, calls, message=told.format(**p.recipe)))
            return painted
        finally:
            for ticket in tickets:
                self.cancel(ticket)

    @torch.inference_mode()
    def submit(self, request: Request) -> Ticket:
        """Take a request in; its pictures move from the next step on. `Wrong` if it cannot be."""
        request = settled(request, self.family)
        start = TASKS[str(request.task)].start(self.family, request, self._say)
        ticket = Ticket(request, start.calls * request.n)
        begun = [start.begin(Noise(request.seed + k, start.shape)) for k in range(request.n)]
        looks = compose.looks(self.family, request, begun[0].prompt.tokens.shape[1], self._say)
        for k, own in enumerate(begun):
            self._live.append(Picture(ticket, k, start, looks, own, *next(own.walk)))
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Drop what of a request is still under way; what is finished stays finished."""
        ticket.canceled = not ticket.done or ticket.canceled
        for picture in [p for p in self._live if p.ticket is ticket]:
            picture.begun.walk.close()
            self._live.remove(picture)

    @property
    def live(self) -> Sequence[Picture]:
        """The pictures under way, as they came."""
        return self._live

    @torch.inference_mode()
    def step(self, some: Collection[Picture] | None = None) -> bool:
        """Every live picture, or `some` of them, go on by one model call; False when none is left."""
        rows = {picture: picture.rows() for picture in (self._live if some is None else some)}
        estimates = self._estimates(list(dict.fromkeys(row for own in rows.values() for row in own)))
        for picture, own in rows.items():
            if picture.ticket.done:  # a sibling's fault has ended it in this very step
                continue
            latent = picture.send([estimates[row] for row in own])
            picture.count(self.family.schedule.sigma_min if latent is None else None)
            if latent is not None:
                self._live.remove(picture)
                self._finish(picture, latent)
        self._wardrobe.keep({row.wears for picture in self._live for row in picture.rows()})
        return bool(self._live)

    def _finish(self, picture: Picture, latent: Tensor) -> None:
        ticket = picture.ticket
        try:
            tiled = {"tiled": True} if picture.start.windows else {}
            pixels = picture.start.finish(self.family.decode(latent, **tiled)[0])
        except UNPAINTED as fault:
            ticket.error = fault
            self.cancel(ticket)
            return
        told = picture.start.told | ({"stopped": picture.calls} if picture.stopped else {})
        recipe = described(ticket.request, self.family, picture.number) | told
        ticket._done[picture.number] = Painted(pixels, recipe, {c.name: c.picture for c in ticket.request.controls})

    def _estimates(self, rows: Sequence[Row]) -> dict[Row, Tensor]:
        buckets: dict[tuple, list[Row]] = {}
        for row in rows:
            buckets.setdefault(row.key, []).append(row)
        found: dict[Row, Tensor] = {}
        for bucket in buckets.values():
            while bucket:
                some = bucket[: self._most(bucket[0].x)]
                del bucket[: len(some)]
                found |= zip(some, self._call(some), strict=True)
        return found

    def _most(self, x: Tensor) -> int:
        if self.max_rows is not None:
            return max(1, self.max_rows)
        return max(2, ROOM.get(self.family.device.type, ROOM["cpu"]) // x[0, 0].numel())

    def _call(self, rows: Sequence[Row]) -> Sequence[Tensor]:
        """One call of the network; out of memory, it is repeated with half the rows."""
        try:
            return self._denoise(rows)
        except (MemoryError, RuntimeError) as fault:
            if not _memory(fault):
                raise
        if len(rows) == 1:
            w, h = (side * self.family.factor for side in reversed(rows[0].x.shape[2:]))
            raise Wrong(f"there is not memory enough for {w}x{h} pixels: ask for a smaller --size")
        if self.family.device.type == "cuda":
            torch.cuda.empty_cache()
        self.max_rows = len(rows) // 2
        half = self.max_rows
        return [*self._call(rows[:half]), *self._call(rows[half:])]

    def _denoise(self, rows: Sequence[Row]) -> Sequence[Tensor]:
        extra = [row.condition.channels for row in rows if row.condition.channels is not None]
        labels = [row.condition.label for row in rows if row.condition.label is not None]
        unet, x = self.family.unet, torch.cat([row.x for row in rows])
        watching = compose.watched(unet, [row.regions for row in rows], x.shape[2:])
        beside = [row.controls for row in rows]
        with ExitStack() as within, self._wardrobe([row.wears for row in rows]), entering(unet, beside), watching:
            for network in (unet, *(c.network for c in beside[0])):
                within.enter_context(self._lean(network, x[:, 0].numel()))
            return self.family.denoise(
                x,
                torch.tensor([row.sigma for row in rows]),
                torch.tensor([row.t for row in rows]),
                torch.cat([row.condition.tokens for row in rows]),
                torch.cat(extra) if extra else None,
                torch.tensor(labels) if labels else None,
                control.residual(beside),
            ).split(1)


def _memory(fault: Exception) -> bool:
    """CUDA has an error of its own; MPS and the CPU say it in words."""
    if isinstance(fault, (MemoryError, torch.OutOfMemoryError)):
        return True
    return "out of memory" in str(fault) or "can't allocate memory" in str(fault)
