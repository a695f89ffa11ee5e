"""Versions of a model after they were published: a step back, a concept taken out, what may be thrown away.

A number is given to one version only, whatever was rolled back before: a picture's recipe names it.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import asdict, replace

from sqlalchemy import Connection, delete, insert, select, update

from remembrandt.settings import Denied, Wrong
from remembrandt.store import schema
from remembrandt.store import transaction as within
from remembrandt.store.connect import writing
from remembrandt.store.rows import RESUMABLE, Concept, Job, Model, Version
from remembrandt.store.store import Store
from remembrandt.store.transaction import Alive

PAST = "past"  # of a version's retention: the versions before it that are gone


def ancestry(store: Store, model: Model) -> list[Version]:
    """The versions that led to the present one, it included, oldest first; of pruned ones, what they told."""
    found = _line({v.number: v for v in store.versions(model.id)}, model.version)
    return [*_past(found[0]), *found] if found else []


def _line(known: Mapping[int, Version], at: int) -> list[Version]:
    """A version and those that it came from, as far as they are known, oldest first."""
    found = []
    while at in known:
        found.append(known[at])
        at = known[at].parent
    return found[::-1]


def _past(version: Version) -> list[Version]:
    """The versions before it that are gone, oldest first, without their weights."""
    return [Version(**row) for row in version.retention.get(PAST, [])]


def rollback(store: Store, model: Model, alive: Alive) -> Version:
    """The model is what it was one version before; the version that is left stays until `prune`."""
    with writing(store.engine) as connection:
        held = _held(store, connection, model, alive)
        now = within.version(connection, held.id, held.version)
        before = now and within.version(connection, held.id, now.parent)
        if before is None:
            raise Wrong(f"{held.name} has no version before {held.version}: `models versions {held.name}` lists them")
        _point(connection, held, before.number)
    return before


def without(store: Store, model: Model, concept: Concept, alive: Alive) -> Version:
    """The model's next version lacks `concept` and is otherwise the present one."""
    with writing(store.engine) as connection:
        held = _held(store, connection, model, alive)
        now = within.version(connection, held.id, held.version)
        assert now is not None
        ids = [key for key in now.concepts if key != concept.id]
        why = {"mean": 1.0, "worst": 1.0, "published": True, "forgot": concept.identifier}
        made = Version(held.id, within.following(connection, held.id), "", ids, None, why, now.number, time.time())
        connection.execute(insert(schema.versions), asdict(made))
        _point(connection, held, made.number)
    return made


def exchange(
    store: Store, model: Model, old: Concept, new: Concept, weights: str | None, retention: dict, alive: Alive
) -> Version:
    """`model`'s next version holds `new`, another outcome of the lesson on `old`, in its place."""
    with writing(store.engine) as connection:
        held = _held(store, connection, model, alive)
        now = within.version(connection, held.id, held.version)
        if now is None or held.version != model.version:
            raise Wrong(f"{held.name} has changed meanwhile: try again")
        number, when = within.following(connection, held.id), time.time()
        ids = [new.id if key == old.id else key for key in now.concepts]
        made = Version(held.id, number, new.job, ids, weights, retention, now.number, when)
        connection.execute(insert(schema.versions), asdict(made))
        connection.execute(insert(schema.concepts), asdict(replace(new, lesson=number, created=when)))
        _point(connection, held, number)
    return made


def adopt(
    store: Store, model: Model, draft: Model, ids: list[str], last: Version, retention: dict, alive: Alive
) -> Version:
    """`model`'s next version has the weights of `draft`'s version `last` and the concepts `ids`; `draft` is no more."""
    with writing(store.engine) as connection:
        held = _held(store, connection, model, alive)
        if held.version != model.version:
            raise Wrong(f"{held.name} has changed meanwhile: try again")
        number = within.following(connection, held.id)
        made = Version(held.id, number, last.job, ids, last.weights, retention, held.version, time.time())
        connection.execute(insert(schema.versions), asdict(made))
        _point(connection, held, number)
        _drop(connection, _held(store, connection, draft, alive))
    return made


def erase(store: Store, model: Model, concept: Concept, alive: Alive) -> None:
    """Take a concept out of every version of its model, and its row away."""
    t = schema.versions
    with writing(store.engine) as connection:
        held = _held(store, connection, model, alive)
        for row in connection.execute(select(t).where(t.c.model == held.id)).all():
            ids = [key for key in row.concepts if key != concept.id]
            mine = (t.c.model == held.id) & (t.c.number == row.number)
            connection.execute(update(t).where(mine).values(concepts=ids))
        connection.execute(delete(schema.concepts).where(schema.concepts.c.id == concept.id))


def rename(store: Store, model: Model, name: str, alive: Alive) -> None:
    """Another name for a model; its files stay where they are."""
    t = schema.models
    with writing(store.engine) as connection:
        held = _held(store, connection, model, alive)
        row = connection.execute(select(t).where(t.c.owner == held.owner, t.c.name == name)).one_or_none()
        if row is not None and row.version:
            raise Wrong(f"there is a model {name!r} already: choose another name, or delete that one")
        if row is not None:  # it was never taught: only lessons that failed know it
            _drop(connection, within.read(Model, row))
        connection.execute(update(t).where(t.c.id == held.id).values(name=name))


def call(store: Store, concept: Concept, name: str | None) -> None:
    """Another name for a concept."""
    t, m = schema.concepts, schema.models
    mine = (t.c.id == concept.id) & t.c.model.in_(select(m.c.id).where(m.c.owner == store.owner))
    with writing(store.engine) as connection:
        if not connection.execute(update(t).where(mine).values(name=name)).rowcount:
            raise Denied("that model is everyone's: only the home's own user changes what it was")


