"""Users: their tokens, and that user B sees nothing of user A's, whatever B asks."""

import sqlite3
from contextlib import suppress
from dataclasses import replace

import pytest

from remembrandt.settings import Denied, Missing, Wrong
from remembrandt.store import audit, blobs, lineage, outbox, paging, queue, remembering, users
from remembrandt.store.connect import alembic_config, writing
from remembrandt.store.rows import Concept, Model
from remembrandt.store.store import FILE, Store, new_id


def never(worker):
    return False


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


@pytest.fixture
def store(home):
    return Store(home, create=True)


def taught(store, name="mine", scope="private_meta", word="brc"):
    """A published lesson of the store's owner."""
    model = store.model(name) or Model("", name, scope, "gated", {"digest": "d", "name": "tiny"})
    job = store.enter(new_id(), "finetune", model, lambda used: (word, {"scope": scope}), never, priority=0)
    held = queue.claim(store, ("finetune",), "here", lambda worker: True)
    assert held.id == job.id
    concept = Concept(new_id(), job.model, word, None, "dog", "oft", f"models/{name}/{word}", job.id, 0, ["photo"])
    told = {"retention": {"published": True, "mean": 1.0}, "steps": 3}
    store.publish(held, concept, {"digest": "d", "name": "tiny"}, told)
    return job, concept


def test_tokens(store):
    ann, first = users.add(store, "ann")
    second = users.token(store, "ann", "laptop")
    assert users.user_of(store, first) == users.user_of(store, second) == ann and first.startswith("rmb_")
    assert users.user_of(store, "rmb_") is None and users.user_of(store, "") is None
    assert users.revoke(store, first) == 1 and users.user_of(store, first) is None
    assert users.user_of(store, second) == ann
    assert users.revoke(store, "ann") == 1 and users.user_of(store, second) is None
    assert users.revoke(store, "ann") == 0
    with pytest.raises(Missing):
        users.revoke(store, "rmb_unknown")
    with pytest.raises(Wrong, match="already"):
        users.add(store, "ann")
    with pytest.raises(Wrong, match="user name"):
        users.add(store, "a b")
    for quota in (-5, 0, 2**63):  # 0 would be everybody's, not none
        with pytest.raises(Wrong, match="quota"):
            users.add(store, "bob", quota=quota)
    assert [u.name for u in users.users(store)] == ["local", "ann"]
    assert users.secret(store, ann.id) == users.secret(store, ann.id) != users.secret(store, "")


def test_tokens_are_not_on_the_disk(store, home):
    _, token = users.add(store, "ann")
    assert token.encode() not in (home / FILE).read_bytes()


def test_b_sees_nothing_of_a(store, home):
    """Every query of the store, asked by B with A's ids."""
    a, b = store.of(users.add(store, "a")[0].id), store.of(users.add(store, "b")[0].id)
    job, concept = taught(a)
    held = a.model("mine")
    upload = blobs.put(a, home, b"photo", "dog.png", "image/png")
    image = blobs.add_image(a, home, b"picture", {"prompt": "a brc dog"})
    hook = {"url": "https://a.example", "events": ["canceled"]}
    a.cancel(a.queue("generate", {}, webhook=hook).id, never)
    remembering.remember(a, remembering.reserve(a, "key", "print").key, {"id": "x"})
    audit.note(a, "looked", held.id, {})
    lists = {
        "models": lambda s: s.models(),
        "jobs": lambda s: s.jobs(),
        "versions": lambda s: s.versions(held.id),
        "concepts": lambda s: s.concepts(held),
        "used": lambda s: s.used(held.id),
        "events": lambda s: s.events(job.id),
        "ancestry": lambda s: lineage.ancestry(s, held),
        "lessons": lambda s: lineage.lessons(s, held),
        "uploads": blobs.uploads,
        "images": lambda s: paging.images(s, None, 50),
        "bytes": blobs.used,
        "deliveries": outbox.deliveries,
        "audit": audit.lines,
    }
    rows = {
        "model": lambda s: s.model("mine"),
        "version": lambda s: s.version(held.id, 1),
        "job": lambda s: s.job(job.id),
        "upload": lambda s: blobs.get(s, home, upload.id),
        "image": lambda s: blobs.image(s, home, image.id),
    }
    for name, ask in {**lists, **rows}.items():
        assert ask(a), name  # else there would be nothing to hide
        with suppress(Missing):
            assert not ask(b), name
    changes = {
        "cancel": lambda s: s.cancel(job.id, never),
        "drop": lambda s: blobs.drop(s, upload.id),
        "drop image": lambda s: blobs.drop_image(s, image.id),
        "replay": lambda s: outbox.replay(s, outbox.deliveries(a)[0].id),
        "rollback": lambda s: lineage.rollback(s, held, never),
        "without": lambda s: lineage.without(s, held, concept, never),
        "erase": lambda s: lineage.erase(s, held, concept, never),
        "rename": lambda s: lineage.rename(s, held, "theirs", never),
        "call": lambda s: lineage.call(s, concept, "rex"),
        "delete": lambda s: lineage.drop(s, held, never),
    }
    for name, change in changes.items():
        with pytest.raises((Missing, Denied)):
            change(b)
            pytest.fail(name)
    assert remembering.reserve(b, "key", "other").answer is None  # the same key of another user
    assert len(a.concepts(a.model("mine"))) == 1
    b.enter(new_id(), "finetune", Model("", "mine", "private_meta", "gated", {}), lambda u: ("brc", {}), never)
    assert b.model("mine").id != held.id and b.used(b.model("mine").id) == {"brc"}


