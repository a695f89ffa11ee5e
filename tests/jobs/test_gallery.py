"""Painting jobs between queue and painter: nobody is kept out, nothing is lost or done twice when the server stops."""

import threading
import time
from dataclasses import replace

import pytest
from sqlalchemy.exc import OperationalError

from remembrandt.jobs import gallery as galleries
from remembrandt.jobs.files import Home
from remembrandt.jobs.gallery import Failed, Gallery
from remembrandt.jobs.painting import Painter, Stopped
from remembrandt.settings import Wrong
from remembrandt.store import blobs, paging, queue, users
from remembrandt.store.store import Store
from tests.jobs.test_painting import asked


def opened(tiny, home) -> Gallery:
    store = Store(home, create=True)
    return Gallery(store, Home(home), Painter(lambda *where, own: replace(tiny), Home(home)))


def plain(tiny, **more):
    return {"requests": [{**asked(tiny, **more), "older": []}], "format": "png", "model": "mine"}


def test_jobs_outlive_a_server_and_a_newcomer_is_let_in(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(galleries, "CLAIMED", 4)
    store = Store(tmp_path, create=True)
    a, b = (users.add(store, name)[0].id for name in "ab")
    first = opened(tiny, tmp_path)
    many = [first.enter(a, plain(tiny, seed=k, steps=25)) for k in range(7)]
    while len(first._held) < 4:
        time.sleep(0.01)
    other = first.enter(b, plain(tiny, steps=1))
    assert other.future.result(60)[0]["seed"] == 0  # though four of a's were in hand
    assert len(first._held) <= 5 and not all(m.future.done() for m in many)
    first.close()
    left = [m for m in many if not isinstance(done(m), list)]
    assert left and all(isinstance(done(m), Stopped | type(None)) for m in left)
    second = opened(tiny, tmp_path)
    jobs = store.of(a).jobs()
    for _ in range(600):
        jobs = store.of(a).jobs()
        if all(j.state == "succeeded" for j in jobs):
            break
        time.sleep(0.1)
    second.close()
    assert [j.state for j in jobs] == ["succeeded"] * 7
    assert all(j.step == j.total > 0 for j in jobs)  # what is done is not told as half done
    rows = paging.images(store.of(a), None, 50)
    assert sorted(r.job for r in rows) == sorted(m.job.id for m in many)  # each once
    assert {r.job for r in paging.images(store.of(b), None, 50)} == {other.job.id}


def test_what_comes_while_it_stops_is_not_failed(tiny, tmp_path):
    """The painter goes home first; what was claimed in that moment is painted by the next server."""
    place = opened(tiny, tmp_path)
    place.painter.close()
    entered = place.enter("", plain(tiny))
    time.sleep(3 * galleries.LOOK)
    assert place.store.job(entered.job.id).state == "queued"
    claimed = queue.claim(place.store, ("generate",), "here", lambda worker: True)
    place._begin(galleries.Held(claimed))
    assert place.store.job(entered.job.id).state == "interrupted" and isinstance(done(entered), Stopped)
    place.close()


def done(entered):
    if not entered.future.done():
        return None
    return entered.future.exception() or entered.future.result()


def test_what_fails_says_why_and_what_is_canceled_ends(tiny, tmp_path):
    place = opened(tiny, tmp_path)
    try:
        wrong = place.enter("", plain(tiny, sampler="none"))
        with pytest.raises(Wrong, match="sampler"):
            wrong.future.result(60)
        job = place.store.job(wrong.job.id)
        assert job.state == "failed" and "sampler" in job.error
        gone = place.enter("", plain(tiny, steps=1000))
        while not place._held:
            time.sleep(0.01)
        place.store.cancel(gone.job.id, lambda worker: True)
        began = time.monotonic()
        with pytest.raises(Failed, match="canceled"):
            gone.future.result(60)
        assert time.monotonic() - began < 10 and place.store.job(gone.job.id).state == "canceled"
        assert place.painter.shelf.held() == 0 and not paging.images(place.store, None, 50)
    finally:
        place.close()


def test_pictures_of_a_job_are_kept_together_and_once(tiny, tmp_path, monkeypatch):
    store = Store(tmp_path, create=True)
    job = store.queue("generate", plain(tiny, n=2, steps=1))
    blobs.add_image(store, tmp_path, b"of an attempt that died", {"seed": 0}, job=job.id)
    place = opened(tiny, tmp_path)
    try:
        while store.job(job.id).state != "succeeded":
            time.sleep(0.05)
        assert [r.recipe["seed"] for r in blobs.images_of(store, job.id)] == [0, 1]
        monkeypatch.setattr(galleries, "quota", lambda user, settings: blobs.used(store) + 20_000)
        place.settings = True  # such that there is a quota
        full = place.enter("", plain(tiny, n=20, steps=1, seed=7))
        with pytest.raises(Wrong, match="more than"):
            full.future.result(60)
        assert not blobs.images_of(store, full.job.id)
    finally:
        place.close()


def test_a_fault_of_the_database_stops_nobody(tiny, tmp_path, monkeypatch):
    claim, faults = queue.claim, [OperationalError("BEGIN IMMEDIATE", {}, Exception("database is locked"))]

    def locked(*given):
        if faults:
            raise faults.pop()
        return claim(*given)

    monkeypatch.setattr(queue, "claim", locked)
    place = opened(tiny, tmp_path)
    try:
        assert place.enter("", plain(tiny, steps=1)).future.result(60) and not faults and place.alive
    finally:
        place.close()


def test_leases_are_kept_while_a_family_loads(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(galleries, "BEAT", 0.05)
    store, going = Store(tmp_path, create=True), threading.Event()

    def load(*where, own):
        assert going.wait(60)
        return replace(tiny)

    place = Gallery(store, Home(tmp_path), Painter(load, Home(tmp_path)))
    try:
        job = place.enter("", plain(tiny, steps=1)).job
        while not (first := store.job(job.id).heartbeat):
            time.sleep(0.01)
        for _ in range(200):
            if store.job(job.id).heartbeat > first:
                break
            time.sleep(0.05)
        assert store.job(job.id).heartbeat > first
    finally:
        going.set()
        place.close()
