"""One family's engine and everyone who wants a picture of it: who joins, whose step is next, who leaves.

What it guarantees, and `tests/jobs/test_painting.py` holds it to:

- **turns**: the places of a step go round the users, whoever was served longest ago first. Where p pictures fit in a
  step, nobody of u users waits longer than u / p steps, however many pictures the others have;
- **alone**: a picture is what it is without neighbours, to the bit at equal batch shape, else but for rounding;
- **cancel**: a canceled request has no rows in any later step, and what waited never begins;
- **faults**: what cannot be painted ends its own request and no other;
- **adapters**: what is worn stays in memory, and everything else there is bounded;
- **previews**: all together take no more than their share of the time, however many watch and whatever one costs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any, TypeVar

import numpy as np
import torch

from remembrandt.adapters.shelf import Lease, Shelf
from remembrandt.engine import safety
from remembrandt.engine.engine import ROOM, Engine, Painted, Picture, Ticket
from remembrandt.family.family import Family
from remembrandt.jobs import controls, copying, varying, work
from remembrandt.jobs.files import Home
from remembrandt.report import silent

PREVIEW, SHARE = 1.0, 0.05  # seconds between two previews of a request; what they may take of the time
Document = dict[str, Any]
T = TypeVar("T")


@dataclass(eq=False)
class Painting:
    """A request and what becomes of it: `future` holds its pictures; `calls` of `total` model calls are done.

    `preview` is the first unfinished picture as it looks now, uint8 (h, w, 3), where somebody watches.
    """

    user: str
    request: Document
    watched: bool = False
    future: Future[list[Painted]] = field(default_factory=Future)
    preview: np.ndarray | None = None
    ticket: Ticket | None = None
    said: Document = field(default_factory=dict)
    seen: float = 0.0
    lease: Lease | None = None

    @property
    def calls(self) -> int:
        return self.ticket.calls if self.ticket else 0

    @property
    def total(self) -> int:
        return self.ticket.total if self.ticket else 0

    def cancel(self) -> None:
        """It ends before the next step."""
        self.future.cancel()  # which says no only to what is done

    def end(self, found: list[Painted] | BaseException) -> None:
        """Give the pictures, or why there are none; what it wore is free."""
        with suppress(InvalidStateError):  # canceled: nobody waits for it
            if isinstance(found, BaseException):
                self.future.set_exception(found)
            else:
                self.future.set_result(found)
        if self.lease:
            self.lease.close()


@dataclass(eq=False)
class Easel:
    """Not thread-safe but for `waiting`, which anyone may append to: one thread takes `turn` after `turn`."""

    engine: Engine
    home: Home
    shelf: Shelf
    waiting: list[Painting] = field(default_factory=list)
    live: dict[Ticket, Painting] = field(default_factory=dict)
    served: dict[str, int] = field(default_factory=dict)  # by user, the last step that held a picture of theirs
    steps: int = 0
    rest: float = 0.0  # until when there are no previews

    @property
    def idle(self) -> bool:
        return not (self.waiting or self.live)

    def turn(self) -> int:
        """Those who left leave, those who wait join, and one step for whose turn it is; its rows."""
        for ticket, painting in [*self.live.items()]:
            if painting.future.cancelled():
                self._end(ticket)
        self._join()
        chosen = turns(self._pictures(), self.served, cost, room(self.engine))
        if not chosen:
            return 0
        self.steps += 1
        self.served |= {self.live[p.ticket].user: self.steps for p in chosen}
        self._step(chosen)
        for ticket in [t for t in self.live if t.done]:
            self._end(ticket)
        self._show()
        return sum(map(rows, chosen))

    def end(self, why: BaseException) -> None:
        """Nobody waits any more, nothing is under way."""
        while self.waiting:
            self.waiting.pop().end(why)
        for ticket, painting in [*self.live.items()]:
            painting.end(why)
            self._end(ticket)

    def _join(self) -> None:
        """Begin what finds room, and at least one request of everyone who waits."""
        queued = [*self.waiting]
        gone = {id(p) for p in queued if p.future.cancelled()}
        busy = {p.user for p in self.live.values()}
        taken, most = sum(map(cost, self.engine.live)), room(self.engine)
        queues = _by_user((p.user, p) for p in queued if id(p) not in gone)
        for painting in turns(queues, self.served, lambda p: 1, len(queued)):
            if taken < most or painting.user not in busy:
                gone.add(id(painting))
                busy.add(painting.user)
                taken += foreseen(self.engine.family, painting.request)
                self._begin(painting)
        for painting in [p for p in queued if id(p) in gone]:
            self.waiting.remove(painting)

    def _begin(self, painting: Painting) -> None:
        painting.lease = self.shelf.lease()
        try:
            safety.known(painting.request.get("safety"))
            known = work.library(painting.request, self.home, painting.lease.read)
            family, opened = self.engine.family, work.open_picture
            reads = varying.reader(family, opened), controls.reader(family, self.home, opened)
            asked, painting.said = work.asked_of(painting.request, known, family, opened, *reads)
            painting.ticket = self.engine.submit(asked)
        except Exception as fault:
            painting.end(fault)
            return
        self.live[painting.ticket] = painting

    def _step(self, chosen: Sequence[Picture]) -> None:
        """One step; if it fails, each request by itself, so that the fault finds its own."""
        try:
            self.engine.step(chosen)
        except Exception as fault:
            tickets = dict.fromkeys(p.ticket for p in chosen)
            if len(tickets) > 1:
                for ticket in tickets:
                    self._step([p for p in chosen if p.ticket is ticket and p in self.engine.live])
                return
            for ticket in tickets:
                self.live[ticket].end(fault)
                self._end(ticket)

    def _show(self) -> None:
        """A preview for who has waited longest for one, if it is time for one."""
        now = monotonic()
        due = [t for t, p in self.live.items() if p.watched and now - p.seen > PREVIEW and not self._hidden(p)]
        if due and now >= self.rest:
            ticket = min(due, key=lambda t: self.live[t].seen)
            painting = self.live[ticket]
            painting.preview, painting.seen = _preview(self.engine, ticket), now
            self.rest = now + (monotonic() - now) / SHARE

    def _hidden(self, painting: Painting) -> bool:
        """Whether what is under way may turn out to be none of the user's business."""
        return safety.hides(self.engine.family, painting.request.get("safety"))

    def _end(self, ticket: Ticket) -> None:
        painting = self.live.pop(ticket)
        self.engine.cancel(ticket)
        try:
            painted = [replace(p, recipe={**p.recipe, **painting.said}) for p in ticket.pictures]
            if painted:
                painted = copying.told(painting.request, painted, work.open_picture, self.home, silent)
            painting.end(safety.guarded(self.engine.family, painted, painting.request.get("safety")))
        except Exception as fault:  # out of memory, say: of this request only
            painting.end(fault)
        if painting.user not in {p.user for p in (*self.waiting, *self.live.values())}:
            self.served.pop(painting.user, None)

    def _pictures(self) -> dict[str, list[Picture]]:
        return _by_user((self.live[p.ticket].user, p) for p in self.engine.live)


