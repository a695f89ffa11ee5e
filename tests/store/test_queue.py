"""Whose turn it is, who holds what, and what becomes of a job whose worker or trainer died."""

import time
from types import SimpleNamespace

import pytest

from remembrandt.settings import Wrong
from remembrandt.store import outbox, queue
from remembrandt.store.rows import Model
from remembrandt.store.store import Store, Taken, new_id

KINDS = ("finetune", "generate")


def living(worker):
    return worker != "gone"


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home", create=True)


def claim(store, worker="here"):
    return queue.claim(store, KINDS, worker, living)


def lesson(store, model="mine", word="brc", **rest):
    made = Model("", model, "private_meta", "gated", {"digest": "d"})
    return store.enter(new_id(), "finetune", made, lambda used: (word, {}), living, priority=0, **rest)


def row(owner, created, priority=0, attempt=0):
    return SimpleNamespace(id=f"{owner}{created}", owner=owner, created=created, priority=priority, attempt=attempt)


def test_users_take_turns():
    many = [row("a", k) for k in range(200)]
    order = [r.id for r in queue.turns([*many, row("b", 300)], {}, {})]
    assert order[:3] == ["a0", "b300", "a1"]
    assert queue.turns([*many, row("b", 300)], {"a": 1}, {})[0].id == "b300"  # who has something running waits
    assert queue.turns([*many, row("b", 300)], {}, {"a": 5.0})[0].id == "b300"  # and who was served just now
    assert sorted(order) == sorted([r.id for r in many] + ["b300"])


def test_of_one_user_what_was_begun_then_the_priority():
    mine = [row("a", 1), row("a", 2, priority=5), row("a", 3, attempt=1), row("b", 9, priority=-9)]
    assert [r.id for r in queue.turns(mine, {}, {})] == ["a3", "b9", "a2", "a1"]


def test_fair_shares_and_positions(store):
    a, b = store.of("a"), store.of("b")
    first = [a.queue("generate", {"k": k}) for k in range(3)]
    last = b.queue("generate", {})
    order = [first[0], last, first[1], first[2]]
    assert [queue.position(store, job) for job in order] == [1, 2, 3, 4]
    assert [claim(store).id for _ in order] == [job.id for job in order] and claim(store) is None
    assert queue.position(store, store.of("b").job(last.id)) == 0


def test_what_runs_in_a_foreground_is_nobody_elses(store):
    store.queue("generate", {}, priority=None)
    assert claim(store) is None


def test_a_model_is_taught_by_one(store):
    first, second = lesson(store), lesson(store, word="krx")
    other = lesson(store, "theirs")
    assert [claim(store).id, claim(store).id] == [first.id, other.id] and claim(store) is None
    store.finish(store.job(first.id), "failed", error="no")
    assert claim(store).id == second.id


def test_lessons_that_wait_agree_on_the_model(store):
    made = Model("", "new", "private_meta", "gated", {"digest": "d"})
    told = {"base": {"digest": "d"}, "memory": "gated"}
    store.enter(new_id(), "finetune", made, lambda used: ("brc", told), living, priority=0)
    other = Model("", "new", "private_meta", "replay", {"digest": "d"})
    with pytest.raises(Wrong, match="another kind of model"):
        store.enter(new_id(), "finetune", other, lambda used: ("krx", told), living, priority=0)
    assert store.model("new").memory == "gated" and len(store.jobs()) == 1


def test_a_dead_worker_is_no_death_of_the_job(store):
    job = store.queue("generate", {})
    was = claim(store, "gone")
    now = claim(store)
    assert (now.id, now.deaths) == (job.id, 0) and now.attempt > was.attempt
    with pytest.raises(Taken):
        store.finish(was, "succeeded")
    assert [e.kind for e in store.events(job.id)] == ["running", "interrupted", "running"]


def test_a_lease_that_ran_out_is_taken_over(store, monkeypatch):
    store.queue("generate", {})
    was = claim(store, "hangs")
    assert claim(store) is None
    queue.beat(store, was)
    late = time.time() + queue.LEASE + 1
    monkeypatch.setattr(time, "time", lambda: late)
    now = claim(store)
    assert now.id == was.id and now.worker == "here"
    with pytest.raises(Taken):
        queue.beat(store, was)
    with pytest.raises(Taken):
        store.tell(was, {"step": 9})


