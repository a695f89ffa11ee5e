"""The runner in this process: claims a job, does its work, records what happens, publishes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from remembrandt.jobs import files as places
from remembrandt.jobs import publishing
from remembrandt.jobs.files import Files, Home
from remembrandt.jobs.process import alive, me
from remembrandt.report import Event, Progress, silent
from remembrandt.settings import Wrong
from remembrandt.store import queue
from remembrandt.store.rows import Concept, Job
from remembrandt.store.store import Store, Taken

PACE = 1.0  # seconds between two records of a job's progress
Document = dict[str, Any]


@dataclass(frozen=True)
class Runner:
    """Runs jobs one at a time, in the foreground."""

    store: Store
    home: Home
    load: Callable[..., Any]
    work: Callable[[Job, Files, Progress], Document] | None = None  # None: in this process

    def run(self, key: str, progress: Progress = silent) -> Document:
        """Run or resume a job to its end and return its result.

        A lesson that ran and must not be published returns too, with `retention.published` false.
        Interrupted or failed, the job keeps its checkpoints and can be run again.
        """
        return self.carry(self.store.claim(key, me(), alive), progress)

    def carry(self, job: Job, progress: Progress = silent) -> Document:
        """The rest of `run`, of a job that this process has claimed."""
        from remembrandt.training.loop import Diverged

        key, files = job.id, Files(self.home, job.id, self.load)
        try:
            _current(self.store.of(job.owner), job)
            done, work = places.document(files.result), self.work or here
            found = done or work(job, files, recorded(self.store, job, progress))
            return PUBLISH[job.kind](self.store, job, files, found)
        except Diverged as fault:
            why = {"published": False, "why": str(fault), "mean": 1.0, "worst": 1.0}
            found = {"steps": fault.step, "seconds": time.time() - (job.started or 0)}
            return _refuse(self.store, job, {**found, "retention": why})
        except (Taken, Stopped):
            raise
        except KeyboardInterrupt as stop:
            self.store.finish(job, "interrupted")
            stop.add_note(f"`jobs resume {key}` goes on where this stopped")
            raise
        except BaseException as fault:
            self.store.finish(job, "failed", error=" ".join(f"{fault}".split()) or repr(fault))
            fault.add_note(f"`jobs resume {key}` tries again")
            raise


class Stopped(Exception):
    """Work ended without a result or a fault of its own: `why` is died, canceled or stopping."""

    def __init__(self, why: str, said: str = "", reached: str | None = None) -> None:
        super().__init__(said or why)
        self.why, self.reached = why, reached


def here(job: Job, files: Files, progress: Progress) -> Document:
    """Do a job's work in this process."""
    from remembrandt.jobs.work import WORK  # torch, which a list of jobs does without

    return WORK[job.kind](job.request, files, progress)


def recorded(store: Store, job: Job, progress: Progress) -> Progress:
    """Tells `progress` everything, and the database what is worth a write."""
    last, stage = 0.0, ""

    def record(event: Event) -> None:
        nonlocal last, stage
        ends = event.step >= event.total or event.stage != stage or event.preview or event.message
        if ends or time.monotonic() - last > PACE:
            shown = {k: str(v) if k == "preview" else v for k, v in asdict(event).items()}
            store.tell(job, {k: v for k, v in shown.items() if v not in (None, "None")})
            last, stage = time.monotonic(), event.stage
        progress(event)

    return record


def _current(store: Store, job: Job) -> None:
    """Weights that all concepts share are taught from the present ones: not from those of some lessons ago."""
    held = next((m for m in store.models() if m.id == job.model), None)
    if held and job.request.get("memory") == "replay" and held.version != job.request["version"]:
        raise Wrong(f"{held.name} was taught something else since job {job.id} began: teach it anew")


def publish_lesson(store: Store, job: Job, files: Files, found: Document) -> Document:
    """Files first, each moved in one piece; then one transaction, which makes them the model's."""
    if not found["retention"]["published"]:
        return _refuse(store, job, found)
    request, home = job.request, files.home
    about, base = request["concept"], request["base"]
    folder = home.concept(request["model"], about["id"])
    places.move(files.folder / "staging", folder)
    if not found["moved"] or request["scope"] != "private":  # which painted its class images, and will for others
        base = {**base, "folder": keep_base(files, request)}
    facts = {k: request.get(k) for k in ("prompts", "class_prompt", "options", "seed", "margin", "names", "told")}
    facts["options"] = {**request["options"], "steps": found["steps"]}  # a promotion teaches as many
    facts["masks"] = files.keep_photos("masks")
    facts["policy"] = request.get("replay", {}).get("policy")
    concept = Concept(
        about["id"],
        job.model or "",
        about["identifier"],
        about["name"],
        about["category"],
        request["method"],
        home.relative(folder),
        job.id,
        0,
        files.keep_photos(),
        facts,
    )
    weights = home.relative(folder) if found["moved"] else None
    if weights:  # text encoder, autoencoder and tokenizer are stored once for all versions
        places.share(folder, [home.path / place for place in (request["weights"], base["folder"]) if place])
    try:
        result = store.publish(job, concept, base, report(job, found), weights, since=request["version"])
    except (Wrong, Taken) as fault:
        if isinstance(fault, Wrong) or queue.canceled(store, job):  # else another worker may be publishing it
            places.move(folder, files.folder / "staging")  # it is the job's again, and goes with it
        raise
    files.tidy()
    return result


def keep_base(files: Files, request: Document) -> str:
    """Copy the base, so that nothing done to the original breaks what was taught; where it lies."""
    base = request["base"]
    if base["folder"]:
        return base["folder"]
    place = files.load(base["source"], request["device"], request["precision"]).folder
    assert place is not None
    target = files.home.base(base["digest"])
    places.copy_family(place, target)
    return files.home.relative(target if place.is_dir() else target / place.name)


def report(job: Job, found: Document) -> Document:
    """What `finetune` tells of a lesson (design.md 5.2), but for its version."""
    request = job.request
    return {
        "model": request["model"],
        "version": request["version"],
        "concept": request["concept"]["id"],
        "identifier": request["concept"]["identifier"],
        "name": request["concept"]["name"],
        "category": request["concept"]["category"],
        "method": request["method"],
        "memory": request["memory"],
        "scope": request["scope"],
        "base": request["base"]["name"],
        "steps": found["steps"],
        "seconds": found["seconds"],
        "job": job.id,
        "warnings": request["warnings"],
        "retention": found["retention"],
        "ladder": found.get("ladder"),
    }


def _refuse(store: Store, job: Job, found: Document) -> Document:
    result = REPORT[job.kind](job, found)
    store.finish(job, "failed", error=found["retention"]["why"], result=result)
    return result


def publish_consolidated(store: Store, job: Job, files: Files, found: Document) -> Document:
    """One set of weights, if it keeps what its teachers know."""
    if not found["retention"]["published"]:
        return _refuse(store, job, found)
    return publishing.consolidated(store, job, files, found)


#: What is told of work that may be refused.
REPORT: dict[str, Callable[[Job, Document], Document]] = {"finetune": report, "consolidate": publishing.report}


PUBLISH: dict[str, Callable[[Store, Job, Files, Document], Document]] = {
    "finetune": publish_lesson,
    "consolidate": publish_consolidated,
    **dict.fromkeys(("generate", "evaluate", "export"), lambda store, job, files, found: _done(store, job, found)),
}


def _done(store: Store, job: Job, found: Document) -> Document:
    store.finish(job, "succeeded", result=found)
    return found
