"""kill -9 of the server, of the trainer or of both, again and again under load: what is lost, what is done twice?

    python -m benchmarks.killed [--quick] [--seed S] [-o benchmarks/killed.json]

At each moment one user has a lesson taught while both ask for pictures, and clients that get no answer ask again with
the same Idempotency-Key until they have one. The kill comes at a time that is drawn evenly over a lesson's life, the
trainer's over its own; then at every named point of `benchmarks.rigged`, where the process kills itself. A server that
died is started again, and the moment is over when nothing waits or runs any more. In the end everything that was ever
acknowledged is looked for in the home. On a tiny family. Stopped, it goes on with the moment it was in. A quarter of an
hour on a free core.
"""

from __future__ import annotations

import json
import os
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import httpx
import numpy as np
import psutil
from PIL import Image

from benchmarks import once, plain, say, surroundings
from benchmarks.rigged import SERVER, TRAINER
from benchmarks.served import PATIENCE, Person, Server, arguments, people, place, teach, until
from remembrandt.adapters import adapter as adapters
from remembrandt.family.load import save
from remembrandt.report import write_atomic
from remembrandt.service import Service
from remembrandt.settings import Settings
from remembrandt.store import blobs, lanes, users
from remembrandt.store.rows import Job
from remembrandt.store.store import FILE, Store

MOMENTS, TARGETS = 30, ("server", "trainer", "both")
LESSON, BASE = 150, "tiny"  # steps, with a checkpoint after the first hundred
PAUSE = 0.5  # seconds between a user's pictures
AGAIN = (409, 429, 500, 502, 503)  # answers after which a patient client asks again
ENDED = ("succeeded", "failed", "canceled")
Document = dict[str, Any]


# -- those who ask ---------------------------------------------------------------------------------


