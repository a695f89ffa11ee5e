"""What routes share: the parts of the server, who asks, pictures that were sent, and the same request twice."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Annotated, Any

from fastapi import Depends, Query, Request, Response, UploadFile
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from remembrandt.api.auth import Links
from remembrandt.api.problems import Problem
from remembrandt.jobs import arriving, hooks, wishes
from remembrandt.jobs.entering import Ticket
from remembrandt.jobs.files import Home
from remembrandt.jobs.gallery import Entered, Gallery, quota, told
from remembrandt.service import Service
from remembrandt.settings import Missing, Wrong
from remembrandt.store import blobs, remembering
from remembrandt.store.rows import ENDED, Happened, Job, Upload, User
from remembrandt.store.store import Store, new_id

Document = dict[str, Any]
DAY = 86400.0
KEPT = 3600.0  # seconds that a picture lives which was sent within a request
MEDIA = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}


@dataclass(frozen=True)
class Desk:
    """The parts of a server. `service` queues what is long; `private` lets webhooks into one's own network; once it is
    `stopping`, nobody is kept waiting.
    """

    service: Service
    store: Store
    home: Home
    gallery: Gallery
    links: Links
    private: bool = False
    stopping: threading.Event = field(default_factory=threading.Event)


@dataclass(frozen=True)
class Caller:
    """Who asks, and what is theirs."""

    desk: Desk
    user: User
    key: str | None = None  # of idempotency

    @property
    def store(self) -> Store:
        return self.desk.store.of(self.user.id)

    @property
    def service(self) -> Service:
        return self.desk.service.of(self.user.id)

    @property
    def quota(self) -> int | None:
        """Bytes of uploads and pictures; the home's own user has the disk."""
        return quota(self.user, self.desk.service.settings)

    def later(self, key: str, hook: Document | None = None) -> Service:
        """The use cases whose long ones answer with their job, which will have that id."""
        return self.service.later(Ticket(0, key, hook))

    def job(self, key: str) -> Document:
        """The one job object."""
        return plain(self.service.job(key))

    def row(self, key: str) -> Job:
        found = self.store.job(key)
        if found is None:
            raise Missing(f"there is no job {key!r}")
        return found

    def keep(self, data: bytes, name: str, media: str, expires: float | None = None) -> str:
        """The id of an upload made of these bytes."""
        return blobs.put(
            self.store, self.desk.home.path, BytesIO(data), name, media, quota=self.quota, expires=expires
        ).id

    def receive(self, file: UploadFile, expires: float | None = None) -> Upload:
        """An upload of what is sent as a file."""
        name, media = file.filename or "file", file.content_type or "application/octet-stream"
        return blobs.put(self.store, self.desk.home.path, file.file, name[:200], media[:100], self.quota, expires)

    def picture(self, given: str | None, expires: float) -> str | None:
        """The upload that a picture is: its id, or a data URL that becomes one."""
        if given is None:
            return None
        if given.startswith("data:"):
            data, media = arriving.data_url(given)
            given = self.keep(data, "picture", media, expires)
        arriving.bounded(blobs.get(self.store, self.desk.home.path, given)[1])
        return given

    def hook(self, url: str | None, events: tuple[str, ...] = ENDED, **more: Any) -> Document | None:
        """A job's webhook; `Wrong` if nothing may be sent there."""
        if url is None:
            return None
        return {"url": hooks.checked(url, private=self.desk.private), "events": list(events), **more}

    def requests(self, prompts: list[str], model: str, wish: Mapping[str, Any]) -> list[Document]:
        """What the painter takes."""
        if not prompts:
            raise Wrong("give at least one prompt")
        if len(prompts) * (wish.get("n") or 1) > wishes.PICTURES:
            raise Wrong(f"one request paints at most {wishes.PICTURES} pictures")
        return [wishes.picture(self.store, self.desk.service.settings, p, model, wish) for p in prompts]

    def paint(self, requests: list[Document], format: str, webhook: Document | None, key: str | None = None) -> Entered:
        """Queue a job that paints these."""
        if format not in MEDIA:
            raise Wrong(f"there is no format {format!r}: there are {', '.join(MEDIA)}")
        found = {"requests": requests, "format": format, "model": requests[0]["model"]}
        return self.desk.gallery.enter(self.user.id, found, key=key, webhook=webhook)

    async def painted(self, entered: Entered, seconds: float | None = None) -> list[Document] | None:
        """The images of a job, when it is done; None if it is not after so many seconds."""
        future = asyncio.wrap_future(entered.future)
        try:
            return await asyncio.wait_for(asyncio.shield(future), seconds)
        except TimeoutError:
            return None

    async def once(self, fingerprint: Any, do: Callable[[str], Any], *, status: int = 201) -> Response:
        """The answer of `do(id)` (a document, or a pair of status and document), once for each Idempotency-Key."""
        if self.key is None:
            return _answered(await do(new_id()), status)
        mark = hashlib.sha256(json.dumps(fingerprint, sort_keys=True, default=str).encode()).hexdigest()
        kept = await run_in_threadpool(remembering.reserve, self.store, self.key, mark)
        if kept.answer is not None:
            return JSONResponse(kept.answer["body"], kept.answer["status"], {"idempotent-replayed": "true"})
        renewed = asyncio.create_task(self._renewed())
        try:  # the server may have died between the job and its answer: then this is the job
            made = await run_in_threadpool(self.store.job, kept.id)
            done = (202, await run_in_threadpool(self.job, kept.id)) if made else await do(kept.id)
            found = _answered(done, status)
        except BaseException:
            made = await run_in_threadpool(self.store.job, kept.id)
            if made is None or made.state in ENDED:  # else it goes on with the next server, and is not begun twice
                await run_in_threadpool(remembering.release, self.store, self.key)
            raise
        finally:
            renewed.cancel()
        answer = {"status": found.status_code, "body": json.loads(bytes(found.body) or b"null")}
        await run_in_threadpool(remembering.remember, self.store, self.key, answer)
        return found

    async def _renewed(self) -> None:
        """Whoever asks again is told that it goes on, however long it takes."""
        assert self.key is not None
        while True:
            await asyncio.sleep(remembering.PATIENCE / 4)
            with suppress(Exception):  # a full disk, say: the next may do
                await run_in_threadpool(remembering.renew, self.store, self.key)