def test_a_shared_model_is_everyones_and_nobodys(store):
    a, b = store.of(users.add(store, "a")[0].id), store.of(users.add(store, "b")[0].id)
    job, concept = taught(a, "meta", "meta")
    assert [m.name for m in b.models()] == ["meta"] and b.concepts(b.model("meta")) == a.concepts(a.model("meta"))
    assert b.model("meta").owner == "" and b.job(job.id) is None and b.events(job.id) == []
    with pytest.raises(Denied, match="everyone's"):
        lineage.without(a, a.model("meta"), concept, never)
    [line] = audit.lines(store, b.model("meta").id)
    assert (line.owner, line.what, line.data["photos"]) == (a.owner, "lesson published", ["photo"])
    assert line.data["concept"] == "brc" and line.data["job"] == job.id and line.time > 0


def test_nothing_reaches_a_shared_model_past_the_gate(store):
    model = Model("", "meta", "meta", "gated", {"digest": "d"})
    job = store.enter(new_id(), "finetune", model, lambda used: ("brc", {"scope": "meta"}), never, priority=0)
    held = queue.claim(store, ("finetune",), "here", never)
    concept = Concept(new_id(), job.model, "brc", None, "dog", "oft", "f", job.id, 0)
    with pytest.raises(Wrong, match="everyone's"):
        store.publish(held, concept, {"digest": "d"}, {"retention": {"published": False}, "steps": 1})
    store.finish(held, "failed", error="cat would be lost")
    assert store.models() == []
    [line] = audit.lines(store)
    assert (line.what, line.data["why"]) == ("lesson failed", "cat would be lost")


def test_idempotency(store, monkeypatch):
    first = remembering.reserve(store, "key", "print")
    with pytest.raises(remembering.InFlight):
        remembering.reserve(store, "key", "print")
    with pytest.raises(remembering.Differs):
        remembering.reserve(store, "key", "other")
    monkeypatch.setattr(remembering, "PATIENCE", -1)  # whoever reserved it has died: the next does it under the same id
    again = remembering.reserve(store, "key", "print")
    assert again.id == first.id and again.answer is None
    remembering.remember(store, "key", {"id": first.id})
    assert remembering.reserve(store, "key", "print").answer == {"id": first.id}
    remembering.release(store, "key")
    assert remembering.reserve(store, "key", "other").id != first.id


def test_a_home_of_before_migrates(store, home):
    """A home with rows of schema 0002: its owner is the local user."""
    from alembic import command

    job, concept = taught(store)
    store.finish(replace(store.job(job.id)), "succeeded", result={"version": 1})
    config = alembic_config()
    with writing(store.engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "0002")
    store.close()
    old = sqlite3.connect(home / FILE)
    assert "priority" not in [row[1] for row in old.execute("PRAGMA table_info(jobs)")]
    old.close()
    again = Store(home)
    assert [c.id for c in again.concepts(again.model("mine"))] == [concept.id]
    assert again.job(job.id).result == {"version": 1} and again.job(job.id).priority is None
    assert users.user(again, "").name == "local"
