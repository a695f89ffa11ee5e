"""The store: the only place that speaks SQL.

Every write is one transaction under the write lock. A job's writes carry its attempt, which grows
at each claim: a process that was thought dead cannot write over the one that took its job.
"""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Table, and_, insert, or_, select, update

from remembrandt.settings import Missing, Wrong
from remembrandt.store import schema
from remembrandt.store import transaction as within
from remembrandt.store.calling import distinct
from remembrandt.store.connect import connect, writing
from remembrandt.store.rows import RESUMABLE, Concept, Happened, Job, Model, State, Version
from remembrandt.store.transaction import Alive, Taken, new_id

T = TypeVar("T")
FILE = "remembrandt.sqlite"
__all__ = ["FILE", "Alive", "Store", "Taken", "new_id"]


class Store:
    """What a home knows of one owner. Without `create` a home that is not there reads as empty."""

    def __init__(self, home: Path, *, create: bool = False) -> None:
        self.engine = connect(home / FILE, create=create)
        self.owner = ""  # the local user

    def of(self, owner: str) -> Store:
        """The same home as another user sees it: what is theirs, and the models that are everyone's."""
        other = copy.copy(self)
        other.owner = owner
        return other

    def close(self) -> None:
        self.engine.dispose()

    # -- models, versions, concepts ----------------------------------------------------------------

    def models(self) -> list[Model]:
        """The models that were taught something, by name."""
        t = schema.models
        return self._all(Model, select(t).where(self._visible(), t.c.version > 0).order_by(t.c.name))

    def model(self, name: str) -> Model | None:
        """The model of that name, one's own before everyone's; also one that was taught nothing yet."""
        t = schema.models
        found = self._all(Model, select(t).where(self._visible(), t.c.name == name))
        return min(found, key=lambda m: m.owner != self.owner, default=None)

    def make(self, model: Model) -> Model:
        """The row of a model that was taught nothing yet."""
        with writing(self.engine) as connection:
            return within.model(connection, replace(model, owner=self.owner))

    def versions(self, model: str) -> list[Version]:
        t = schema.versions
        return self._all(Version, select(t).where(self._of(t, model)).order_by(t.c.number))

    def version(self, model: str, number: int) -> Version | None:
        t = schema.versions
        return self._one(Version, select(t).where(self._of(t, model), t.c.number == number))

    def concepts(self, model: Model) -> list[Concept]:
        """The concepts of the model's present version, oldest first."""
        version = self.version(model.id, model.version)
        t = schema.concepts
        rows = self._all(Concept, select(t).where(self._of(t, model.id))) if version else []
        known = {c.id: c for c in rows}
        return [known[key] for key in version.concepts] if version else []

    def used(self, model: str) -> set[str]:
        """Every identifier that was ever handed out in the model."""
        t = schema.identifiers
        with self.engine.begin() as connection:
            return {r.word for r in connection.execute(select(t.c.word).where(self._of(t, model)))}

    def _visible(self):
        t = schema.models
        shared = and_(t.c.owner == "", t.c.scope == "meta")
        return or_(t.c.owner == self.owner, shared)

    def _of(self, t: Table, model: str):
        """That a row belongs to the model, and the model to what this owner may see."""
        return and_(t.c.model == model, t.c.model.in_(select(schema.models.c.id).where(self._visible())))

    # -- lessons -----------------------------------------------------------------------------------

    def enter(
        self,
        key: str,
        kind: str,
        model: Model,
        request: Callable[[set[str]], tuple[str, dict[str, Any]]],
        alive: Alive,
        priority: int | None = None,
        webhook: dict | None = None,
    ) -> Job:
        """Queue job `key`, a lesson: the model's row, its identifier, its job; one transaction.

        `request(used)` gives the identifier and the job's request; what it raises undoes all. With a `priority` it
        waits for a worker, behind other lessons on that model. A model of scope `meta` is the home's, and everyone's.
        """
        with writing(self.engine) as connection:
            held = within.model(connection, replace(model, owner="" if model.scope == "meta" else self.owner))
            if priority is None:
                within.not_taught_now(connection, held, alive)
            else:
                within.agreed(connection, held)
            word, document = request(within.used(connection, held.id))
            now = time.time()
            queued = {"owner": self.owner, "created": now, "priority": priority, "webhook": webhook}
            job = Job(key, kind, held.id, "queued", document, **queued)
            connection.execute(insert(schema.jobs), asdict(job))
            taken = {"model": held.id, "word": word, "job": job.id, "taken": now}
            connection.execute(insert(schema.identifiers), taken)
        return job

    def publish(
        self, job: Job, concept: Concept, base: dict, result: dict, weights: str | None = None, since: int | None = None
    ) -> dict:
        """The model's next version holds `concept`; its job has succeeded. One transaction.

        Other lessons may have been published meanwhile: a concept stands by itself.
        Only where it moved the `weights` must the model be as it was at version `since`. What calls the concept
        up is asked once more: two unpublished lessons may have the same name. Returns the result with its version.
        """
        now, t = time.time(), schema.models
        with writing(self.engine) as connection:
            within.wanted(connection, job)
            row = connection.execute(select(t).where(t.c.id == concept.model)).one()
            held = within.read(Model, row)
            if held.scope == "meta" and not result["retention"].get("published"):
                raise Wrong(f"{held.name} is everyone's: a lesson on it is published only if it harms nothing")
            other = held.base["digest"] != base["digest"]
            if held.version and (other or (weights and since != held.version)):
                raise Wrong(f"{held.name} has changed since this lesson began: teach it anew")
            number = within.following(connection, held.id)
            older = within.version(connection, held.id, held.version)
            distinct(connection, held, older.concepts if older else [], concept)
            ids = [*(older.concepts if older else []), concept.id]
            result = {**result, "model": held.name, "version": number}
            row = Version(held.id, number, job.id, ids, weights, result["retention"], held.version, now)
            connection.execute(insert(schema.versions), asdict(row))
            made = replace(concept, lesson=number, created=now)
            connection.execute(insert(schema.concepts), asdict(made))
            connection.execute(update(t).where(t.c.id == held.id).values(version=number, base=base))
            done = {"state": "succeeded", "result": result, "finished": now, "error": None}
            within.change(connection, job, **done, step=result["steps"], total=result["steps"])
            within.happened(connection, job.id, "succeeded", result)
            if held.scope == "meta":
                told = {"concept": concept.identifier, "category": concept.category, "photos": concept.photos}
                kept = {k: result["retention"].get(k) for k in ("mean", "worst", "published")}
                facts = {"job": job.id, "name": held.name, "version": number, "retention": kept}
                within.noted(connection, job.owner, "lesson published", held.id, {**told, **facts})
        return result

    def queue(
        self,
        kind: str,
        request: dict[str, Any],
        priority: int | None = 0,
        key: str | None = None,
        webhook: dict | None = None,
    ) -> Job:
        """Queue a job that teaches nothing."""
        queued = {"owner": self.owner, "created": time.time(), "priority": priority, "webhook": webhook}
        job = Job(key or new_id(), kind, None, "queued", request, **queued)
        with writing(self.engine) as connection:
            connection.execute(insert(schema.jobs), asdict(job))
        return job

    # -- jobs --------------------------------------------------------------------------------------

    def jobs(self) -> list[Job]:
        t = schema.jobs
        return self._all(Job, select(t).where(t.c.owner == self.owner).order_by(t.c.created))

    def job(self, key: str) -> Job | None:
        t = schema.jobs
        return self._one(Job, select(t).where(t.c.id == key, t.c.owner == self.owner))

    def claim(self, key: str, worker: str, alive: Alive) -> Job:
        """Make `worker` the one that runs the job; `Wrong` if it runs already or is done."""
        with writing(self.engine) as connection:
            t = schema.jobs
            row = connection.execute(select(t).where(t.c.id == key)).one_or_none()
            if row is None:
                raise Missing(f"there is no job {key!r}: `jobs list` names them")
            job = within.read(Job, row)
            if job.state == "running" and not alive(job.worker or ""):
                job = replace(job, state="interrupted")
            if job.state not in RESUMABLE:
                raise Wrong(f"job {key} is {job.state}: there is nothing to resume")
            if job.model:
                held = connection.execute(
                    select(schema.models).where(schema.models.c.id == job.model)
                ).one()
                within.not_taught_now(connection, within.read(Model, held), alive, but=key)
            fresh = {"state": "running", "worker": worker, "attempt": job.attempt + 1, "lease": None, "cancel": False}
            taken = replace(job, started=time.time(), error=None, **fresh)
            connection.execute(update(t).where(t.c.id == key).values(**asdict(taken)))
            within.happened(connection, key, "running", {"attempt": taken.attempt})
        return self.of(job.owner).job(key) or taken

    def tell(self, job: Job, data: dict[str, Any]) -> None:
        """Record progress: `stage, step, total, loss` and whatever else the event holds."""
        with writing(self.engine) as connection:
            columns = {k: data.get(k) for k in ("stage", "step", "total", "loss")}
            within.change(connection, job, **columns)
            within.happened(connection, job.id, "progress", data)

    def finish(
        self, job: Job, state: State, *, error: str | None = None, result: dict | None = None
    ) -> None:
        """The job has ended; a job that succeeded by `publish` is not finished again."""
        with writing(self.engine) as connection:
            values: dict[str, Any] = {"state": state, "error": error, "result": result, "finished": time.time()}
            if state == "succeeded":  # progress is told now and then; the last of it may not have been
                values["step"] = schema.jobs.c.total
            within.change(connection, job, **values)
            within.happened(connection, job.id, state, {"error": error} if error else {})
            if job.request.get("scope") == "meta" and state != "interrupted":
                told = {"job": job.id, "why": error, "concept": job.request.get("concept", {}).get("identifier")}
                within.noted(connection, job.owner, f"lesson {state}", job.model, told)

    def cancel(self, key: str, alive: Alive) -> Job:
        """Cancel a job; one that a living worker runs ends within two seconds, when that has heard of it."""
        job = self.job(key)
        if job is None:
            raise Missing(f"there is no job {key!r}: `jobs list` names them")
        if job.state in ("succeeded", "canceled"):
            raise Wrong(f"job {key} is {job.state}: there is nothing to cancel")
        if job.state != "running" or not alive(job.worker or ""):
            try:
                self.finish(job, "canceled")
            except Taken:  # it has just begun
                return self.cancel(key, alive)
        elif job.priority is None:
            raise Wrong(f"job {key} runs in the foreground elsewhere: press Ctrl-C there")
        else:
            with writing(self.engine) as connection:
                within.change(connection, job, cancel=True)
                within.happened(connection, job.id, "canceling", {})
        return self.job(key) or job

    def events(self, key: str, after: int = 0) -> list[Happened]:
        """What happened to a job since event `after`."""
        t, mine = schema.events, select(schema.jobs.c.id).where(schema.jobs.c.owner == self.owner)
        since = select(t).where(t.c.job == key, t.c.job.in_(mine), t.c.seq > after).order_by(t.c.seq)
        return self._all(Happened, since)

    # -- families ----------------------------------------------------------------------------------

    def families(self) -> dict[str, str]:
        """The names given to folders, files and hub ids."""
        t = schema.families
        with self.engine.begin() as connection:
            return {r.name: r.source for r in connection.execute(select(t).order_by(t.c.name))}

    def add_family(self, name: str, source: str) -> None:
        t = schema.families
        with writing(self.engine) as connection:
            connection.execute(t.delete().where(t.c.name == name))
            values = {"name": name, "source": source, "created": time.time()}
            connection.execute(insert(t), values)

    def _all(self, kind: type[T], query) -> list[T]:
        with self.engine.begin() as connection:
            return within.several(connection, kind, query)

    def _one(self, kind: type[T], query) -> T | None:
        with self.engine.begin() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else within.read(kind, row)