def caller(request: Request) -> Caller:
    """Who asks; the middleware has let nobody else through."""
    user = getattr(request.state, "user", None)
    if user is None:
        raise Problem(401, "unauthorized", "send `Authorization: Bearer TOKEN`")
    key = request.headers.get("idempotency-key")
    if key is not None and not 0 < len(key) <= 255:
        raise Wrong("an Idempotency-Key has 1 to 255 characters")
    return Caller(request.app.state.desk, user, key)


Me = Annotated[Caller, Depends(caller)]
Limit = Annotated[int, Query(ge=1, le=200)]
Before = Annotated[str | None, Query(description="the `next` of the page before")]


def following(rows: Sequence[Any], limit: int) -> str | None:
    """The `before` of the next page, of rows that are one more than a page if there is another."""
    return rows[limit - 1].id if len(rows) > limit else None


def page(rows: list[Document], before: str | None, limit: int, name: str, key: str = "id") -> Document:
    """A page of what is listed as a whole: `{name: rows, next}`."""
    keys = [row[key] for row in rows]
    if before is not None and before not in keys:
        raise Missing(f"`before` must be the {key} of one of your {name}")
    rest = rows[keys.index(before) + 1 :] if before is not None else rows
    return {name: rest[:limit], "next": rest[limit - 1][key] if len(rest) > limit else None}


def _answered(found: Any, status: int) -> JSONResponse:
    if isinstance(found, JSONResponse):
        return found
    status, body = found if isinstance(found, tuple) else (status, found)
    return JSONResponse(json.loads(json.dumps(body, default=str)), status)


def plain(job: Document) -> Document:
    """A job without what only this machine can use: its paths, and its request with them."""
    previews = [f"/jobs/{job['id']}/preview"] if job.get("previews") else []
    kept = {k: v for k, v in job.items() if k not in ("request", "previews")}
    if isinstance(kept.get("result"), dict):
        kept["result"] = _bare(kept["result"])
    return {**kept, "previews": previews}


def event(happened: Happened) -> Document:
    """What happened to a job, likewise without paths."""
    data = _bare(happened.data)
    if data.get("preview"):
        data["preview"] = f"/jobs/{happened.job}/preview"
    return {"seq": happened.seq, "kind": happened.kind, "time": happened.time, **data}


def _bare(result: Mapping[str, Any]) -> Document:
    found = {k: v for k, v in result.items() if k not in ("path", "report", "sheet", "plot")}
    if isinstance(ladder := found.get("ladder"), dict):
        found["ladder"] = {k: v for k, v in ladder.items() if k != "picture"}
    return found


def image(row) -> Document:
    """A kept picture as the API tells it."""
    return told(row.id, row.recipe, "png") | {"job": row.job, "created": row.created, "bytes": row.size}
