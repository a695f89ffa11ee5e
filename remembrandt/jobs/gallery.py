"""Jobs of kind `generate`: from the queue to the painter, and what was painted into the store.

One thread does it for all of them: claims, hands over, notes progress, keeps pictures. So a painting that waits costs
a row and no thread, and the painter never waits for a disk.
"""

from __future__ import annotations

import logging
import queue as lines
import threading
import time
from collections.abc import Mapping
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image

from remembrandt import logs
from remembrandt.engine import recipe
from remembrandt.family.family import NotFinite
from remembrandt.jobs import uploaded
from remembrandt.jobs.easel import Painting
from remembrandt.jobs.files import Home
from remembrandt.jobs.painting import Painter, Stopped
from remembrandt.jobs.process import alive, me
from remembrandt.report import write_atomic
from remembrandt.settings import Settings, Wrong
from remembrandt.store import blobs, lanes, queue, users
from remembrandt.store.rows import Job, User
from remembrandt.store.store import Store, new_id
from remembrandt.store.transaction import Taken

KINDS = ("generate",)
CLAIMED = 24  # jobs with the painter; beyond that only of who has none there
TELL, LOOK, BEAT = 1.0, 0.25, 10.0  # seconds between records of progress, looks at cancels, renewals of leases
Document = dict[str, Any]
log = logging.getLogger(__name__)


class Failed(Exception):
    """A job ended without pictures; the message says why, `code` in a word."""

    def __init__(self, said: str, code: str = "not_painted") -> None:
        super().__init__(said)
        self.code = code


@dataclass(eq=False)
class Held:
    """A claimed job and its paintings, in the order of its requests."""

    job: Job
    paintings: list[Painting] = field(default_factory=list)
    told: tuple[int, float] = (0, 0.0)  # calls, when
    shown: Any = None

    @property
    def calls(self) -> int:
        return sum(p.calls for p in self.paintings)

    def progress(self) -> Document:
        return {"stage": "painting", "step": self.calls, "total": max(self.calls, sum(p.total for p in self.paintings))}


@dataclass(frozen=True)
class Entered:
    """A queued job; its future gives the images' documents, or says why there are none."""

    job: Job
    future: Future[list[Document]]


