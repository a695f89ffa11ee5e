"""The worker of a server: a thread that takes jobs by turns and gives each to a child of its own.

The child's death is never the server's. The database is opened here alone; the child's lines come through a pipe.
"""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from remembrandt import logs
from remembrandt.jobs import child, expiring
from remembrandt.jobs.files import Files, Home
from remembrandt.jobs.fresh import FRESH
from remembrandt.jobs.process import alive, me
from remembrandt.jobs.runner import Runner, Stopped
from remembrandt.report import Progress
from remembrandt.settings import Settings, Wrong
from remembrandt.store import queue
from remembrandt.store.rows import Job
from remembrandt.store.store import Store, Taken

KINDS = ("finetune", "consolidate", "evaluate", "export", "forget")
PACE = 0.25  # seconds between two looks at an empty queue
SWEEP = 3600.0  # seconds between two looks for what may be thrown away
Document = dict[str, Any]
log = logging.getLogger(__name__)


class Worker:
    """Runs the jobs of `kinds`, one at a time, until it is stopped; several workers share a queue."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        load: Callable[..., Any],
        *,
        kinds: tuple[str, ...] = KINDS,
        spawn: Callable[[Path, Mapping[str, str]], child.Process] = child.spawn,
    ) -> None:
        self.store, self.home, self.load = store, Home(settings.home), load
        self._settings, self._kinds, self._spawn = settings, kinds, spawn
        self._stopping, self._wake, self._swept = threading.Event(), threading.Event(), 0.0
        self.lost = 0  # jobs that another worker took
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin, with what an earlier server left first."""
        self._thread = threading.Thread(target=self._loop, name="remembrandt-worker", daemon=True)
        self._thread.start()

    def halt(self) -> None:
        """The job in hand leaves a checkpoint, and no other begins; `stop` waits for that."""
        self._stopping.set()
        self._wake.set()

    def stop(self, grace: float = child.GRACE) -> None:
        """`halt`, and wait; whoever starts next goes on with the job."""
        self.halt()
        if self._thread:
            self._thread.join(grace + 5)

    def wake(self) -> None:
        """There is something new to do."""
        self._wake.set()

    @property
    def halted(self) -> bool:
        return self._stopping.is_set()

    @property
    def alive(self) -> bool:
        return bool(self._thread and self._thread.is_alive())

    def _loop(self) -> None:
        while not self._stopping.is_set():
            try:
                if time.monotonic() - self._swept > SWEEP or not self._swept:
                    self._swept = time.monotonic()
                    expiring.sweep(self.store, self.home, self._settings.photo_days)
                job = queue.claim(self.store, self._kinds, me(), alive)
                if job:
                    with logs.about(job=job.id, user=job.owner):
                        self._carry(job)
            except Exception:
                log.exception("the worker could not go on; it tries again")
                job = None
            if job is None:
                self._wake.wait(PACE)
                self._wake.clear()

    def _carry(self, job: Job) -> None:
        log.info("%s begins, attempt %d", job.kind, job.attempt)
        ended, lost = threading.Event(), threading.Event()
        beats = threading.Thread(target=self._beat, args=(job, ended, lost), daemon=True)
        beats.start()
        files = Files(self.home, job.id, self.load)
        try:
            self._run(job, files, lost)
        except Taken:
            if queue.canceled(self.store, job):
                self._stopped(job, files, Stopped("canceled"))
            else:
                self._taken()
        except Stopped as stop:
            self._stopped(job, files, stop)
        except Wrong:
            pass  # the user's, and told below
        except Exception:
            log.exception("%s broke", job.kind)
        finally:
            ended.set()
            beats.join()
        self._tell(job)

    def _run(self, job: Job, files: Files, lost: threading.Event) -> None:
        store = self.store.of(job.owner)

        def train(one: Job, own: Files, progress: Progress) -> Document:
            return self._train(job, one, own, progress, lost)

        runner = Runner(store, self.home, self.load, train)
        try:
            if job.kind == "forget":
                from remembrandt.jobs import rebuilding

                told = rebuilding.job(store, self.home, self.load, job, runner)
                kept = told["retention"]
                state = "succeeded" if kept["published"] else "failed"
                store.finish(job, state, result=told, error=kept.get("why"))
                return
            if job.kind in FRESH:
                job = queue.rewrite(store, job, FRESH[job.kind](store, job, files))
        except (Taken, Stopped):
            raise
        except Exception as fault:
            store.finish(job, "failed", error=" ".join(f"{fault}".split()) or repr(fault))
            raise
        runner.carry(job)

    def _train(self, job: Job, one: Job, files: Files, progress: Progress, lost: threading.Event) -> Document:
        """The child's work on `one`, which is `job` itself or a part of it."""

        def unwanted() -> str | None:
            if lost.is_set():
                raise Taken(job.id)
            if queue.canceled(self.store, job):
                return "canceled"
            return "stopping" if self._stopping.is_set() else None

        spec = {"kind": one.kind, "request": one.request, "home": str(self.home.path), "key": one.id}
        process = self._spawn(files.folder, _second(one))
        return child.run(process, {**spec, "share": self._settings.share}, files.folder, progress, unwanted)

    def _stopped(self, job: Job, files: Files, stop: Stopped) -> None:
        try:
            if stop.why == "canceled":
                self.store.finish(job, "canceled")
            elif stop.why == "died":
                queue.died(self.store, job, str(stop), stop.reached)
            else:
                queue.release(self.store, job)
            ended = self.store.of(job.owner).job(job.id)
            if ended and ended.state == "canceled":
                shutil.rmtree(files.folder, ignore_errors=True)
        except Taken:
            self._taken()

    def _taken(self) -> None:
        self.lost += 1
        log.warning("the lease is lost: another worker has the job by now")

    def _tell(self, job: Job) -> None:
        """How it stands with the job: it ended, was refused, waits to be tried again or for the next server."""
        row = self.store.of(job.owner).job(job.id)
        if row is None:
            return
        level = logging.INFO if row.state == "succeeded" else logging.WARNING
        why = f": {row.error}" if row.error else ""
        seconds = f" after {time.time() - job.started:.1f} s" if job.started else ""
        said = {"queued": "is tried again", "interrupted": "waits for the next server"}.get(row.state, row.state)
        log.log(level, "%s %s%s%s", job.kind, said, seconds, why)

    def _beat(self, job: Job, ended: threading.Event, lost: threading.Event) -> None:
        while not ended.wait(queue.BEAT):
            try:
                queue.beat(self.store, job)
            except Taken:
                lost.set()
                return
            except Exception:  # the disk may be full; the lease outlives some beats
                log.exception("no heartbeat of job %s", job.id)


def _second(job: Job) -> dict[str, str]:
    """With two accelerators training takes the second of those that this server may use; it paints on the first."""
    if (job.request.get("device") or "cuda") != "cuda":  # None: chosen by itself
        return {}
    import torch

    if torch.cuda.device_count() < 2:
        return {}
    ours = os.environ.get("CUDA_VISIBLE_DEVICES") or "0,1"
    return {"CUDA_VISIBLE_DEVICES": ours.split(",")[1].strip()}
