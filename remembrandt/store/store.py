"""The store: the only place that speaks SQL.

Every write is one transaction under the write lock. A job's writes carry its attempt, which grows
at each claim: a process that was thought dead cannot write over the one that took its job.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Table, func, insert, select, update

from remembrandt.settings import Wrong
from remembrandt.store import schema
from remembrandt.store.calling import distinct
from remembrandt.store.connect import connect, writing
from remembrandt.store.rows import RESUMABLE, Concept, Happened, Job, Model, State, Version

T = TypeVar("T")
FILE = "remembrandt.sqlite"
Alive = Callable[[str], bool]


class Taken(Exception):
    """Another process has taken the job over; what this one still says of it is not recorded."""


def new_id() -> str:
    """Twelve hexadecimal digits, never the same twice."""
    return secrets.token_hex(6)


class Store:
    """What a home knows. Without `create` a home that is not there reads as empty."""

    def __init__(self, home: Path, *, create: bool = False) -> None:
        self.engine = connect(home / FILE, create=create)

    def close(self) -> None:
        self.engine.dispose()

    # -- models, versions, concepts ----------------------------------------------------------------

    def models(self, owner: str = "") -> list[Model]:
        """The models that were taught something, by name."""
        t = schema.models
        taught = select(t).where(t.c.owner == owner, t.c.version > 0).order_by(t.c.name)
        return self._all(Model, taught)

    def model(self, name: str, owner: str = "") -> Model | None:
        """The model of that name, also one that was taught nothing yet."""
        t = schema.models
        return self._one(Model, select(t).where(t.c.owner == owner, t.c.name == name))

    def versions(self, model: str) -> list[Version]:
        t = schema.versions
        return self._all(Version, select(t).where(t.c.model == model).order_by(t.c.number))

    def version(self, model: str, number: int) -> Version | None:
        with self.engine.begin() as connection:
            return _version(connection, model, number)

    def concepts(self, model: Model) -> list[Concept]:
        """The concepts of the model's present version, oldest first."""
        version = self.version(model.id, model.version)
        t = schema.concepts
        rows = self._all(Concept, select(t).where(t.c.model == model.id)) if version else []
        known = {c.id: c for c in rows}
        return [known[key] for key in version.concepts] if version else []

    def used(self, model: str) -> set[str]:
        """Every identifier that was ever handed out in the model."""
        with self.engine.begin() as connection:
            return _used(connection, model)

    # -- lessons -----------------------------------------------------------------------------------

    def enter(
        self,
        key: str,
        kind: str,
        model: Model,
        request: Callable[[set[str]], tuple[str, dict[str, Any]]],
        alive: Alive,
    ) -> Job:
        """Queue job `key`, a lesson: the model's row, its identifier, its job; one transaction.

        `request(used)` gives the identifier and the job's request; what it raises undoes all.
        """
        with writing(self.engine) as connection:
            held = _model(connection, model)
            _not_taught_now(connection, held, alive)
            word, document = request(_used(connection, held.id))
            now = time.time()
            job = Job(key, kind, held.id, "queued", document, owner=held.owner, created=now)
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
            row = connection.execute(select(t).where(t.c.id == concept.model)).one()
            held = _read(Model, row)
            other = held.base["digest"] != base["digest"]
            if held.version and (other or (weights and since != held.version)):
                raise Wrong(f"{held.name} has changed since this lesson began: teach it anew")
            number = _next(connection, held.id)
            older = _version(connection, held.id, held.version)
            distinct(connection, held, older.concepts if older else [], concept)
            ids = [*(older.concepts if older else []), concept.id]
            result = {**result, "model": held.name, "version": number}
            row = Version(held.id, number, job.id, ids, weights, result["retention"], held.version, now)
            connection.execute(insert(schema.versions), asdict(row))
            made = replace(concept, lesson=number, created=now)
            connection.execute(insert(schema.concepts), asdict(made))
            connection.execute(update(t).where(t.c.id == held.id).values(version=number, base=base))
            done = {"state": "succeeded", "result": result, "finished": now, "error": None}
            _change(connection, job, **done, step=result["steps"], total=result["steps"])
            _happened(connection, job.id, "succeeded", result)
        return result

    def queue(self, kind: str, request: dict[str, Any], owner: str = "") -> Job:
        """Queue a job that teaches nothing."""
        job = Job(new_id(), kind, None, "queued", request, owner=owner, created=time.time())
        with writing(self.engine) as connection:
            connection.execute(insert(schema.jobs), asdict(job))
        return job

    # -- jobs --------------------------------------------------------------------------------------

    def jobs(self, owner: str = "") -> list[Job]:
        t = schema.jobs
        return self._all(Job, select(t).where(t.c.owner == owner).order_by(t.c.created))

    def job(self, key: str, owner: str = "") -> Job | None:
        t = schema.jobs
        return self._one(Job, select(t).where(t.c.id == key, t.c.owner == owner))

    def claim(self, key: str, worker: str, alive: Alive) -> Job:
        """Make `worker` the one that runs the job; `Wrong` if it runs already or is done."""
        with writing(self.engine) as connection:
            t = schema.jobs
            row = connection.execute(select(t).where(t.c.id == key)).one_or_none()
            if row is None:
                raise Wrong(f"there is no job {key!r}: `jobs list` names them")
            job = _read(Job, row)
            if job.state == "running" and not alive(job.worker or ""):
                job = replace(job, state="interrupted")
            if job.state not in RESUMABLE:
                raise Wrong(f"job {key} is {job.state}: there is nothing to resume")
            if job.model:
                held = connection.execute(
                    select(schema.models).where(schema.models.c.id == job.model)
                ).one()
                _not_taught_now(connection, _read(Model, held), alive, but=key)
            fresh = {"state": "running", "worker": worker, "attempt": job.attempt + 1}
            taken = replace(job, started=time.time(), error=None, **fresh)
            connection.execute(update(t).where(t.c.id == key).values(**asdict(taken)))
            _happened(connection, key, "running", {"attempt": taken.attempt})
        return self.job(key, job.owner) or taken

    def tell(self, job: Job, data: dict[str, Any]) -> None:
        """Record progress: `stage, step, total, loss` and whatever else the event holds."""
        with writing(self.engine) as connection:
            columns = {k: data.get(k) for k in ("stage", "step", "total", "loss")}
            _change(connection, job, **columns)
            _happened(connection, job.id, "progress", data)

    def finish(
        self, job: Job, state: State, *, error: str | None = None, result: dict | None = None
    ) -> None:
        """The job has ended; a job that succeeded by `publish` is not finished again."""
        with writing(self.engine) as connection:
            values = {"state": state, "error": error, "result": result, "finished": time.time()}
            _change(connection, job, **values)
            _happened(connection, job.id, state, {"error": error} if error else {})

    def cancel(self, key: str, alive: Alive) -> Job:
        """Cancel a job that no living process runs."""
        job = self.job(key)
        if job is None:
            raise Wrong(f"there is no job {key!r}: `jobs list` names them")
        if job.state in ("succeeded", "canceled"):
            raise Wrong(f"job {key} is {job.state}: there is nothing to cancel")
        if job.state == "running" and alive(job.worker or ""):
            raise Wrong(f"job {key} runs in the foreground elsewhere: press Ctrl-C there")
        self.finish(job, "canceled")
        return self.job(key) or job

    def events(self, key: str, after: int = 0) -> list[Happened]:
        """What happened to a job since event `after`."""
        t = schema.events
        since = select(t).where(t.c.job == key, t.c.seq > after).order_by(t.c.seq)
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
            return [_read(kind, row) for row in connection.execute(query)]

    def _one(self, kind: type[T], query) -> T | None:
        with self.engine.begin() as connection:
            row = connection.execute(query).one_or_none()
            return None if row is None else _read(kind, row)