def drop(store: Store, model: Model, alive: Alive) -> None:
    """A model, its versions, concepts and identifiers; its jobs stay as history and cannot go on."""
    with writing(store.engine) as connection:
        _drop(connection, _held(store, connection, model, alive))


def prune(store: Store, alive: Alive) -> list[Version]:
    """Give up what no model can go back to: all versions but the present one and the one before it.

    Concepts that no version holds go too. `Wrong` while a lesson runs: its files have no row yet.
    """
    gone: list[Version] = []
    with writing(store.engine) as connection:
        j, v, c = schema.jobs, schema.versions, schema.concepts
        for row in connection.execute(select(j).where(j.c.state == "running")):
            if alive(row.worker or ""):
                raise Wrong(f"job {row.id} runs: wait until it is done, then clean")
        for row in connection.execute(select(schema.models)).all():
            held = within.read(Model, row)
            rows = [within.read(Version, r) for r in connection.execute(select(v).where(v.c.model == held.id))]
            now = next((r for r in rows if r.number == held.version), None)
            kept = [r for r in rows if now and r.number in (now.number, now.parent)]
            gone += [r for r in rows if r not in kept]
            connection.execute(delete(v).where(v.c.model == held.id, v.c.number.not_in([r.number for r in kept])))
            _remember(connection, _line({r.number: r for r in rows}, held.version), kept)
            ids = {key for r in kept for key in r.concepts}
            connection.execute(delete(c).where(c.c.model == held.id, c.c.id.not_in(ids)))
    return gone


def _remember(connection: Connection, line: Sequence[Version], kept: Sequence[Version]) -> None:
    """What the versions that go told of each concept stays with the oldest that is kept: a report shows all lessons."""
    gone = [v for v in line if v not in kept]
    if not gone:
        return
    oldest, t = line[len(gone)], schema.versions
    told = [replace(v, weights=None, retention={k: d for k, d in v.retention.items() if k != PAST}) for v in gone]
    past = [asdict(v) for v in (*_past(gone[0]), *told)]
    mine = (t.c.model == oldest.model) & (t.c.number == oldest.number)
    connection.execute(update(t).where(mine).values(retention={**oldest.retention, PAST: past}))


def everything(store: Store) -> tuple[list[Model], list[Version], list[Concept]]:
    """All rows of all owners: what a home must keep the files of."""
    tables = ((Model, schema.models), (Version, schema.versions), (Concept, schema.concepts))
    models, versions, concepts = (store._all(kind, select(table)) for kind, table in tables)
    return models, versions, concepts  # type: ignore[return-value]


def unfinished(store: Store) -> list[Job]:
    """The jobs whose files are still needed: they run, wait, or were interrupted."""
    t = schema.jobs
    states = ("running", *(s for s in RESUMABLE if s != "failed"))
    return store._all(Job, select(t).where(t.c.state.in_(states)))


def succeeded(store: Store, jobs: Collection[str]) -> set[str]:
    """Those of these jobs, of whatever owner, that are done."""
    t = schema.jobs
    with store.engine.begin() as connection:
        return set(connection.execute(select(t.c.id).where(t.c.id.in_(jobs), t.c.state == "succeeded")).scalars())


def expunge(store: Store, model: Model, concept: Concept, alive: Alive) -> list[str]:
    """Take a concept and every version that held it away; where the weights of those lie."""
    t, c = schema.versions, schema.concepts
    with writing(store.engine) as connection:
        held = _held(store, connection, model, alive)
        rows = connection.execute(select(t).where(t.c.model == held.id, t.c.number != held.version)).all()
        gone = [row for row in rows if concept.id in row.concepts]
        numbers = [row.number for row in gone]
        connection.execute(delete(t).where(t.c.model == held.id, t.c.number.in_(numbers)))
        connection.execute(update(t).where(t.c.model == held.id, t.c.parent.in_(numbers)).values(parent=0))
        connection.execute(delete(c).where(c.c.id == concept.id))
        kept = {row.weights for row in connection.execute(select(t.c.weights))}
    return [row.weights for row in gone if row.weights and row.weights not in kept]


def all_versions(store: Store, model: Model) -> list[Version]:
    """The versions of a model, whoever's it is."""
    t = schema.versions
    return store._all(Version, select(t).where(t.c.model == model.id))


def lessons(store: Store, model: Model) -> list[Job]:
    """The jobs that made the versions of a model which the owner may see, whoever asked for them."""
    made = [v.job for v in (*ancestry(store, model), *store.versions(model.id))]
    return store._all(Job, select(schema.jobs).where(schema.jobs.c.id.in_(made)))


def _held(store: Store, connection: Connection, model: Model, alive: Alive) -> Model:
    t = schema.models
    row = connection.execute(select(t).where(t.c.id == model.id)).one_or_none()
    if row is None:
        raise Wrong(f"{model.name} was deleted meanwhile")
    if row.owner != store.owner:
        raise Denied(f"{model.name} is everyone's: only the home's own user changes what it was")
    within.not_taught_now(connection, within.read(Model, row), alive)
    return within.read(Model, row)


def _point(connection: Connection, model: Model, to: int) -> None:
    t = schema.models
    connection.execute(update(t).where(t.c.id == model.id).values(version=to))


def _drop(connection: Connection, model: Model) -> None:
    j = schema.jobs
    ended = {"model": None, "finished": time.time()}
    lost: Iterable[str] = (*RESUMABLE, "running")
    connection.execute(update(j).where(j.c.model == model.id, j.c.state.in_(lost)).values(state="canceled", **ended))
    connection.execute(update(j).where(j.c.model == model.id).values(model=None))
    for table in (schema.versions, schema.concepts, schema.identifiers):
        connection.execute(delete(table).where(table.c.model == model.id))
    connection.execute(delete(schema.models).where(schema.models.c.id == model.id))
