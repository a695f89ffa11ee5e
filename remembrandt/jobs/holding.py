"""Which server holds a home: what writes there beside it has to go through it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remembrandt.jobs.process import alive, me
from remembrandt.report import write_atomic

FILE = "server.json"


@contextmanager
def held(home: Path, url: str) -> Iterator[None]:
    """Inside, the home is held by the server at `url`; a process that is gone holds nothing."""
    write_atomic(home / FILE, json.dumps({"url": url, "worker": me()}))
    try:
        yield
    finally:
        (home / FILE).unlink(missing_ok=True)


def holder(home: Path) -> str | None:
    """The URL of the server that holds the home, if one does."""
    try:
        told = json.loads((home / FILE).read_text())
        return told["url"] if alive(told["worker"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None