class Gallery:
    """Runs until `close`."""

    def __init__(self, store: Store, home: Home, painter: Painter, settings: Settings | None = None) -> None:
        self.store, self.home, self.painter, self.settings = store, home, painter, settings
        self._held: dict[str, Held] = {}
        self._waiters: dict[str, Future[list[Document]]] = {}
        self._bell = lines.SimpleQueue[str]()
        self._stop, self.lost = threading.Event(), 0
        self._thread = threading.Thread(target=self._run, name="gallery", daemon=True)
        self._beats = threading.Thread(target=self._beat, name="gallery leases", daemon=True)
        self._thread.start()
        self._beats.start()

    def enter(self, owner: str, request: Document, *, key: str | None = None, webhook: dict | None = None) -> Entered:
        """Queue the pictures of `request["requests"]`, in `format`; the row is there when this returns."""
        key = key or new_id()
        self._waiters[key] = future = Future[list[Document]]()
        try:
            job = self.store.of(owner).queue("generate", request, key=key, webhook=webhook)
        except BaseException:
            self._waiters.pop(key, None)
            raise
        self._bell.put("")
        return Entered(job, future)

    def cancel(self, key: str) -> None:
        """A hint that the row says canceled, so that it ends now and not at the next look."""
        held = self._held.get(key)  # what was only queued was never claimed, and its waiter is told here
        if held is None and (future := self._waiters.pop(key, None)):
            future.set_exception(Failed("the job was canceled"))
        for painting in held.paintings if held else ():
            painting.cancel()
        self._bell.put(key)

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def close(self) -> None:
        """Give back what is not painted yet: whoever comes next paints it."""
        self.painter.close()
        self._stop.set()
        self._bell.put("")
        self._thread.join()
        self._beats.join()

    # -- the thread --------------------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            try:
                self._bell.get(timeout=LOOK)
                while not self._bell.empty():
                    self._bell.get_nowait()
            except lines.Empty:
                pass
            stopping = self._stop.is_set()
            try:
                self._tend()
                if not stopping:
                    self._claim()
            except Exception:  # a database that is locked for long, say: what is in hand stays there
                log.exception("the gallery could not go on; it tries again")
            if stopping:
                return

    def _tend(self) -> None:
        for held in [*self._held.values()]:
            with logs.about(job=held.job.id, user=held.job.owner):
                self._look_at(held)

    def _look_at(self, held: Held) -> None:
        try:
            self._look(held)
        except Taken:  # by another server: it is theirs
            self.lost += 1
            log.warning("the lease is lost: another server has the job by now")
            self._settle(held, Failed("another server took this job"))
        except Exception as fault:  # a full disk, say: of this job only
            self._fail(held, fault)

    def _beat(self) -> None:
        """Keep the leases, also while the other thread waits for a family to be loaded."""
        while not self._stop.wait(BEAT):
            for held in [*self._held.values()]:
                with suppress(Exception):  # lost: `_look` hears of it; a full disk: a lease outlives beats
                    queue.beat(self.store, held.job)

    def _claim(self) -> None:
        """Up to `CLAIMED` jobs, and one of everybody who has none with the painter."""
        while not self.painter.closing:
            if len(self._held) >= CLAIMED:
                busy = {held.job.owner for held in self._held.values()}
                if lanes.owners(self.store, KINDS) <= busy:
                    return
            job = queue.claim(self.store, KINDS, me(), alive)
            if job is None:
                return
            self._held[job.id] = held = Held(job)
            with logs.about(job=job.id, user=job.owner):
                self._begin(held)

    def _begin(self, held: Held) -> None:
        job, store = held.job, self.store.of(held.job.owner)
        log.info("generate begins, attempt %d", job.attempt)
        try:
            for request in job.request["requests"]:
                painting = self.painter.ask(job.owner, uploaded.placed(request, store, self.home), watched=True)
                painting.future.add_done_callback(lambda _, key=job.id: self._bell.put(key))
                held.paintings.append(painting)
        except Stopped as fault:
            self._give_back(held, fault)
        except Exception as fault:
            self._fail(held, fault)

    def _look(self, held: Held) -> None:
        now, calls = time.monotonic(), held.calls
        if all(p.future.done() for p in held.paintings):
            self._finish(held)
            return
        if queue.canceled(self.store, held.job):
            for painting in held.paintings:
                painting.cancel()
            return
        if calls != held.told[0] and now - held.told[1] > TELL:
            told = held.progress()
            preview = next((p.preview for p in held.paintings if p.preview is not None and not p.future.done()), None)
            if preview is not None and preview is not held.shown:
                held.shown = preview
                told["preview"] = str(self._show(held.job, preview))
            self.store.tell(held.job, told)
            held.told = calls, now

    def _show(self, job: Job, preview):
        Image.fromarray(preview).save(data := BytesIO(), "JPEG", quality=85)
        return write_atomic(self.home.job(job.id) / "previews" / "painting.jpg", data.getvalue())

    def _finish(self, held: Held) -> None:
        """Keep the pictures of all requests, or none."""
        try:
            painted = [p for painting in held.paintings for p in painting.future.result()]
        except CancelledError:
            self.store.finish(held.job, "canceled")
            log.info("generate canceled")
            self._settle(held, Failed("the job was canceled"))
            return
        except Stopped as fault:
            self._give_back(held, fault)
            return
        except Exception as fault:
            self._fail(held, fault)
            return
        store, format = self.store.of(held.job.owner), held.job.request.get("format", "png")
        owner = users.user(self.store, held.job.owner)
        most = quota(owner, self.settings) if owner and self.settings else None
        queue.beat(self.store, held.job)  # it is still ours: what lies there is of an attempt that died at this
        blobs.drop_images(store, [i.id for i in blobs.images_of(store, held.job.id)])
        images = []
        try:
            for picture in painted:
                data, model = recipe.written(picture, recipe.FORMATS[f".{format}"]), picture.recipe.get("model")
                kept = blobs.add_image(
                    store, self.home.path, data, picture.recipe, job=held.job.id, model=model, quota=most
                )
                shown = uploaded.hints(picture, store, self.home, most)
                images.append(told(kept.id, picture.recipe, format) | shown)
            self.store.tell(held.job, held.progress())  # a quick one has told nothing yet
            self.store.finish(held.job, "succeeded", result={"images": images})
        except BaseException:
            blobs.drop_images(store, [image["id"] for image in images])
            raise
        log.info("generate succeeded after %.1f s", time.time() - (held.job.started or time.time()))
        self._settle(held, images)

    def _give_back(self, held: Held, why: Stopped) -> None:
        queue.release(self.store, held.job)
        log.info("generate waits for the next server")
        self._settle(held, why)

    def _fail(self, held: Held, fault: Exception) -> None:
        for painting in held.paintings:
            painting.cancel()
        said = " ".join(str(fault).split()) or type(fault).__name__
        if isinstance(fault, Wrong):
            log.warning("generate failed: %s", said)
        else:
            log.error("generate failed: %s", said, exc_info=fault)
        with suppress(Taken):
            self.store.finish(held.job, "failed", error=said)
        code = "picture_not_finite" if isinstance(fault, NotFinite) else "not_painted"
        self._settle(held, fault if isinstance(fault, Wrong) else Failed(said, code))

    def _settle(self, held: Held, found: list[Document] | Exception) -> None:
        self._held.pop(held.job.id, None)
        future = self._waiters.pop(held.job.id, None)
        if future is None:
            return
        if isinstance(found, Exception):
            future.set_exception(found)
        else:
            future.set_result(found)


def quota(user: User, settings: Settings) -> int | None:
    """Bytes that a user may keep; the home's own has the whole disk."""
    return (user.quota or settings.quota) if user.id else None


def told(key: str, facts: Mapping[str, Any], format: str) -> Document:
    """An image as the API tells it."""
    return {"id": key, "url": f"/images/{key}", "format": format, **facts}
