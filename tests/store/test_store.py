"""The store: what it hands out, what it refuses, and that a crash leaves it as it was."""

import sqlite3
import subprocess
import sys

import pytest
from sqlalchemy import inspect, text

from remembrandt.settings import Wrong
from remembrandt.store import schema
from remembrandt.store.connect import alembic_config, journal, writing
from remembrandt.store.rows import Concept, Model
from remembrandt.store.store import FILE, Store, Taken, new_id
from tests.homes import environment

MINE = Model("", "mine", "private_meta", "gated", {"digest": "d"})


def alive(worker):
    return worker == "living"


def dead(worker):
    return False


def entered(store, word="brc", model=MINE, alive=dead):
    return store.enter(new_id(), "finetune", model, lambda used: (word, {}), alive)


def taught(store, word="brc", **rest):
    job = store.claim(entered(store, word, **rest).id, "living", dead)
    key = new_id()
    concept = Concept(key, job.model, word, None, "dog", "oft", f"models/mine/{key}", job.id, 0)
    return store.publish(
        job, concept, {"digest": "d"}, {"retention": {"published": True}, "steps": 9}
    )


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "home", create=True)


def test_reading_makes_nothing(tmp_path):
    empty = Store(tmp_path / "home")
    assert empty.models() == [] and empty.jobs() == [] and empty.model("mine") is None
    assert empty.families() == {} and list(tmp_path.iterdir()) == []


def test_migrations_make_the_schema_and_take_it_away(store):
    from alembic import command
    from alembic.script import ScriptDirectory

    found = inspect(store.engine)
    for table in schema.METADATA.sorted_tables:
        columns = [
            (c["name"], str(c["type"]), c["nullable"]) for c in found.get_columns(table.name)
        ]
        assert columns == [(c.name, str(c.type), c.nullable) for c in table.columns]
        keys = found.get_pk_constraint(table.name)["constrained_columns"]
        assert keys == [c.name for c in table.primary_key]
        indices = {tuple(i["column_names"]) for i in found.get_indexes(table.name)}
        assert {(c.name,) for c in table.columns if c.index} <= indices
    config = alembic_config()
    assert ScriptDirectory.from_config(config).get_heads() == [schema.HEAD]
    with writing(store.engine) as connection:
        config.attributes["connection"] = connection
        command.downgrade(config, "base")
        command.upgrade(config, "head")
    taught(store)


def test_a_safe_journal(store):
    assert journal((3, 40, 1)) == "TRUNCATE" and journal((3, 51, 3)) == "WAL"
    with store.engine.connect() as connection:
        mode = connection.execute(text("PRAGMA journal_mode")).scalar()
    assert mode == journal().lower()


def test_a_writer_holds_the_lock_from_its_start(store, tmp_path):
    other = sqlite3.connect(tmp_path / "home" / FILE, timeout=0, isolation_level=None)
    with writing(store.engine), pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("BEGIN IMMEDIATE")
    other.close()


@pytest.mark.parametrize("content", [b"", b"this is not a database, it is a letter" * 40])
def test_a_strange_file_is_refused(tmp_path, content):
    (tmp_path / FILE).write_bytes(content)
    if not content:
        assert Store(tmp_path).models() == []  # an empty file is an empty database
        return
    with pytest.raises(Wrong, match="not a database"):
        Store(tmp_path)


def test_a_newer_home_is_refused(store, tmp_path):
    with writing(store.engine) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(Wrong, match="newer"):
        Store(tmp_path / "home")


def test_a_home_that_is_a_file(tmp_path):
    (tmp_path / "home").write_text("")
    with pytest.raises(Wrong, match="home"):
        Store(tmp_path / "home", create=True)


def test_an_untaught_model_is_not_listed(store):
    entered(store)
    assert store.models() == [] and store.model("mine").version == 0
    assert taught(store, "krx")["version"] == 1
    assert [m.version for m in store.models()] == [1]


def test_versions_grow_by_a_concept(store):
    taught(store, "brc")
    taught(store, "krx", model=store.model("mine"))
    mine = store.model("mine")
    assert [c.identifier for c in store.concepts(mine)] == ["brc", "krx"]
    assert [len(v.concepts) for v in store.versions(mine.id)] == [1, 2]
    assert [c.lesson for c in store.concepts(mine)] == [1, 2]


def test_an_identifier_is_handed_out_once(store):
    job = entered(store)
    store.finish(store.claim(job.id, "living", dead), "failed", error="no")
    assert store.used(store.model("mine").id) == {"brc"}
    with pytest.raises(Exception, match="UNIQUE"):
        entered(store)
    assert len(store.jobs()) == 1  # and what failed left no job


def test_a_refusal_undoes_everything(store):
    def refuse(used):
        raise Wrong("no")

    with pytest.raises(Wrong):
        store.enter("j", "finetune", MINE, refuse, dead)
    assert store.model("mine") is None and store.jobs() == []


def test_one_lesson_at_a_time(store):
    first = store.claim(entered(store).id, "living", alive)
    with pytest.raises(Wrong, match=first.id):
        entered(store, "krx", alive=alive)
    second = entered(store, "krx", alive=dead)  # its process is gone
    assert store.job(first.id).state == "interrupted"
    store.claim(second.id, "living", alive)
    with pytest.raises(Wrong, match=second.id):
        store.claim(first.id, "living", alive)