def _read(kind: type[T], row: Row) -> T:
    return kind(**row._mapping)


def _version(connection: Connection, model: str, number: int) -> Version | None:
    t = schema.versions
    row = connection.execute(select(t).where(t.c.model == model, t.c.number == number))
    found = row.one_or_none()
    return None if found is None else _read(Version, found)


def _next(connection: Connection, model: str) -> int:
    """A number that no version of the model ever had, also none that was rolled back."""
    t = schema.versions
    return (connection.execute(select(func.max(t.c.number)).where(t.c.model == model)).scalar() or 0) + 1


def _used(connection: Connection, model: str) -> set[str]:
    t = schema.identifiers
    return {r.word for r in connection.execute(select(t.c.word).where(t.c.model == model))}


def _model(connection: Connection, wanted: Model) -> Model:
    """The row of the wanted model, made or, while it is untaught, made over."""
    t = schema.models
    mine = (t.c.owner == wanted.owner) & (t.c.name == wanted.name)
    row = connection.execute(select(t).where(mine)).one_or_none()
    if row is None:
        made = replace(wanted, id=wanted.id or new_id(), version=0, created=time.time())
        connection.execute(insert(t), asdict(made))
        return made
    held = _read(Model, row)
    if held.version == 0:
        fresh = {k: getattr(wanted, k) for k in ("scope", "memory", "base", "worn_by")}
        connection.execute(update(t).where(t.c.id == held.id).values(**fresh))
        return replace(held, **fresh)
    if held.version != wanted.version:
        raise Wrong(f"{held.name} has just been taught something else: try again")
    return held


def _not_taught_now(connection: Connection, model: Model, alive: Alive, but: str = "") -> None:
    t: Table = schema.jobs
    running = select(t).where(t.c.model == model.id, t.c.state == "running", t.c.id != but)
    for row in connection.execute(running).all():
        if alive(row.worker or ""):
            raise Wrong(f"{model.name} is being taught by job {row.id}: wait until it is done")
        dead = update(t).where(t.c.id == row.id)
        connection.execute(dead.values(state="interrupted", finished=time.time()))
        _happened(connection, row.id, "interrupted", {})


def _change(connection: Connection, job: Job, **values: Any) -> None:
    t = schema.jobs
    mine = (t.c.id == job.id) & (t.c.attempt == job.attempt)
    if connection.execute(update(t).where(mine).values(**values)).rowcount != 1:
        raise Taken(job.id)


def _happened(connection: Connection, key: str, kind: str, data: Collection) -> None:
    t, row = schema.jobs, schema.jobs.c.id == key
    grown = update(t).where(row).values(seq=t.c.seq + 1).returning(t.c.seq)
    seq = connection.execute(grown).scalar_one()
    values = {"job": key, "seq": seq, "time": time.time(), "kind": kind, "data": data}
    connection.execute(insert(schema.events), values)
