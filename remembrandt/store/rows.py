"""Rows as frozen dataclasses: what the store takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["queued", "running", "succeeded", "failed", "canceled", "interrupted"]
RESUMABLE = ("queued", "failed", "interrupted")


@dataclass(frozen=True)
class Model:
    """A family and what was taught to it; `version` 0 means that nothing was, yet.

    `base` holds `source, name, revision, digest, folder` (None until the home keeps a copy).
    """

    id: str
    name: str
    scope: str
    memory: str
    base: dict[str, Any]
    worn_by: str = "both"
    version: int = 0
    owner: str = ""
    created: float = 0.0


@dataclass(frozen=True)
class Version:
    """A state of a model: the ids of its concepts, oldest first, and its weights if they moved.

    `parent` is the number of the version it came from, 0 where it is the first.
    """

    model: str
    number: int
    job: str
    concepts: list[str]
    weights: str | None
    retention: dict[str, Any]
    parent: int = 0
    created: float = 0.0


@dataclass(frozen=True)
class Concept:
    """One taught thing; `folder` and `photos` (content addresses) are relative to the home."""

    id: str
    model: str
    identifier: str
    name: str | None
    category: str
    method: str
    folder: str
    job: str
    lesson: int
    photos: list[str] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    created: float = 0.0


@dataclass(frozen=True)
class Job:
    """Anything that takes longer than a request should; `worker` says which process holds it."""

    id: str
    kind: str
    model: str | None
    state: State
    request: dict[str, Any]
    owner: str = ""
    stage: str | None = None
    step: int = 0
    total: int = 0
    loss: float | None = None
    error: str | None = None
    result: dict[str, Any] | None = None
    worker: str | None = None
    attempt: int = 0
    seq: int = 0
    created: float = 0.0
    started: float | None = None
    finished: float | None = None


@dataclass(frozen=True)
class Happened:
    """One event of a job; `seq` counts from 1 and has no gaps."""

    job: str
    seq: int
    time: float
    kind: str
    data: dict[str, Any]