@dataclass
class Crowd:
    """Users who do not give up; `deeds` are what was acknowledged to them, `odd` are answers that should not be."""

    server: Server
    people: Sequence[Person]
    steps: int = LESSON
    deeds: list[Document] = field(default_factory=list)
    odd: list[str] = field(default_factory=list)

    def picture(self, who: int, key: str) -> None:
        draw = np.random.default_rng([ord(c) for c in key])
        n, steps = int(draw.integers(1, 3)), int(draw.integers(2, 9))
        asked = {"prompt": f"a dog {key}", "model": BASE, "num_images": n, "steps": steps, "size": "64x64"}
        headers = {"idempotency-key": key, "prefer": "respond-async"}
        job = self._acknowledged(who, lambda http: http.post("/generate", json=asked, headers=headers))
        self.deeds.append({"key": key, "owner": self.people[who].id, "job": job, "pictures": n})

    def lesson(self, who: int, key: str) -> str:
        fields = {"base": BASE, "max_train_steps": self.steps, "name": "named" + "".join(filter(str.isalnum, key))}
        job = self._acknowledged(who, lambda http: teach(http, key, **fields))
        self.deeds.append({"key": key, "owner": self.people[who].id, "job": job})
        return job

    def _acknowledged(self, who: int, ask: Callable[[httpx.Client], httpx.Response]) -> str:
        """The id of the job, whatever becomes of the server meanwhile."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            with suppress(httpx.TransportError), self.people[who].http(self.server) as http:
                answer = ask(http)
                if answer.status_code == 202:
                    return answer.json()["id"]
                if answer.status_code not in AGAIN or answer.status_code == 500:
                    self.odd.append(f"{answer.status_code}: {answer.text[:200]}")
                if answer.status_code not in AGAIN:
                    raise SystemExit(self.odd[-1])
            time.sleep(PAUSE)
        raise SystemExit(f"nobody acknowledged anything for {PATIENCE:.0f} s")


class Load:
    """For as long as this lasts both users ask for pictures, each until the last is acknowledged, and somebody sees to
    it that there is a server.
    """

    def __init__(self, crowd: Crowd, moment: str) -> None:
        self._enough, self._over, self._failed = threading.Event(), threading.Event(), list[BaseException]()
        self._asking = [self._thread(self._ask, crowd, who, moment) for who in (0, 1)]
        self._keeping = self._thread(self._keep, crowd.server)

    def _thread(self, do: Callable[..., None], *given: Any) -> threading.Thread:
        def run() -> None:
            try:
                do(*given)
            except BaseException as fault:
                self._failed.append(fault)

        return threading.Thread(target=run, daemon=True)

    def sound(self) -> bool:
        """Nobody has given up."""
        if self._failed:
            raise self._failed[0]
        return True

    def _ask(self, crowd: Crowd, who: int, moment: str) -> None:
        number = 0
        while not self._enough.wait(PAUSE):
            crowd.picture(who, f"{moment}-{who}-{number}")
            number += 1

    def _keep(self, server: Server) -> None:
        while not self._over.wait(PAUSE):
            if not server.alive:
                server.start()

    def __enter__(self) -> Load:
        for thread in (self._keeping, *self._asking):
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._enough.set()
        until(lambda: self.sound() and not any(thread.is_alive() for thread in self._asking))
        self._over.set()
        self._keeping.join()
        self.sound()


# -- one moment ------------------------------------------------------------------------------------


def disturbed(home: Path, crowd: Crowd, name: str, who: int, kill: Callable[[str], Document]) -> Document:
    """A lesson under load, what `kill(job)` does to it, and all that was asked for, when it has ended."""
    began, store = time.monotonic(), Store(home)
    with Load(crowd, name) as load:
        job = crowd.lesson(who, f"{name}-lesson")
        found = kill(job)
        until(lambda: load.sound() and store.of(crowd.people[who].id).job(job).state in ENDED)  # type: ignore[union-attr]
    until(lambda: not lanes.unfinished(store))
    deeds, crowd.deeds[:] = list(crowd.deeds), []
    odd, crowd.odd[:] = list(crowd.odd), []
    say(f"{name}: {found.get('killed')}")
    return {**found, "seconds": time.monotonic() - began, "deeds": deeds, "odd": odd}


def lives(home: Path, crowd: Crowd) -> Document:
    """Nobody is killed: how long a lesson lives, and its trainer."""
    store, seen = Store(home).of(crowd.people[0].id), list[float]()

    def watch(job: str) -> Document:
        began = time.monotonic()
        while store.job(job).state not in ENDED:  # type: ignore[union-attr]
            if crowd.server.trainers():
                seen.append(time.monotonic())
            time.sleep(0.1)
        if not seen or store.job(job).state != "succeeded":  # type: ignore[union-attr]
            raise SystemExit(f"the lesson did not succeed: {store.job(job)}")
        return {"lesson": time.monotonic() - began, "trainer": seen[-1] - seen[0], "killed": []}

    return disturbed(home, crowd, "undisturbed", 0, watch)


def at(home: Path, crowd: Crowd, number: int, target: str, share: float, life: Document) -> Document:
    """Kill the target when that share of its life is over."""
    server, who = crowd.server, number % 2
    store, delay = Store(home).of(crowd.people[who].id), share * life["trainer" if target == "trainer" else "lesson"]

    def kill(job: str) -> Document:
        if target == "trainer":
            until(lambda: server.trainers() or store.job(job).state in ENDED)  # type: ignore[union-attr]
        time.sleep(delay)
        trainers, killed = server.trainers(), []
        if target != "trainer" or not trainers:  # it was quicker this time
            server.kill()
            killed.append("server")
        if target != "server":
            for trainer in trainers:
                with suppress(psutil.NoSuchProcess):
                    trainer.kill()
                    killed.append("trainer")
        row = store.job(job)
        assert row
        return {"target": target, "share": share, "killed": killed, "at": [row.state, row.stage, row.step]}

    return disturbed(home, crowd, f"moment {number}", who, kill)


def named(home: Path, crowd: Crowd, part: str, point: str) -> Document:
    """A server is rigged, and dies at that point, or its trainer does."""
    server = crowd.server
    server.stop()
    server.start({part: point})
    begun = server.starts

    def kill(job: str) -> Document:
        store = Store(home).of(crowd.people[0].id)

        def over() -> bool:
            row = store.job(job)
            return server.starts > begun or (row is not None and (row.deaths > 0 or row.state in ENDED))

        until(over)
        time.sleep(2 * PAUSE)  # it may tell of a lesson, and then die
        row = store.job(job)
        died = bool(row and row.deaths) if part == "trainer" else server.starts > begun or not server.alive
        return {"point": point, "killed": [part] if died else []}

    try:
        return disturbed(home, crowd, f"point {point}", 0, kill)
    finally:
        if part == "trainer":
            server.stop()  # the next begins with a sound one
            server.start()


# -- what came of it -------------------------------------------------------------------------------


def verdict(home: Path, people: Sequence[str], deeds: Sequence[Document]) -> Document:
    """What should all be 0, but for the counts at the end, of a home that no server holds."""
    store, found = Store(home), Counter[str]()
    jobs = {job.id: job for one in people for job in store.of(one).jobs()}
    marks = Counter(_mark(job) for job in jobs.values())
    found["done twice"] = sum(count - 1 for count in marks.values())
    for deed in deeds:
        if deed["job"] not in jobs:
            found["lost"] += 1
            continue
        job = jobs[deed["job"]]
        made = _made(store.of(job.owner), home, job)
        wanted = deed.get("pictures", 1)
        found["not succeeded"] += job.state != "succeeded"
        found["done twice"] += made > wanted
        found["incomplete"] += made < wanted
    for job in jobs.values():
        told = store.of(job.owner).events(job.id)
        whole = [e.seq for e in told] == list(range(1, len(told) + 1))
        found["not ended"] += job.state not in ENDED
        found["events wrong"] += not whole or sum(e.kind in ENDED for e in told) != 1
        found["left behind"] += (home / "jobs" / job.id / "checkpoints").exists()
    with closing(sqlite3.connect(home / FILE)) as database:
        sound = database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        found["database damaged"] = int(not sound) + len(database.execute("PRAGMA foreign_key_check").fetchall())
    names = "lost", "done twice", "not succeeded", "incomplete", "not ended", "events wrong", "left behind"
    ours = {name: found[name] for name in (*names, "database damaged")}
    kinds = Counter(job.kind for job in jobs.values())
    deaths = sum(job.deaths for job in jobs.values())
    return {"faults": ours, "acknowledged": len(deeds), "jobs": dict(kinds), "deaths": deaths}


def _mark(job: Job) -> str:
    """What only one job has."""
    if job.kind == "generate":
        return job.request["requests"][0]["prompt"]
    return f"{job.owner} {job.request['concept']['name'] or job.request['concept']['identifier']}"


def _made(store: Store, home: Path, job: Job) -> int:
    """How often it was done: pictures that are whole, or versions of a model whose adapter is."""
    if job.kind == "generate":
        for row in (rows := blobs.images_of(store, job.id)):
            Image.open(blobs.image(store, home, row.id)[1]).load()
        return len(rows)
    mine = [v for v in store.versions(job.model or "") if v.job == job.id]
    model = store.model(job.request["model"])
    for concept in store.concepts(model) if model else []:
        if concept.job == job.id:
            adapters.load(home / concept.folder)
    return len(mine)


# -- the command -----------------------------------------------------------------------------------


def settled(home: Path) -> list[Person]:
    """Two users of a home, made the first time, with new tokens each time; and its tiny base."""
    if (home / FILE).is_file():
        store = Store(home)
        return [Person(u.id, u.name, users.token(store, u.name)) for u in users.users(store) if u.id]
    from tests.conftest import tiny_family  # the smallest that is whole

    found = people(home, 2)
    folder = save(tiny_family(), home.parent / BASE)
    Service(Settings(home, "cpu", "fp32")).add_family(BASE, str(folder))
    return found


def main(given: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, "killed")
    parser.add_argument("--seed", type=int, help="of the moments; drawn anew, and told")
    asked = parser.parse_args(given)
    work = (asked.work / ("quick" if asked.quick else "usual")).absolute()
    drawn = asked.seed if asked.seed is not None else time.time_ns() % 2**32
    seed = once(work / "seed.json", lambda: [drawn])[0]
    moments, points = MOMENTS, {"server": [*SERVER], "trainer": [*TRAINER]}
    if asked.quick:
        moments, points = 2, {"server": ["publishing"]}
    say(f"seed {seed}")
    home = work / "home"
    crowd = Crowd(Server(home), settled(home), 4 if asked.quick else LESSON)
    draw = np.random.default_rng(seed)
    targets = [TARGETS[k % len(TARGETS)] for k in range(moments)]
    shares = [float(share) for share in draw.uniform(size=moments)]
    try:
        crowd.server.start()
        life = once(work / "life.json", lambda: lives(home, crowd))
        rows = [life]
        for k, (target, share) in enumerate(zip(targets, shares, strict=True)):
            made = once(work / f"moment-{k:02d}.json", lambda k=k, t=target, s=share: at(home, crowd, k, t, s, life))
            rows.append(made)
        for part, some in points.items():
            for point in some:
                rows.append(once(work / f"point-{point}.json", lambda p=part, q=point: named(home, crowd, p, q)))
    finally:
        crowd.server.stop()
    told = verdict(home, [person.id for person in crowd.people], [deed for row in rows for deed in row["deeds"]])
    killed = Counter(name for row in rows for name in row["killed"])
    found = {
        "seed": seed,
        **told,
        "killed": dict(killed),
        "moments": moments,
        "points": points,
        "odd answers": [odd for row in rows for odd in row["odd"]],
        "rows": [{k: v for k, v in row.items() if k not in ("deeds", "odd")} for row in rows],
        **surroundings(),
    }
    write_atomic(place(asked, "killed"), json.dumps(plain(found), indent=1) + "\n")
    print(json.dumps(plain({k: v for k, v in found.items() if k not in ("rows", "versions", "hardware")}), indent=1))
    if any(told["faults"].values()):
        raise SystemExit("something was lost, done twice or left undone")


if __name__ == "__main__":
    main()
