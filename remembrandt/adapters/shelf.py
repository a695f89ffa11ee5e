"""Adapters kept in memory for the next request: bounded, the least recently used leave first, never one in use."""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict
from pathlib import Path
from typing import final

from torch import Tensor

from remembrandt.adapters import adapter as adapters
from remembrandt.adapters.adapter import MANIFEST, Adapter
from remembrandt.settings import Wrong

ROOM = 2**30  # bytes: some 9,000 of SD 1.x's at rank 16 are 60 GiB, these are the popular ones
Key = tuple[Path, str | None, int]


@final
class Shelf:
    """`room` bytes of adapters; only what is held at the moment may take more. Any thread may ask."""

    def __init__(self, room: int = ROOM) -> None:
        self.room, self._lock = room, threading.Lock()
        self._kept: OrderedDict[Key, tuple[Adapter, dict]] = OrderedDict()
        self._holders: Counter[Key] = Counter()
        self.bytes = self.reads = 0

    def lease(self) -> Lease:
        """What one request reads; it gives all of it back at once."""
        return Lease(self)

    def held(self) -> int:
        """How many adapters somebody holds."""
        return len(self._holders)

    def __len__(self) -> int:
        return len(self._kept)

    def _take(self, folder: Path, base: str | None) -> tuple[Key, tuple[Adapter, dict]]:
        try:  # an import that was replaced has the same folder and another time
            key = folder, base, (folder / MANIFEST).stat().st_mtime_ns
        except OSError as fault:
            raise Wrong(f"{folder} holds no readable adapter: {fault.strerror}") from None
        with self._lock:
            if key not in self._kept:
                found = adapters.load(folder, base=base)
                self._kept[key] = found
                self.bytes += weight(found[0])
                self.reads += 1
            self._kept.move_to_end(key)
            self._holders[key] += 1
            return key, self._kept[key]

    def _give(self, keys: list[Key]) -> None:
        with self._lock:
            self._holders.subtract(keys)
            for key in {k for k in keys if self._holders[k] <= 0}:
                del self._holders[key]
            for key in [k for k in self._kept if k not in self._holders]:
                if self.bytes <= self.room:
                    break
                self.bytes -= weight(self._kept.pop(key)[0])


@final
class Lease:
    """Adapters that one request holds; `read` is what a `Library` reads by."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf, self._keys = shelf, list[Key]()

    def read(self, folder: Path, *, base: str | None = None) -> tuple[Adapter, dict]:
        key, found = self._shelf._take(folder, base)
        self._keys.append(key)
        return found

    def close(self) -> None:
        """Give everything back; a second time nothing."""
        keys, self._keys = self._keys, []
        self._shelf._give(keys)


def weight(adapter: Adapter) -> int:
    """Bytes of an adapter's tensors."""
    parts: list[Tensor] = [t for named in adapter.tensors.values() for t in named.values()]
    parts += [t for t in (adapter.rows, adapter.start) if t is not None]
    return sum(t.numel() * t.element_size() for t in parts)
