"""The worker: children that die, servers that die, jobs that nobody wants; nothing lost, nothing done twice."""

import os
import random
import signal
import time

import pytest

from remembrandt.jobs import child, trainer
from remembrandt.jobs.files import Files, Home
from remembrandt.jobs.runner import Stopped
from remembrandt.store import queue
from remembrandt.store.store import Store
from remembrandt.training import checkpoint
from tests.homes import SHORT, logged, photos
from tests.serving.working import ask, ended, forking, on, until

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def shots(tmp_path):
    return photos(tmp_path / "dog", 1)


@pytest.fixture
def works(home):
    """`works(*before)` starts a worker in this process; it is stopped in the end."""
    running = []

    def start(*before, **settings):
        spawn = forking(*before)
        running.append(on(home, **settings).worker(spawn=spawn))
        running[-1].start()
        return running[-1], spawn

    yield start
    for worker in running:
        worker.stop()


def once(service, job) -> None:
    """The job succeeded and is one version of one model; its events have no gaps."""
    store = service._store()
    held = store.model(job["model"])
    assert job["state"] == "succeeded", job
    assert [v.job for v in store.versions(held.id)].count(job["id"]) == 1
    told = store.events(job["id"])
    assert [e.seq for e in told] == list(range(1, len(told) + 1))
    assert [e.kind for e in told].count("succeeded") == 1
    until(lambda: not (Home(service.settings.home).job(job["id"]) / "checkpoints").exists())


def torn():
    checkpoint._sync = die  # the tensors lie there, the manifest does not


def at_the_end():
    from remembrandt.jobs import work

    done = work.WORK["finetune"]
    work.WORK["finetune"] = lambda *given: (done(*given), die())


def test_children_die_and_the_lesson_goes_on(home, shots, tiny_folder, works, monkeypatch):
    """At named moments: before the first event, in the midst of a checkpoint, after the work; then it is published."""
    monkeypatch.setattr(queue, "WAITS", (0,))
    service = on(home)
    job = ask(service, shots, tiny_folder)
    assert job["state"] == "queued" and job["position"] == 1
    _, spawn = works(die, torn, at_the_end)
    job = ended(service, job["id"])
    once(service, job)
    row = service._store().job(job["id"])
    assert row.deaths == 3 and row.attempt == 4 and row.fruitless < queue.MOST
    assert len(spawn.born) == 3  # what was found lay there already: it was only published
    assert "SIGKILL" in next(e.data["error"] for e in service._store().events(job["id"]) if e.kind == "died")


def serving(home, *patches):
    """A server in a process of its own; its children are forked, too."""
    pid = os.fork()
    if not pid:
        try:
            for patch in patches:
                patch()
            on(home).worker(spawn=forking()).start()
            time.sleep(600)
        finally:
            os._exit(1)
    return pid