def test_waits_grow_and_three_fruitless_deaths_end_it(store, monkeypatch):
    job, clock = store.queue("generate", {}), [time.time()]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    seen = []
    for reached in ("c1", "c1", "c2", "c3", "c4", "c4"):
        held = claim(store)
        now = queue.died(store, held, "killed", reached)
        seen.append(round(now.not_before - clock[0]))
        if seen[-1]:
            assert claim(store) is None  # not yet
        clock[0] += seen[-1] + 0.1
    assert seen == [0, 2, 10, 60, 60, 60]
    now = queue.died(store, claim(store), "killed", "c4")
    assert (now.state, now.deaths, now.fruitless) == ("failed", 7, 3) and "3 times without" in now.error
    assert store.events(job.id)[-1].kind == "failed" and claim(store) is None


def test_without_any_checkpoint_the_third_death_is_the_last(store, monkeypatch):
    monkeypatch.setattr(queue, "WAITS", (0, 0, 0))
    store.queue("generate", {})
    assert [queue.died(store, claim(store), "killed", None).state for _ in range(3)] == ["queued", "queued", "failed"]


def test_released_jobs_go_on(store):
    job = store.queue("generate", {})
    queue.release(store, claim(store))
    assert store.job(job.id).state == "interrupted" and claim(store).attempt == 2


def test_cancel(store):
    waiting, runs = store.queue("generate", {}), store.queue("generate", {}, priority=1)
    held = claim(store)
    assert held.id == runs.id and store.cancel(waiting.id, living).state == "canceled"
    assert store.cancel(runs.id, living).state == "running" and queue.canceled(store, held)
    with pytest.raises(Wrong, match="there is no job"):
        store.of("b").cancel(runs.id, living)
    store.finish(held, "canceled")
    assert claim(store) is None


def test_the_cancellation_of_a_dead_worker_is_kept(store):
    job = store.queue("generate", {})
    claim(store, "here")
    store.cancel(job.id, living)
    assert queue.claim(store, KINDS, "next", lambda worker: False) is None
    assert store.job(job.id).state == "canceled"


@pytest.mark.parametrize("end", [queue.release, lambda store, job: queue.died(store, job, "killed", None)])
def test_what_was_canceled_while_it_ended_does_not_start_again(store, end):
    job = store.queue("generate", {})
    held = claim(store)
    store.cancel(job.id, living)
    end(store, held)
    assert store.job(job.id).state == "canceled" and claim(store) is None
    assert [e.kind for e in store.events(job.id)][-1] == "canceled"


def test_a_job_that_begins_while_it_is_canceled(store, monkeypatch):
    job, finish = store.queue("generate", {}), store.finish

    def late(one, state):
        if state == "canceled" and not claimed:
            claimed.append(claim(store))
        finish(one, state)

    claimed = []
    monkeypatch.setattr(store, "finish", late)
    assert store.cancel(job.id, living).state == "running" and queue.canceled(store, claimed[0])


def test_time_left(store, monkeypatch):
    store.queue("generate", {})
    job, clock = claim(store), [1000.0]
    monkeypatch.setattr(time, "time", lambda: clock[0])
    for step in range(1, 5):
        clock[0] += 2
        store.tell(job, {"stage": "painting", "step": step, "total": 10})
    assert queue.eta(store, store.job(job.id)) == pytest.approx(12)


def test_webhooks_are_written_with_what_they_tell_of(store):
    hook = {"url": "https://here.example/hook", "events": ["running", "succeeded"]}
    job = store.of("a").queue("generate", {}, webhook=hook)
    held = claim(store)
    store.tell(held, {"stage": "painting", "step": 1, "total": 2})
    store.finish(held, "succeeded", result={})
    told = outbox.deliveries(store.of("a"), job.id)
    assert [(d.kind, d.seq) for d in told] == [("running", 1), ("succeeded", 3)]
    assert outbox.deliveries(store.of("b")) == [] and len(outbox.due(store, time.time())) == 2
    outbox.write(store, told[0].id, "{}")
    outbox.again(store, told[0].id, time.time() + 60, 500, "no")
    outbox.sent(store, told[1].id, 200)
    assert outbox.due(store, time.time()) == []
    [late] = outbox.due(store, time.time() + 61)
    assert (late.id, late.tries, late.body, late.status) == (told[0].id, 1, "{}", 500)
    outbox.give_up(store, late.id, 410, "gone")
    with pytest.raises(Wrong, match="no delivery"):
        outbox.replay(store.of("b"), late.id)
    assert outbox.replay(store.of("a"), late.id).not_before == 0 and len(outbox.due(store, time.time())) == 1