def turns(
    queues: Mapping[str, Sequence[T]], served: Mapping[str, int], cost: Callable[[T], int], room: int
) -> list[T]:
    """What of everyone's queue is served now: one after another, the longest unserved first, as long as there is room.

    The first of all is served whatever it costs; whoever was never served counts as served before everyone else.
    """
    lines = [iter(queues[user]) for user in sorted(queues, key=lambda user: served.get(user, -1))]
    found: list[T] = []
    while lines:
        for line in [*lines]:
            item = next(line, None)
            if item is None:
                lines.remove(line)
                continue
            price = cost(item)
            if found and price > room:
                return found
            found.append(item)
            room -= price
    return found


def rows(picture: Picture) -> int:
    """Rows of the network that one step of a picture takes."""
    return len(picture.looks) * (1 if picture.ticket.request.guidance in (0, 1) else 2)


def cost(picture: Picture) -> int:
    """Places of latents that one step of a picture takes."""
    return rows(picture) * picture.x[0, 0].numel()


def foreseen(family: Family, request: Document) -> int:
    """What a request will cost a step, before it is prepared."""
    wide, high = request["size"] or (family.record.size, family.record.size)
    return 2 * request["n"] * (wide // family.factor) * (high // family.factor)


def room(engine: Engine) -> int:
    """Places of latents that fit in one call of the network; out of memory, the engine has halved its own."""
    most, family = ROOM.get(engine.family.device.type, ROOM["cpu"]), engine.family
    if engine.max_rows is None:
        return most
    usual = (family.record.size // family.factor) ** 2
    return min(most, engine.max_rows * (engine.live[0].x[0, 0].numel() if engine.live else usual))


def _by_user(pairs: Iterable[tuple[str, T]]) -> dict[str, list[T]]:
    found: dict[str, list[T]] = {}
    for user, item in pairs:
        found.setdefault(user, []).append(item)
    return found


@torch.inference_mode()
def _preview(engine: Engine, ticket: Ticket) -> np.ndarray | None:
    """The first of a request's pictures under way, decoded from what it is thought to be."""
    found = next((p.estimate for p in engine.live if p.ticket is ticket and p.estimate is not None), None)
    try:
        return None if found is None else engine.family.decode(found)[0]
    except Exception:  # not finite, out of memory: its end will say so
        return None
