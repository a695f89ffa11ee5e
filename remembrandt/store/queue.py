"""The queue: who is next, who holds what, and what becomes of a job whose worker or trainer died.

A worker holds a job by a lease that it renews; `attempt` grows at each claim and fences all later writes. A worker
whose process is gone, or whose lease ran out, loses its jobs at once; that is no fault of theirs and is not counted.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, func, select, update

from remembrandt.store import schema
from remembrandt.store import transaction as within
from remembrandt.store.connect import writing
from remembrandt.store.rows import UNFINISHED, Job
from remembrandt.store.store import Store
from remembrandt.store.transaction import Alive

LEASE, BEAT = 30.0, 5.0  # seconds that a lease lasts, and between two renewals
WAITS = (0, 2, 10, 60)  # seconds before a job that died for the first, second, ... time starts again
MOST = 3  # deaths without a new checkpoint between them
BRIEF = ("id", "owner", "model", "kind", "state", "priority", "worker", "lease", "attempt", "not_before", "cancel")
BRIEF += ("created",)


def claim(store: Store, kinds: Sequence[str], worker: str, alive: Alive) -> Job | None:
    """The job whose turn it is, now `worker`'s; None if there is nothing to do."""
    if not _waiting(store, kinds, alive):
        return None
    now = time.time()
    with writing(store.engine) as connection:
        rows = _unfinished(connection)
        for row in [r for r in rows if _lost(r, alive, now)]:
            _end(connection, row, "canceled" if row.cancel else "interrupted")
        rows = _unfinished(connection)
        taught = {r.model for r in rows if r.state == "running" and r.model}
        ready = [r for r in rows if _ready(r, kinds, now) and r.model not in taught]
        if not ready:
            return None
        chosen = turns(ready, *_shares(connection, rows, kinds))[0]
        t = schema.jobs
        fresh = {"state": "running", "worker": worker, "attempt": chosen.attempt + 1, "error": None, "cancel": False}
        held = {"lease": now + LEASE, "heartbeat": now, "started": now, "finished": None}
        connection.execute(update(t).where(t.c.id == chosen.id).values(**fresh, **held))
        within.happened(connection, chosen.id, "running", {"attempt": chosen.attempt + 1})
        return within.read(Job, connection.execute(select(t).where(t.c.id == chosen.id)).one())


def turns(ready: Sequence[Any], running: Mapping[str, int], last: Mapping[str, float]) -> list[Any]:
    """The order in which jobs start. Among users: who has least running, then who was served longest ago, then who
    came first. Of one user: what was begun, then the higher priority, then the older.
    """
    own: dict[str, list[Any]] = defaultdict(list)
    for row in sorted(ready, key=lambda r: (r.attempt == 0, -r.priority, r.created, r.id), reverse=True):
        own[row.owner].append(row)
    served, found = dict(last), []
    latest = max(served.values(), default=0.0)
    while own:
        who = min(own, key=lambda o: (running.get(o, 0), served.get(o, 0.0), own[o][-1].created, o))
        found.append(own[who].pop())
        latest += 1
        served[who] = latest
        if not own[who]:
            del own[who]
    return found


def beat(store: Store, job: Job) -> None:
    """The worker lives and goes on with the job; `Taken` if it is another's by now."""
    now = time.time()
    with writing(store.engine) as connection:
        within.change(connection, job, heartbeat=now, lease=now + LEASE)


def canceled(store: Store, job: Job) -> bool:
    """Whether its owner wants it no more."""
    t = schema.jobs
    with store.engine.begin() as connection:
        return bool(connection.execute(select(t.c.cancel).where(t.c.id == job.id)).scalar())


def reached(store: Store, key: str) -> tuple[int, str]:
    """The number of its newest event, and its state then; of no job, that it is canceled."""
    t = schema.jobs
    with store.engine.begin() as connection:
        row = connection.execute(select(t.c.seq, t.c.state).where(t.c.id == key, t.c.owner == store.owner)).first()
    return (row.seq, row.state) if row else (0, "canceled")


def release(store: Store, job: Job) -> None:
    """The worker stops; whoever comes next goes on from the checkpoint. No death of the job's."""
    with writing(store.engine) as connection:
        if _given_up(connection, job):
            return
        within.change(connection, job, state="interrupted", lease=None, worker=None)
        within.happened(connection, job.id, "interrupted", {})


def died(store: Store, job: Job, why: str, reached: str | None) -> Job:
    """Its trainer died, having `reached` that checkpoint: it starts again after a while, or is given up."""
    t = schema.jobs
    with writing(store.engine) as connection:
        if _given_up(connection, job):
            return within.read(Job, connection.execute(select(t).where(t.c.id == job.id)).one())
        row = within.read(Job, connection.execute(select(t).where(t.c.id == job.id)).one())
        fruitless = 1 if reached != row.reached else row.fruitless + 1
        wait = WAITS[min(row.deaths, len(WAITS) - 1)]
        facts = {"deaths": row.deaths + 1, "fruitless": fruitless, "reached": reached, "lease": None}
        if fruitless >= MOST:
            error = f"given up: {why}, {fruitless} times without a new checkpoint"
            within.change(connection, job, state="failed", error=error, finished=time.time(), **facts)
            within.happened(connection, job.id, "failed", {"error": error})
        else:
            within.change(connection, job, state="queued", not_before=time.time() + wait, error=why, **facts)
            within.happened(connection, job.id, "died", {"error": why, "deaths": row.deaths + 1, "again_in": wait})
        return within.read(Job, connection.execute(select(t).where(t.c.id == job.id)).one())


