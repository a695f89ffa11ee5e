"""One Idempotency-Key, one deed: also when the server stops in the midst of it."""

import asyncio

import pytest

from remembrandt.api.auth import Links
from remembrandt.api.desk import Caller, Desk
from remembrandt.api.problems import Problem
from remembrandt.jobs.files import Home
from remembrandt.store.remembering import InFlight
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
