"""What a server says of itself: one line of JSON for each event, on stderr, with the job and the user it is about."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

MOST = 2000  # characters of a message: what users wrote is never told in full
_facts: ContextVar[dict[str, Any] | None] = ContextVar("facts", default=None)


def note(**facts: Any) -> None:
    """From here on, every line of this thread or task holds these: `job`, `user`."""
    _facts.set({**(_facts.get() or {}), **facts})


@contextmanager
def about(**facts: Any) -> Iterator[None]:
    """Inside, every line holds these."""
    token = _facts.set({**(_facts.get() or {}), **facts})
    try:
        yield
    finally:
        _facts.reset(token)


class Line(logging.Formatter):
    """`{time, level, logger, message, job?, user?, ...}`; of a request's path no query, which may hold a signature."""

    def format(self, record: logging.LogRecord) -> str:
        facts = _facts.get() or {}
        said = record.getMessage()
        if record.name == "uvicorn.access" and isinstance(record.args, tuple) and len(record.args) == 5:
            client, method, path, _, status = record.args
            said = f"{method} {str(path).partition('?')[0]} {status}"
            facts = {**facts, "client": client, "status": status}
        told = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": said[:MOST],
            **facts,
        }
        if "user" in told:
            told["user"] = told["user"] or "local"
        if record.exc_info:
            told["trace"] = self.formatException(record.exc_info)
        return json.dumps(told, default=str, ensure_ascii=False)


def configure() -> None:
    """Once, by whoever serves: ours and uvicorn's lines from `info` on, of libraries only warnings."""
    handler = logging.StreamHandler()
    handler.setFormatter(Line())
    logging.disable(logging.NOTSET)  # as commands silence libraries
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("remembrandt", "uvicorn"):
        logging.getLogger(name).setLevel(logging.INFO)
