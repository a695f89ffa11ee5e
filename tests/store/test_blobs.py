"""Content: whole or not there, once, within a quota, and gone when nobody holds it."""

import io
import os
import subprocess
import sys
import time

import pytest

from remembrandt.settings import Full, Missing
from remembrandt.store import blobs, paging
from remembrandt.store.store import Store
from tests.homes import environment


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def store(home):
    return Store(home, create=True)


def content(home):
    return sorted(p for p in (home / "blobs").rglob("*") if p.is_file())


def test_the_same_content_is_stored_once(store, home):
    a, b = store.of("a"), store.of("b")
    first = blobs.put(a, home, b"photo" * 1000, "dog.png", "image/png")
    second = blobs.put(b, home, io.BytesIO(b"photo" * 1000), "cat.png", "image/png")
    assert first.sha == second.sha and first.id != second.id and len(content(home)) == 1
    found, place = blobs.get(a, home, first.id)
    assert found == first and place.read_bytes() == b"photo" * 1000
    blobs.drop(a, first.id)
    assert blobs.sweep(store, home, grace=0) == 0 and blobs.get(b, home, second.id)
    with pytest.raises(Missing):
        blobs.get(a, home, first.id)
    blobs.drop(b, second.id)
    assert blobs.sweep(store, home, grace=3600) == 0  # somebody may be about to use it
    assert blobs.sweep(store, home, grace=0) == 5000 and content(home) == []


def test_a_quota_counts_uploads_and_pictures_of_one_user(store, home):
    a = store.of("a")
    blobs.put(a, home, b"x" * 60, "a", "text/plain", quota=100)
    blobs.put(a, home, b"x" * 60, "the same again", "text/plain", quota=100)  # takes no more room
    with pytest.raises(Full):
        blobs.add_image(a, home, b"y" * 60, {}, quota=100)
    with pytest.raises(Full):
        blobs.put(a, home, b"z" * 101, "b", "text/plain", quota=100)
    blobs.put(store.of("b"), home, b"y" * 60, "c", "text/plain", quota=100)
    assert blobs.used(a) == 60 and len(blobs.uploads(a)) == 2 and paging.images(a, None, 50) == []
    assert len(content(home)) == 2  # what was refused left nothing


def test_damage_is_told(store, home):
    kept = blobs.put(store, home, b"photo", "dog.png", "image/png")
    [place] = content(home)
    place.write_bytes(b"phot0")
    with pytest.raises(blobs.Damaged, match="changed"):
        blobs.get(store, home, kept.id)
    place.unlink()
    with pytest.raises(blobs.Damaged, match="gone"):
        blobs.get(store, home, kept.id)


def test_a_full_disk_is_refused_before_it_hurts(store, home, monkeypatch):
    monkeypatch.setattr(blobs, "RESERVE", 2**62)
    with pytest.raises(Full, match="disk"):
        blobs.put(store, home, b"photo", "dog.png", "image/png")
    assert content(home) == [] and blobs.uploads(store) == []


def test_uploads_expire(store, home):
    kept = blobs.put(store, home, b"photo", "dog.png", "image/png", expires=time.time() - 1)
    with pytest.raises(Missing):
        blobs.get(store, home, kept.id)
    assert blobs.sweep(store, home, grace=0) == 5


def test_pages_of_pictures(store, home):
    made = [blobs.add_image(store, home, b"%d" % k, {"seed": k}).id for k in range(5)]
    first = paging.images(store, None, 2)
    second = paging.images(store, first[-1].id, 2)
    last = paging.images(store, second[-1].id, 2)
    assert [i.id for i in (*first, *second, *last)] == made[::-1]


DYING = """
import os, sys
from pathlib import Path
from remembrandt.store import blobs, paging
from remembrandt.store.store import Store
home = Path(sys.argv[1])
whole = os.replace
os.replace = lambda *paths: (sys.argv[2] == "after" and whole(*paths), os._exit(9))
blobs.put(Store(home), home, b"photo", "dog.png", "image/png")
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_while_it_puts(store, home, when):
    done = subprocess.run([sys.executable, "-c", DYING, str(home), when], env=environment())
    assert done.returncode == 9 and blobs.uploads(store) == []
    assert len(content(home)) == 1  # a draft, or a file that no row knows
    os.utime(content(home)[0], (0, 0))
    assert blobs.sweep(store, home) == 5 and content(home) == []
    assert blobs.get(store, home, blobs.put(store, home, b"photo", "dog.png", "image/png").id)