def _given_up(connection: Connection, job: Job) -> bool:
    """A job that was canceled while it ended otherwise does not start again: it is canceled."""
    t = schema.jobs
    if not connection.execute(select(t.c.cancel).where(t.c.id == job.id)).scalar():
        return False
    within.change(connection, job, state="canceled", lease=None, finished=time.time())
    within.happened(connection, job.id, "canceled", {})
    return True


def position(store: Store, job: Job) -> int | None:
    """How many starts until this one: 0 runs, 1 is next; None: it has ended, or waits for nobody's worker."""
    return 0 if job.state == "running" else places(store).get(job.id)


def places(store: Store) -> dict[str, int]:
    """The positions of all jobs that wait. Pictures do not wait for lessons, nor lessons for pictures."""
    with store.engine.begin() as connection:
        rows = _unfinished(connection)
        waits = [r for r in rows if _ready(r, [r.kind], float("inf"))]
        kinds = sorted({r.kind for r in waits})
        lanes = [[k for k in kinds if k == "generate"], [k for k in kinds if k != "generate"]]
        orders = [
            turns([r for r in waits if r.kind in lane], *_shares(connection, rows, lane)) for lane in lanes if lane
        ]
    return {row.id: k for order in orders for k, row in enumerate(order, 1)}


def eta(store: Store, job: Job, place: int = 0) -> float | None:
    """Seconds until a job ends: by its pace in the present stage, or if it waits by what such jobs took; None while
    that is unknown.
    """
    t, e = schema.jobs, schema.events
    with store.engine.begin() as connection:
        if job.state != "running":
            like = (t.c.kind == job.kind) & (t.c.state == "succeeded") & t.c.started.is_not(None)
            took = select(t.c.finished - t.c.started).where(like).order_by(t.c.finished.desc()).limit(20)
            found = [seconds for (seconds,) in connection.execute(took)]
            return round(place * sum(found) / len(found), 1) if found else None
        newest = select(e).where(e.c.job == job.id, e.c.kind == "progress").order_by(e.c.seq.desc()).limit(20)
        told = [(row.time, row.data) for row in connection.execute(newest)]
    here = [(at, data["step"]) for at, data in told if data.get("stage") == job.stage]
    if not job.total or len(here) < 2 or here[0][1] <= here[-1][1]:
        return None
    pace = (here[0][0] - here[-1][0]) / (here[0][1] - here[-1][1])
    return max(0.0, round((job.total - job.step) * pace - (time.time() - here[0][0]), 1))


def _unfinished(connection: Connection) -> list[Any]:
    t = schema.jobs
    columns = [t.c[name] for name in BRIEF]
    return list(connection.execute(select(*columns).where(t.c.state.in_(UNFINISHED))).all())


def _waiting(store: Store, kinds: Sequence[str], alive: Alive) -> bool:
    now = time.time()
    with store.engine.begin() as connection:
        rows = _unfinished(connection)
    return any(_ready(r, kinds, now) or _lost(r, alive, now) for r in rows)


def _ready(row: Any, kinds: Sequence[str], now: float) -> bool:
    waits = row.state in ("queued", "interrupted") and row.priority is not None
    return waits and row.kind in kinds and row.not_before <= now


def _lost(row: Any, alive: Alive, now: float) -> bool:
    """Running for nobody: the process is gone, or has let its lease run out."""
    return row.state == "running" and (not alive(row.worker or "") or (row.lease is not None and row.lease < now))


def _end(connection: Connection, row: Any, state: str) -> None:
    t = schema.jobs
    fenced = {"attempt": row.attempt + 1} if row.lease is not None else {}  # it may live and still write
    values = {"state": state, "lease": None, "finished": time.time(), **fenced}
    connection.execute(update(t).where(t.c.id == row.id).values(**values))
    within.happened(connection, row.id, state, {})


def _shares(connection: Connection, rows: Sequence[Any], kinds: Sequence[str]) -> tuple[dict, dict]:
    """How many jobs of each user run, and when one last began."""
    running: dict[str, int] = defaultdict(int)
    for row in rows:
        if row.state == "running" and row.kind in kinds:
            running[row.owner] += 1
    t = schema.jobs
    last = select(t.c.owner, func.max(t.c.started)).where(t.c.kind.in_(kinds), t.c.started.is_not(None))
    return running, {owner: at for owner, at in connection.execute(last.group_by(t.c.owner)).all()}


def rewrite(store: Store, job: Job, request: dict[str, Any]) -> Job:
    """The job as it begins: what its request says of the model may have changed while it waited."""
    if request == job.request:
        return job
    kept = {k: v for k, v in request.items() if k != "known"}  # a snapshot is of this attempt only
    with writing(store.engine) as connection:
        within.change(connection, job, request=kept)
    return replace(job, request=request)