def test_only_the_last_claim_writes(store):
    first = store.claim(entered(store).id, "gone", alive)
    again = store.claim(first.id, "living", alive)
    assert again.attempt == 2 and again.worker == "living"
    with pytest.raises(Taken):
        store.tell(first, {"stage": "teaching", "step": 1, "total": 2})
    with pytest.raises(Taken):
        store.finish(first, "failed")
    store.tell(again, {"stage": "teaching", "step": 1, "total": 2, "loss": 0.5})
    told = store.job(first.id)
    assert (told.stage, told.step, told.total, told.loss) == ("teaching", 1, 2, 0.5)
    assert [e.kind for e in store.events(first.id)] == ["running", "running", "progress"]
    assert [e.seq for e in store.events(first.id, after=1)] == [2, 3] and told.seq == 3


def test_a_lesson_begun_before_another_is_published_after_it(store):
    first = store.claim(entered(store).id, "gone", alive)
    taught(store, "krx")
    key = new_id()
    concept = Concept(key, first.model, "brc", None, "dog", "oft", "f", first.id, 0)
    with pytest.raises(Wrong, match="changed"):
        store.publish(first, concept, {"digest": "another"}, {"retention": {}, "steps": 9})
    with pytest.raises(Wrong, match="changed"):
        store.publish(first, concept, {"digest": "d"}, {"retention": {}, "steps": 9}, weights="w")
    resumed = store.claim(first.id, "living", alive)
    assert (
        store.publish(resumed, concept, {"digest": "d"}, {"retention": {}, "steps": 9})["version"]
        == 2
    )


@pytest.mark.parametrize("state", ["running", "succeeded", "canceled"])
def test_what_cannot_be_resumed(store, state):
    job = store.claim(entered(store).id, "living", alive)
    if state != "running":
        store.finish(job, state)
    with pytest.raises(Wrong, match=state):
        store.claim(job.id, "living", alive)
    with pytest.raises(Wrong, match="there is no job"):
        store.claim("nowhere", "living", alive)


def test_cancel(store):
    job = store.claim(entered(store).id, "living", alive)
    with pytest.raises(Wrong, match="foreground"):
        store.cancel(job.id, alive)
    assert store.cancel(job.id, dead).state == "canceled"
    with pytest.raises(Wrong, match="nothing to cancel"):
        store.cancel(job.id, dead)


def test_families(store):
    store.add_family("sd15", "/here")
    store.add_family("sd15", "/there")
    assert store.families() == {"sd15": "/there"}


def test_no_torch():
    code = "import sys, remembrandt.store.store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], env=environment()).returncode == 0


def publish(store, job, word, name=None, category="dog", **rest):
    concept = Concept(new_id(), job.model, word, name, category, "oft", "f", job.id, 0)
    return store.publish(job, concept, {"digest": "d"}, {"retention": {}, "steps": 9}, **rest)


def test_moved_weights_are_published_on_those_they_began_with(store):
    first = store.claim(entered(store).id, "living", dead)
    assert publish(store, first, "brc", weights="one", since=0)["version"] == 1
    second = store.claim(entered(store, "krx", store.model("mine")).id, "living", dead)
    with pytest.raises(Wrong, match="changed"):
        publish(store, second, "krx", weights="two", since=0)
    assert publish(store, second, "krx", weights="two", since=1)["version"] == 2


@pytest.mark.parametrize(
    ("word", "name", "category"),
    [("krx", "rex", "cat"), ("rex", None, "cat"), ("krx", "dog", "cat"), ("krx", "sam", "big rex"), ("brc", None, "x")],
)
def test_what_calls_a_concept_up_is_asked_again(store, word, name, category):
    """Two lessons were entered while neither was published."""
    first, second = (store.claim(entered(store, w).id, "gone", dead) for w in ("one", "two"))
    publish(store, first, "brc", "rex")
    second = store.claim(second.id, "living", dead)
    with pytest.raises(Wrong, match=r"concepts rename brc.*jobs resume"):
        publish(store, second, word, name, category)
    assert store.model("mine").version == 1
    assert publish(store, second, "krx", "briscoe", category.replace("rex", "cat"))["version"] == 2


def test_a_private_model_stays_one_concept(store):
    private = Model("", "own", "private", "gated", {"digest": "d"})
    first, second = (store.claim(entered(store, w, private).id, "gone", dead) for w in ("one", "two"))
    publish(store, first, "one")
    second = store.claim(second.id, "living", dead)
    with pytest.raises(Wrong, match="private"):
        publish(store, second, "two")


HANDING = """
import sys
from pathlib import Path
from remembrandt.store.rows import Model
from remembrandt.store.store import Store, new_id
store, words = Store(Path(sys.argv[1])), ["w%03d" % k for k in range(200)]
free = lambda used: next(w for w in words if w not in used)
for _ in range(6):
    store.enter(new_id(), "finetune", Model("", "mine", "meta", "gated", {}), lambda used: (free(used), {}), bool)
"""


def test_concurrent_lessons_never_share_an_identifier(store, tmp_path):
    """Four processes hand out words at once; a failed lesson's stays taken."""
    failed = store.claim(entered(store, "w000").id, "living", dead)
    store.finish(failed, "failed", error="no")
    call = [sys.executable, "-c", HANDING, str(tmp_path / "home")]
    running = [subprocess.Popen(call, env=environment()) for _ in range(4)]
    assert [process.wait(60) for process in running] == [0] * 4
    assert store.used(store.model("mine").id) == {f"w{k:03d}" for k in range(25)} and len(store.jobs()) == 25