def killed(pid, wanted=signal.SIGKILL) -> None:
    """It kills itself, or is killed."""
    _, status = os.waitpid(pid, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == wanted


def dies_claiming():
    claim = queue.claim
    queue.claim = lambda *given: claim(*given) and die()


def dies_publishing():
    Store.publish = die


def test_the_server_dies_and_its_lesson_goes_on(home, shots, tiny_folder, works):
    """At named moments and at a random one; its child leaves a checkpoint and goes; nothing counts as a death."""
    service, seed = on(home), time.time_ns() % 2**32
    print(f"seed {seed}")
    job = ask(service, shots, tiny_folder, steps=80, options={**SHORT, "checkpoint_every": 20})
    folder = Home(home).job(job["id"])
    killed(serving(home, dies_claiming))
    assert service.job(job["id"])["state"] == "interrupted"
    pid = serving(home)
    until(lambda: service.job(job["id"])["step"] > 0 and service.job(job["id"])["stage"] == "teaching")
    time.sleep(random.Random(seed).random())
    os.kill(pid, signal.SIGKILL)
    killed(pid)
    reached = until(lambda: child.reached(folder))
    killed(serving(home, dies_publishing))
    assert child.reached(folder) >= reached and service.models()[0]["version"] == 0
    assert len(service.models()) == 1  # the base: nothing was published
    works()
    job = ended(service, job["id"])
    once(service, job)
    assert service._store().job(job["id"]).deaths == 0


def test_stopped_and_cancelled(home, shots, tiny_folder, works, monkeypatch):
    """SIGTERM and the end of the server leave a checkpoint within ten seconds; a cancellation takes two."""
    monkeypatch.setattr(queue, "WAITS", (0,))
    service = on(home)
    key = ask(service, shots, tiny_folder, steps=100_000, options={**SHORT, "checkpoint_every": 1000})["id"]
    folder = Home(home).job(key)

    def teaching():
        told = service.job(key)
        return told["state"] == "running" and told["stage"] == "teaching" and told["step"]

    worker, spawn = works()
    until(teaching)
    began = time.monotonic()
    os.kill(spawn.born[0].pid, signal.SIGTERM)
    spawn.born[0].wait()
    assert time.monotonic() - began < trainer.GRACE
    assert until(lambda: service._store().job(key).reached)

    until(lambda: len(spawn.born) == 2 and teaching())
    began = time.monotonic()
    worker.stop()
    assert time.monotonic() - began < child.GRACE and not worker.alive
    assert service.job(key)["state"] == "interrupted" and spawn.born[1].wait() == 0
    assert service._store().job(key).deaths == 1  # a stop is none

    works()
    until(teaching)
    began = time.monotonic()
    service.cancel(key)
    until(lambda: service.job(key)["state"] == "canceled")
    assert time.monotonic() - began < 2
    until(lambda: not folder.exists())
    assert len(service.models()) == 1 and service.job(key)["position"] is None


def test_a_poisoned_job_is_given_up(home, works, monkeypatch):
    monkeypatch.setattr(queue, "WAITS", (0,))
    service = on(home)
    asked = {"model": "mine", "to": "diffusers", "concept": None, "rank": None}
    job = service._store(create=True).queue("export", asked)
    _, spawn = works(die, die, die)
    told = ended(service, job.id)
    assert told["state"] == "failed" and "SIGKILL" in told["error"] and len(spawn.born) == 3


def test_a_fresh_process_says_what_is_wrong(home):
    """As a server starts it: nothing of this process is in it."""
    service = on(home)
    asked = {"model": "nobody", "to": "diffusers", "concept": None, "rank": None}
    job = service._store(create=True).queue("export", asked)
    worker = service.worker()
    worker.start()
    told = ended(service, job.id)
    worker.stop()
    assert told["state"] == "failed" and "no model 'nobody'" in told["error"]


def test_lines_of_the_log_know_their_job_and_user(home, works):
    service = on(home)
    asked = {"model": "nobody", "to": "diffusers", "concept": None, "rank": None}
    job = service._store(create=True).queue("export", asked)
    with logged() as lines:
        works()
        said = until(lambda: len(lines()) > 1 and lines())
    assert [line["message"].partition(" after ")[0] for line in said] == ["export begins, attempt 1", "export failed"]
    assert "no model 'nobody'" in said[1]["message"] and [s["level"] for s in said] == ["info", "warning"]
    assert {(line["job"], line["user"], line["logger"]) for line in said} == {
        (job.id, "local", "remembrandt.jobs.worker")
    }


def test_a_lease_that_was_lost_is_counted(home):
    service = on(home)
    worker, store = service.worker(), service._store(create=True)
    store.queue("export", {})
    held = queue.claim(store, ("export",), "here", lambda worker: True)
    queue.claim(store, ("export",), "there", lambda worker: False)  # it looked dead
    with logged() as lines:
        worker._stopped(held, Files(Home(home), held.id, None), Stopped("stopping"))
    assert worker.lost == 1 and "lease" in lines()[0]["message"] and lines()[0]["level"] == "warning"
