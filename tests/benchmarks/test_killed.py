"""What the benchmark of kills finds in a home: nothing in a sound one, and whatever was done to it."""

import sqlite3
from io import BytesIO

import pytest
from PIL import Image

from benchmarks import killed, served
from remembrandt.store import blobs, queue
from remembrandt.store.store import FILE, Store

PNG = BytesIO()
Image.new("RGB", (8, 8)).save(PNG, "PNG")


@pytest.fixture
def home(tmp_path, tiny):
    """A user with a lesson and a picture, both done."""
    [person] = served.people(tmp_path, 1, tiny)
    store = Store(tmp_path).of(person.id)
    job = painted(store, tmp_path, "a dog 1")
    deeds = [{"job": store.jobs()[0].id}, {"job": job.id, "pictures": 1}]
    return tmp_path, store, deeds


def painted(store, home, prompt, state="succeeded"):
    store.queue("generate", {"requests": [{"prompt": prompt}]})
    job = queue.claim(store, ("generate",), "here", lambda worker: True)
    blobs.add_image(store, home, PNG.getvalue(), {}, job=job.id)
    store.finish(job, state)
    return job


def faults(home, store, deeds):
    return {name: n for name, n in killed.verdict(home, [store.owner], deeds)["faults"].items() if n}


def test_a_sound_home_has_no_faults(home):
    assert faults(*home) == {}
    told = killed.verdict(home[0], [home[1].owner], home[2])
    assert told["acknowledged"] == 2 and told["jobs"] == {"finetune": 1, "generate": 1}


def test_what_is_wrong_is_found(home):
    folder, store, deeds = home
    assert faults(folder, store, [*deeds, {"job": "gone", "pictures": 1}]) == {"lost": 1}
    assert faults(folder, store, [deeds[0], {**deeds[1], "pictures": 2}]) == {"incomplete": 1}
    again = painted(store, folder, "a dog 1")
    assert faults(*home) == {"done twice": 1}
    failed = painted(store, folder, "a dog 2", "failed")
    found = faults(folder, store, [*deeds, {"job": again.id, "pictures": 1}, {"job": failed.id, "pictures": 1}])
    assert found == {"done twice": 1, "not succeeded": 1}
    blobs.add_image(store, folder, PNG.getvalue(), {}, job=again.id)
    assert faults(folder, store, [{"job": again.id, "pictures": 1}]) == {"done twice": 2}
    store.queue("generate", {"requests": [{"prompt": "a dog 3"}]})
    assert faults(*home) == {"done twice": 1, "not ended": 1, "events wrong": 1}
    with sqlite3.connect(folder / FILE) as database:
        database.execute("DELETE FROM events WHERE job = ? AND seq = 1", [failed.id])
    assert faults(*home)["events wrong"] == 2
