"""Rows as frozen dataclasses: what the store takes and gives."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["queued", "running", "succeeded", "failed", "canceled", "interrupted"]
ENDED = ("succeeded", "failed", "canceled")
UNFINISHED = ("queued", "running", "interrupted")
RESUMABLE = ("queued", "failed", "interrupted")
SCOPES = ("private", "private_meta", "meta", "pretrained")


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
    worn_by: str = "half"
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
    """Anything that takes longer than a request should; `worker` says which process holds it.

    `attempt` grows at each claim and fences every later write. Without a `priority` it runs in a foreground, and no
    worker takes it. `fruitless` counts the deaths since the checkpoint `reached`.
    """

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
    priority: int | None = None
    lease: float | None = None
    heartbeat: float | None = None
    not_before: float = 0.0
    deaths: int = 0
    fruitless: int = 0
    reached: str | None = None
    cancel: bool = False
    webhook: dict[str, Any] | None = None


@dataclass(frozen=True)
class Happened:
    """One event of a job; `seq` counts from 1 and has no gaps."""

    job: str
    seq: int
    time: float
    kind: str
    data: dict[str, Any]


@dataclass(frozen=True)
class User:
    """Who may call what up: `scopes` are the kinds of models that may be taught and painted with.

    The local user has id "": a home of one's own has no other.
    """

    id: str
    name: str
    scopes: list[str]
    quota: int | None = None
    consent: float | None = None
    secret: str | None = None
    created: float = 0.0
    gone: float | None = None


@dataclass(frozen=True)
class Upload:
    """A file that a user gave, by its content's address."""

    id: str
    owner: str
    sha: str
    name: str
    media: str
    size: int
    created: float
    expires: float | None = None


@dataclass(frozen=True)
class Image:
    """A painted picture with its recipe."""

    id: str
    owner: str
    sha: str
    job: str | None
    model: str | None
    recipe: dict[str, Any]
    size: int
    created: float


@dataclass(frozen=True)
class Delivery:
    """An event on its way to a webhook; `not_before` None: delivered, or given up."""

    id: str
    owner: str
    job: str
    seq: int
    kind: str
    url: str
    body: str | None = None
    tries: int = 0
    not_before: float | None = 0.0
    status: int | None = None
    error: str | None = None
    delivered: float | None = None
    created: float = 0.0


@dataclass(frozen=True)
class Kept:
    """An answer under an idempotency key; while it is None, whoever reserved it works on `id`."""

    owner: str
    key: str
    fingerprint: str
    id: str
    answer: dict[str, Any] | None
    created: float


@dataclass(frozen=True)
class Line:
    """Who did what to a shared model, or to a user's own data, and with which photos."""

    id: int
    time: float
    owner: str
    what: str
    model: str | None
    data: dict[str, Any]
