"""How a checked wish becomes a job: its files first, then its row, so that a job is whole."""

from __future__ import annotations

import json
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from remembrandt.jobs.files import Files
from remembrandt.jobs.process import alive
from remembrandt.report import write_atomic
from remembrandt.store import adopting
from remembrandt.store.rows import Model
from remembrandt.store.store import Store, new_id

Document = dict[str, Any]


@dataclass(frozen=True)
class Ticket:
    """How a job waits for a worker: under which id, with which priority among its owner's, and who is told."""

    priority: int = 0
    key: str | None = None
    webhook: Document | None = None


def lesson(order, store: Store, files: Files, ticket: Ticket | None = None) -> str:
    """Write the job's files, then queue it; without a ticket somebody runs it in the foreground. Its id."""
    if store.job(files.key):  # whoever asked has asked before, and did not hear the answer
        return files.key
    try:
        files.give(order.squares)
        files.give(order.masks, "masks")
        files.give(order.class_squares, "class")
        job = store.enter(files.key, "finetune", order.model, order.compose, alive, **_how(ticket))
    except BaseException:
        shutil.rmtree(files.folder, ignore_errors=True)
        for place in (files.folder.parent, files.home.path):  # only while nobody else has begun there
            with suppress(OSError):
                place.rmdir()
        raise
    write_atomic(files.folder / "request.json", json.dumps(job.request, indent=1))
    return files.key


def making(model: Model, request: Document, store: Store, files: Files, ticket: Ticket | None = None) -> str:
    """Queue what makes `model` from another one."""
    if store.job(files.key):
        return files.key
    job = adopting.begin(store, files.key, "consolidate", model, request, alive, **_how(ticket))
    write_atomic(files.folder / "request.json", json.dumps(job.request, indent=1))
    return files.key


def key(ticket: Ticket | None) -> str:
    """The id that the job will have."""
    return (ticket and ticket.key) or new_id()


def _how(ticket: Ticket | None) -> Document:
    return {"priority": ticket.priority, "webhook": ticket.webhook} if ticket else {}
