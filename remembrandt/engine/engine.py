"""One driver for many pictures at once: each walks its own sampler, all share the network's calls.

Every step asks each live picture for what it yielded, lays rows of equal shape into one batch (two rows a picture under
guidance: prompt and "nothing"), lets each row wear what its request names, and sends the estimates back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from remembrandt.adapters.wear import Outfit, wear
from remembrandt.conditions import text
from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.samplers import SAMPLERS, Sampler, Walk, finish
from remembrandt.engine.request import Request, settled
from remembrandt.family.family import Family
from remembrandt.report import Event
from remembrandt.settings import Wrong, nearest
from remembrandt.tasks import TASKS

ROWS = {"cpu": 16, "mps": 16, "cuda": 64}  # of one call
KEPT = 256  # encoded prompts


@dataclass(frozen=True, eq=False)
class Painted:
    """A finished picture: `pixels` uint8 (height, width, 3), and the recipe that paints it again."""

    pixels: np.ndarray
    recipe: dict[str, Any]


@dataclass(eq=False)
class Ticket:
    """A request under way. `pictures` fills as they finish; progress is `calls` of `total` model calls."""

    request: Request
    total: int
    calls: int = 0
    pictures: list[Painted | None] = field(default_factory=list)
    canceled: bool = False

    @property
    def done(self) -> bool:
        return self.canceled or all(p is not None for p in self.pictures)


@dataclass(eq=False)
class Live:
    """One picture on its way: what its walk yielded last, and the rows that answer it."""

    ticket: Ticket
    index: int
    sampler: Sampler
    walk: Walk
    x: Tensor
    sigma: float
    end: float
    tokens: Tensor
    outfits: list[Outfit]

    @property
    def bucket(self) -> tuple:
        return tuple(self.x.shape), self.tokens.shape[1]


class Engine:
    """Paints requests on one family; they may join (`submit`) and leave (`cancel`) between steps."""

    def __init__(self, family: Family, max_rows: int | None = None):
        self.family = family
        self.max_rows = max_rows or ROWS[family.device.type]
        self._live: list[Live] = []
        self._encoded: dict[tuple[str, ...], Tensor] = {}
        self._dressed: dict = {}

    def paint(
        self, requests: Sequence[Request], progress: Callable[[Event], None] = lambda event: None
    ) -> list[list[Painted]]:
        """Paint all of them together, to the end."""
        tickets = [self.submit(request) for request in requests]
        total = sum(t.total for t in tickets)
        while self.step():
            progress(Event("painting", sum(t.calls for t in tickets), total))
        return [[p for p in t.pictures if p is not None] for t in tickets]

    def submit(self, request: Request) -> Ticket:
        """Take a request in; it is painted from the next step on. `Wrong` if it cannot be."""
        full = settled(request, self.family)
        if full.task not in TASKS:
            hint = nearest(full.task, list(TASKS))
            raise Wrong(f"there is no task {full.task!r}.{hint} Tasks: {', '.join(TASKS)}")
        assert full.size and full.steps and full.sampler
        sampler, family = SAMPLERS[full.sampler], self.family
        tokens, outfits = self._rows(full)
        shape = (1, family.channels, full.size[1] // family.factor, full.size[0] // family.factor)
        ticket = Ticket(full, full.n * sampler.total(full.steps), pictures=[None] * full.n)
        for k in range(full.n):
            noise = Noise(full.seed + k, shape)
            start = TASKS[full.task](family.schedule, sampler, full.steps, noise)
            walk = sampler.function(start.x.to(family.device), start.sigmas, noise)
            x, sigma = next(walk)
            self._live.append(Live(ticket, k, sampler, walk, x, sigma, start.sigmas[-1], tokens, outfits))
        return ticket

    def cancel(self, ticket: Ticket) -> None:
        """Drop its pictures; its walks are closed."""
        ticket.canceled = True
        for live in self._live:
            if live.ticket is ticket:
                live.walk.close()
        self._live = [live for live in self._live if live.ticket is not ticket]

    def step(self) -> bool:
        """One model call for every live picture; False if there is none."""
        buckets: dict[tuple, list[Live]] = {}
        for live in self._live:
            buckets.setdefault(live.bucket, []).append(live)
        for together in buckets.values():
            while together:
                part = self._fitting(together)
                try:
                    estimates = self._estimates(part)
                except torch.OutOfMemoryError:
                    if len(part) == 1:
                        raise
                    self.max_rows = sum(len(live.outfits) for live in part) // 2
                    continue
                together = together[len(part) :]
                for live, x0 in zip(part, estimates, strict=True):
                    self._advance(live, x0)
        self._live = [live for live in self._live if not live.ticket.done and self._open(live)]
        if not self._live:
            self._dressed.clear()
        return bool(buckets)

    def _open(self, live: Live) -> bool:
        return live.ticket.pictures[live.index] is None

    def _fitting(self, together: Sequence[Live]) -> list[Live]:
        """The first of them whose rows fit into one call, at least one."""
        rows, part = 0, []
        for live in together:
            rows += len(live.outfits)
            if part and rows > self.max_rows:
                break
            part.append(live)
        return part

    def _rows(self, request: Request) -> tuple[Tensor, list[Outfit]]:
        """Tokens (rows, L, D) and what each row wears: nothing or the negative prompt first, as diffusers does."""
        both = tuple(w for w in request.wears if w.by == "both")
        if request.guidance == 1:
            prompts, outfits = (request.prompt,), [request.wears]
        elif request.guidance == 0:
            prompts, outfits = (request.negative,), [both]
        else:
            prompts, outfits = (request.negative, request.prompt), [both, request.wears]
        return self._encode(prompts, request), outfits

    def _encode(self, prompts: tuple[str, ...], request: Request) -> Tensor:
        if any(text.named(p, request.words) for p in prompts):  # a taught row may differ from call to call
            with torch.no_grad():
                return text.encode(self.family, prompts, request.words)
        if prompts not in self._encoded:
            if len(self._encoded) >= KEPT:
                self._encoded.clear()
            with torch.no_grad():
                self._encoded[prompts] = text.encode(self.family, prompts)
        return self._encoded[prompts]

    @torch.inference_mode()
    def _estimates(self, part: Sequence[Live]) -> list[Tensor]:
        """The guided estimate of each picture, from one call of the network."""
        owners = [live for live in part for _ in live.outfits]
        schedule, device = self.family.schedule, self.family.device
        x = torch.cat([live.x for live in owners])
        sigmas = torch.tensor([live.sigma for live in owners], dtype=torch.float32, device=device)
        ts = torch.tensor([live.sampler.t(schedule, live.sigma) for live in owners], device=device)
        tokens = torch.cat([live.tokens for live in part])
        outfits = [outfit for live in part for outfit in live.outfits]
        with wear(self.family.unet, outfits, self._dressed):
            x0 = self.family.denoise(x, sigmas, ts, tokens)
        found = []
        for live, rows in zip(part, x0.split([len(live.outfits) for live in part]), strict=True):
            if len(rows) == 2:
                nothing, prompted = rows[:1], rows[1:]
                rows = nothing + live.ticket.request.guidance * (prompted - nothing)
            found.append(rows)
        return found

    def _advance(self, live: Live, x0: Tensor) -> None:
        live.ticket.calls += 1
        try:
            live.x, live.sigma = live.walk.send(x0)
        except StopIteration as stop:
            pixels = self.family.decode(finish(stop.value, live.end))[0]
            live.ticket.pictures[live.index] = Painted(pixels, self._recipe(live))

    def _recipe(self, live: Live) -> dict[str, Any]:
        asked = live.ticket.request
        assert asked.size
        return {
            "prompt": asked.prompt,
            "negative": asked.negative,
            "seed": asked.seed + live.index,
            "sampler": asked.sampler,
            "steps": asked.steps,
            "guidance": asked.guidance,
            "size": f"{asked.size[0]}x{asked.size[1]}",
            "task": asked.task,
            "family": self.family.name,
            "revision": self.family.revision,
        }
