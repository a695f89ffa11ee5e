"""What happens inside a transaction that somebody else has begun."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import asdict, replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Row, Table, func, insert, select, update

from remembrandt.settings import Wrong
from remembrandt.store import schema
from remembrandt.store.rows import UNFINISHED, Delivery, Job, Model, Version

T = TypeVar("T")
Alive = Callable[[str], bool]


class Taken(Exception):
    """Another process has taken the job over; what this one still says of it is not recorded."""


def new_id() -> str:
    """Twenty hexadecimal digits, never the same twice and not to be guessed."""
    return secrets.token_hex(10)


def read(kind: type[T], row: Row) -> T:
    return kind(**row._mapping)


def version(connection: Connection, model: str, number: int) -> Version | None:
    t = schema.versions
    row = connection.execute(select(t).where(t.c.model == model, t.c.number == number))
    found = row.one_or_none()
    return None if found is None else read(Version, found)


def following(connection: Connection, model: str) -> int:
    """A number that no version of the model ever had, also none that was rolled back."""
    t = schema.versions
    return (connection.execute(select(func.max(t.c.number)).where(t.c.model == model)).scalar() or 0) + 1


def used(connection: Connection, model: str) -> set[str]:
    t = schema.identifiers
    return {r.word for r in connection.execute(select(t.c.word).where(t.c.model == model))}


def model(connection: Connection, wanted: Model) -> Model:
    """The row of the wanted model, made or, while it is untaught, made over."""
    t = schema.models
    mine = (t.c.owner == wanted.owner) & (t.c.name == wanted.name)
    row = connection.execute(select(t).where(mine)).one_or_none()
    if row is None:
        made = replace(wanted, id=wanted.id or new_id(), version=0, created=time.time())
        connection.execute(insert(t), asdict(made))
        return made
    held = read(Model, row)
    if held.version == 0:
        fresh = {k: getattr(wanted, k) for k in ("scope", "memory", "base", "worn_by")}
        connection.execute(update(t).where(t.c.id == held.id).values(**fresh))
        return replace(held, **fresh)
    if held.version != wanted.version:
        raise Wrong(f"{held.name} has just been taught something else: try again")
    return held


def agreed(connection: Connection, held: Model) -> None:
    """`Wrong` if a lesson that waits will make another kind of model of it."""
    t = schema.jobs
    waits = t.c.state.in_(UNFINISHED) & t.c.priority.is_not(None)
    for row in connection.execute(select(t.c.id, t.c.request).where(t.c.model == held.id, waits)):
        base = row.request.get("base", {}).get("digest", held.base.get("digest"))
        if base != held.base.get("digest") or row.request.get("memory", held.memory) != held.memory:
            raise Wrong(f"job {row.id} will make {held.name} another kind of model: wait for it, or name another")


def not_taught_now(connection: Connection, model: Model, alive: Alive, but: str = "") -> None:
    t: Table = schema.jobs
    running = select(t).where(t.c.model == model.id, t.c.state == "running", t.c.id != but)
    for row in connection.execute(running).all():
        if alive(row.worker or ""):
            raise Wrong(f"{model.name} is being taught by job {row.id}: wait until it is done")
        dead = update(t).where(t.c.id == row.id)
        connection.execute(dead.values(state="interrupted", finished=time.time()))
        happened(connection, row.id, "interrupted", {})


def change(connection: Connection, job: Job, **values: Any) -> None:
    t = schema.jobs
    mine = (t.c.id == job.id) & (t.c.attempt == job.attempt)
    if connection.execute(update(t).where(mine).values(**values)).rowcount != 1:
        raise Taken(job.id)


def wanted(connection: Connection, job: Job) -> None:
    """`Taken` if the job was canceled while it was done: nothing of it is published."""
    t = schema.jobs
    if connection.execute(select(t.c.cancel).where(t.c.id == job.id)).scalar():
        raise Taken(job.id)


def happened(connection: Connection, key: str, kind: str, data: Collection) -> None:
    t, row = schema.jobs, schema.jobs.c.id == key
    grown = update(t).where(row).values(seq=t.c.seq + 1).returning(t.c.seq, t.c.owner, t.c.webhook)
    seq, owner, webhook = connection.execute(grown).one()
    values = {"job": key, "seq": seq, "time": time.time(), "kind": kind, "data": data}
    connection.execute(insert(schema.events), values)
    if webhook and kind in webhook["events"]:
        told = Delivery(new_id(), owner, key, seq, kind, webhook["url"], created=time.time())
        connection.execute(insert(schema.deliveries), asdict(told))


def noted(connection: Connection, owner: str, what: str, model: str | None, data: dict[str, Any]) -> None:
    """An audit line; those of a model stay when it is deleted."""
    line = {"time": time.time(), "owner": owner, "what": what, "model": model, "data": data}
    connection.execute(insert(schema.audit), line)


def several(connection: Connection, kind: type[T], query) -> list[T]:
    return [read(kind, row) for row in connection.execute(query)]
