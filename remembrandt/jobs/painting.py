"""Painting that never stops: one thread takes turns at every easel; requests join and leave between two steps."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from time import monotonic
from typing import Any, final

from remembrandt.adapters.shelf import Shelf
from remembrandt.engine.engine import Engine
from remembrandt.family.family import Family
from remembrandt.jobs import work
from remembrandt.jobs.easel import Easel, Painting
from remembrandt.jobs.files import Files, Home

FAMILIES = 2  # that stay loaded while nobody paints with them
Document = dict[str, Any]


class Stopped(Exception):
    """The painter went home before this was done: it is painted again from its seed."""


@final
class Painter:
    """Paints for everyone at once; `load(source, device, precision, own=...)` gives a family that nobody else moves.

    `ask` and `Painting.cancel` may be called from any thread; `close` ends the thread after its step. `rows` of the
    last step, `steps` so far and `last`, when that was (monotonic), are for those who look after it.
    """

    def __init__(self, load: Callable[..., Family], home: Home, shelf: Shelf | None = None) -> None:
        self.shelf, self._load, self._home = shelf or Shelf(), load, home
        self._easels: OrderedDict[tuple, Easel] = OrderedDict()
        self._bell, self._loading = threading.Condition(), threading.Lock()
        self._open, self.rows, self.steps, self.last = True, 0, 0, monotonic()
        self._thread = threading.Thread(target=self._run, name="painter", daemon=True)
        self._thread.start()

    def ask(self, user: str, request: Document, *, watched: bool = False) -> Painting:
        """Queue a request (a `painters.painter` document with its wishes); `Wrong` if its family cannot be loaded,
        `Stopped` if nothing is painted any more.
        """
        painting = Painting(user, request, watched)
        with self._loading:  # one family at a time; painting goes on
            easel = self._easel(request)
            with self._bell:
                if not self._open:
                    raise Stopped("the painter has stopped: try again when the server is back")
                easel.waiting.append(painting)
                self._bell.notify_all()
        return painting

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    @property
    def closing(self) -> bool:
        return not self._open

    def waiting(self) -> int:
        """Requests that have not begun."""
        return sum(len(easel.waiting) for easel in [*self._easels.values()])

    def close(self) -> None:
        """Stop after the step under way; what is not done ends with `Stopped`."""
        with self._bell:
            self._open = False
            self._bell.notify_all()
        self._thread.join()

    def _easel(self, request: Document) -> Easel:
        key = str(work.standing(request, self._home)), request["device"], request["precision"]
        with self._bell:
            if key in self._easels:
                self._easels.move_to_end(key)
                return self._easels[key]
            idle = [k for k, easel in self._easels.items() if easel.idle]
            for old in idle[: max(0, len(self._easels) + 1 - FAMILIES)]:
                del self._easels[old]
        family = work.based(request, Files(self._home, "", self._load), own=True)
        easel = Easel(Engine(family), self._home, self.shelf)
        with self._bell:
            self._easels[key] = easel
        return easel

    def _run(self) -> None:
        while True:
            with self._bell:
                while self._open and all(easel.idle for easel in self._easels.values()):
                    self._bell.wait()
                easels = list(self._easels.values())
            if not self._open:
                break
            for easel in easels:
                if not easel.idle:
                    self.rows, self.steps, self.last = easel.turn(), self.steps + 1, monotonic()
        for easel in easels:
            easel.end(Stopped("the painter has stopped"))
