"""What every route answers by: one Idempotency-Key, one deed; and no path of the server's."""

import asyncio
import json

import pytest
from sqlalchemy import select

from remembrandt.api.auth import Links
from remembrandt.api.desk import Caller, Desk, event, plain
from remembrandt.api.keeping import shown
from remembrandt.api.problems import Problem
from remembrandt.jobs.files import Home
from remembrandt.store import remembering, schema
from remembrandt.store.remembering import InFlight
from remembrandt.store.rows import Happened
from remembrandt.store.store import Store
from remembrandt.store.users import LOCAL


@pytest.mark.parametrize(("state", "again", "jobs"), [(None, InFlight, 1), ("failed", Problem, 2)])
def test_what_goes_on_is_not_begun_again(tmp_path, state, again, jobs):
    store = Store(tmp_path, create=True)
    me = Caller(Desk(None, store, Home(tmp_path), None, Links()), LOCAL, "key")

    async def stopped(key):
        job = store.queue("generate", {}, key=key)
        if state:
            store.finish(job, state)
        raise Problem(503, "stopping", "the painter has stopped")

    with pytest.raises(Problem):
        asyncio.run(me.once("a request", stopped))
    with pytest.raises(again):
        asyncio.run(me.once("a request", stopped))
    assert len(store.jobs()) == jobs


def test_what_takes_long_is_not_begun_again(tmp_path, monkeypatch):
    monkeypatch.setattr(remembering, "PATIENCE", 0.4)
    store = Store(tmp_path, create=True)
    me = Caller(Desk(None, store, Home(tmp_path), None, Links()), LOCAL, "key")
    times = select(schema.kept.c.created)

    def begun() -> float:
        with store.engine.begin() as connection:
            return connection.execute(times).scalar_one()

    async def long(key):
        first = begun()
        for _ in range(600):
            if begun() > first:  # whoever asks now is told that it goes on
                return {"id": key}
            await asyncio.sleep(0.05)

    assert asyncio.run(me.once("a request", long)).status_code == 201
    assert b"id" in asyncio.run(me.once("a request", None)).body


def test_clients_are_told_no_paths():
    lesson = {"identifier": "brc", "path": "/home/x", "ladder": {"picture": "/home/y", "rungs": [1]}}
    told = [event(Happened("j", 1, 0.0, "progress", {"stage": "training", "preview": "/home/x.png"}))]
    told += [event(Happened("j", 2, 0.0, "succeeded", lesson)), plain({"id": "j", "result": lesson, "request": {}})]
    told += [shown({"name": "mine", "base": {"source": "/home/b", "folder": "/home/c", "name": "b", "digest": "d"}})]
    assert "/home" not in json.dumps(told)
    assert told[0]["preview"] == "/jobs/j/preview" and told[1]["identifier"] == "brc"
    assert told[1]["ladder"] == {"rungs": [1]} and told[3]["base"] == {"name": "b", "digest": "d"}
