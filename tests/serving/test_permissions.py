"""Who may do what; that a user who leaves takes everything along; photos that are kept for so long and no longer."""

import json
import os
import time

import pytest
from typer.testing import CliRunner

from remembrandt import display
from remembrandt.cli import app
from remembrandt.jobs import expiring, leaving, painters
from remembrandt.jobs.entering import Ticket
from remembrandt.jobs.files import Home, address
from remembrandt.settings import Denied, Missing, Settings, Wrong
from remembrandt.store import audit, blobs, queue, users
from remembrandt.store.rows import Concept, Model
from remembrandt.store.store import FILE, new_id
from tests.homes import photos
from tests.serving.working import ask, on

HERE = {"device": "cpu", "precision": "fp32"}


def never(worker):
    return False


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


@pytest.fixture
def service(home):
    made = on(home.path)
    made._store(create=True)
    return made


def joined(service, name, scopes=None):
    """A new user's own service."""
    return service.of(service.add_user(name, scopes)["id"])


def photo(home, number) -> str:
    """A photo in the home, by its content's address."""
    data = b"photo %d" % number
    home.photos.mkdir(parents=True, exist_ok=True)
    (home.photos / f"{address(data)}.png").write_bytes(data)
    return address(data)


def taught(service, home, word, shots, scope="private_meta", memory="gated"):
    """A published lesson with its files, as a worker leaves them."""
    store, name = service._store(), {"meta": "meta"}.get(scope, "mine")
    model = store.model(name) or Model("", name, scope, memory, {"digest": "d", "name": "tiny", "folder": None})
    asked = {"scope": scope, "model": name, "concept": {"identifier": word}}
    job = store.enter(new_id(), "finetune", model, lambda used: (word, asked), never, priority=0)
    held = queue.claim(store, ("finetune",), "here", lambda worker: True)
    assert held.id == job.id
    concept = Concept(new_id(), job.model, word, None, "dog", "oft", f"models/{name}/{word}", job.id, 0, shots)
    folder = home.path / concept.folder
    folder.mkdir(parents=True)
    (folder / "adapter.safetensors").write_bytes(b"weights of " + word.encode())
    weights = concept.folder if memory == "replay" else None
    told = {"retention": {"published": True, "mean": 1.0}, "steps": 3}
    since = model.version
    store.publish(held, concept, {"digest": "d", "name": "tiny", "folder": None}, told, weights, since)
    return concept


def test_scopes(service, home):
    ann = joined(service, "ann", ["private", "meta"])
    bob = joined(service, "bob")
    taught(bob, home, "brc", [], scope="meta")
    assert painters.painter(ann._store(), "meta")["older"][0]["identifier"] == "brc"
    with pytest.raises(Denied, match="pretrained"):
        painters.painter(ann._store(), "pretrained")
    taught(bob, home, "krx", [])
    assert painters.painter(bob._store(), "mine")["version"] == 1
    assert painters.painter(bob._store(), "pretrained")["version"] == 0
    for path in ("/etc", str(home.path), "owner/name"):  # nobody's disk is named over the network
        with pytest.raises(Missing):
            painters.painter(bob._store(), path)
    with pytest.raises(Denied):
        bob.clean()


def test_who_may_teach_everyones_model(service, home, tiny_folder, tmp_path):
    service.add_family("tiny", str(tiny_folder))
    service.add_user("ann")
    ann = users.user(service._store(), "ann")
    some = on(home.path, ann.id, meta_teachers=("bob",))
    shots = photos(tmp_path / "dog", 1)
    with pytest.raises(Denied, match="everyone's"):
        ask(some, shots, "tiny", scope="meta")
    assert some.jobs() == [] and not list(home.path.glob("jobs/*"))
    with pytest.raises(Missing, match="no base"):
        ask(some, shots, tiny_folder)
    assert ann.consent is None
    job = ask(on(home.path, ann.id, meta_teachers=("ann",)), shots, "tiny", scope="meta")
    assert (job["state"], job["model"], job["position"]) == ("queued", "meta", 1)
    assert users.user(service._store(), "ann").consent
    assert [line.what for line in audit.lines(service._store())] == ["consent"]
    other = joined(service, "bob")
    assert other.jobs() == [] and service.jobs() == []
    for ask_for in (other.job, other.cancel, service.job):
        with pytest.raises(Missing):
            ask_for(job["id"])


def test_long_work_that_waits_is_a_job(service, home):
    ann = joined(service, "ann")
    taught(ann, home, "brc", [])
    later = ann.later(Ticket(priority=3, key="k" * 20))
    found = later.retention("mine")
    assert (found["id"], found["kind"], found["state"]) == ("k" * 20, "evaluate", "queued")
    assert ann.later(Ticket()).export("mine", "lora", "")["kind"] == "export"
    with pytest.raises(Wrong, match="no export"):
        ann.later(Ticket()).export("mine", "tar", "")
    assert [job["position"] for job in ann.jobs() if job["state"] == "queued"] == [1, 2]


def test_who_leaves_takes_everything_along(service, home):
    ann, bob = joined(service, "ann"), joined(service, "bob")
    own, both = photo(home, 1), photo(home, 2)
    mine = taught(ann, home, "brc", [own, both])
    shared = taught(ann, home, "krx", [photo(home, 3)], scope="meta")
    kept = taught(bob, home, "sks", [both], scope="meta")
    store, token = ann._store(), service.add_token("ann")["token"]
    blobs.put(store, home.path, b"upload", "dog.png", "image/png")
    blobs.add_image(store, home.path, b"picture", {"prompt": "whispered"})
    waiting = store.queue("generate", {"prompt": "whispered"})
    home.job(waiting.id).mkdir(parents=True)

    assert b"whispered" in (home.path / FILE).read_bytes()
    receipt = service.leave("ann")
    assert receipt["user"] == "ann" and receipt["models"] == ["mine"] and receipt["concepts"] == ["brc", "krx"]
    assert (receipt["photos"], receipt["pictures"], receipt["uploads"], receipt["rebuilds"]) == (2, 1, 1, [])
    assert users.user_of(store, token) is None and not home.job(waiting.id).exists()
    assert not any((home.path / c.folder).exists() for c in (mine, shared)) and (home.path / kept.folder).exists()
    assert [p.stem for p in home.photos.glob("*")] == [both]  # bob's too
    assert [c.identifier for c in bob._store().concepts(bob._store().model("meta"))] == ["sks"]
    assert not [p for p in (home.path / "blobs").rglob("*") if p.is_file()]
    assert b"whispered" not in (home.path / FILE).read_bytes()
    assert audit.lines(service._store())[-1].what == "left"
    with pytest.raises(Missing):
        service.leave("ann")
    with pytest.raises(Wrong, match="local"):
        service.leave("local")
    assert service.add_user("ann")["user"] == "ann"  # another one


def test_shared_weights_are_rebuilt_without_who_left(service, home):
    ann = joined(service, "ann")
    gone = taught(ann, home, "brc", [photo(home, 1)], scope="meta", memory="replay")
    taught(joined(service, "bob"), home, "krx", [photo(home, 2)], scope="meta", memory="replay")
    [rebuild] = service.leave("ann")["rebuilds"]
    job = service._store().job(rebuild["job"])
    assert (job.kind, job.owner, job.state) == ("forget", "", "queued")
    assert job.request == {"model": "meta", "concept": gone.id, "erase": True, **HERE}
    assert len(list(home.photos.glob("*"))) == 1


def test_photos_are_kept_for_so_long(service, home, monkeypatch):
    store = service._store()
    old, new = photo(home, 1), photo(home, 2)
    concept = taught(service, home, "brc", [old])
    assert expiring.sweep(store, home) == 0 and len(list(home.photos.glob("*"))) == 2
    assert expiring.sweep(store, home, 1) == 0
    later = time.time() + 2 * 86400
    os.utime(home.photos / f"{new}.png", (later, later))
    monkeypatch.setattr(time, "time", lambda: later)
    assert expiring.sweep(store, home, 1) > 0
    assert [p.stem for p in home.photos.glob("*")] == [new]
    assert store.concepts(store.model("mine")) == [store.concepts(store.model("mine"))[0]] and concept.photos == [old]


def test_the_audit_and_everyones_jobs_are_the_homes_own_users(service, home):
    ann, bob = joined(service, "ann"), joined(service, "bob")
    concept = taught(ann, home, "brc", ["photo"], scope="meta")
    users.consent(bob._store(), bob.owner, "affirmed")
    told = [(line["user"], line["what"], line["model"]) for line in service.audit()]
    assert told == [("ann", "lesson published", "meta"), ("bob", "consent", None)]
    [line] = service.audit("meta")
    assert line["data"]["photos"] == ["photo"] and line["data"]["concept"] == "brc" and line["time"]
    assert bob.audit("meta") == [] and len(bob.audit()) == len(ann.audit("meta")) == 1
    with pytest.raises(Missing):
        service.audit("nosuch")
    assert service.jobs() == [] and [(j["id"], j["user"]) for j in service.jobs(True)] == [(concept.job, "ann")]
    with pytest.raises(Denied):
        bob.jobs(True)
    for line, said in (("users audit --model meta", "lesson published"), ("jobs list --all", "ann")):
        done = CliRunner().invoke(app, [*line.split(), "--home", str(home.path), "--json"])
        assert done.exit_code == 0 and said in done.stdout


def test_a_replay_lesson_says_that_its_photos_will_go(service, home, tiny_folder, tmp_path):
    shots = photos(tmp_path / "dog", 1)
    for memory, told in (("replay", 1), ("gated", 0)):
        job = ask(on(home.path, photo_days=30), shots, tiny_folder, memory=memory, model=memory)
        said = [w for w in service.job(job["id"])["request"]["warnings"] if "30 days" in w and "replay" in w]
        assert len(said) == told


def test_what_a_killed_server_left_of_a_lesson_goes(service, home):
    """It died between publishing and tidying; of a lesson that waits nothing goes."""
    store, done = service._store(), taught(service, home, "brc", [])
    waits = store.queue("finetune", {}).id
    for key in (done.job, waits):
        (home.job(key) / "checkpoints" / "step-1").mkdir(parents=True)
        (home.job(key) / "request.json").touch()
    expiring.sweep(store, home)
    assert [p.name for p in home.job(done.job).iterdir()] == ["request.json"]
    assert (home.job(waits) / "checkpoints" / "step-1").is_dir() and (home.path / done.folder).is_dir()


def test_settings_from_outside(monkeypatch, tmp_path):
    monkeypatch.setenv("REMEMBRANDT_META_TEACHERS", "ann, bob")
    monkeypatch.setenv("REMEMBRANDT_PHOTO_DAYS", "30")
    told = Settings.read(tmp_path)
    assert (told.meta_teachers, told.photo_days, told.share) == (("ann", "bob"), 30.0, 1.0)
    monkeypatch.setenv("REMEMBRANDT_SHARE", "2")
    with pytest.raises(Wrong, match="SHARE"):
        Settings.read(tmp_path)


def test_leaving_waits_for_workers(service, home):
    """A job that a living worker runs is cancelled first; what it then says is not recorded."""
    ann = joined(service, "ann")
    store = ann._store()
    store.queue("generate", {"prompt": "whispered"})
    held = queue.claim(store, ("generate",), "gone", lambda worker: True)
    receipt = leaving.leave(store, home, ann.owner, HERE)
    assert receipt["jobs"] == 1 and store.job(held.id).state == "canceled" and store.job(held.id).request == {}


def test_a_user_that_may_not_be_leaves_no_home(tmp_path):
    for words in (["a b"], ["ann", "--scope", "nosuch"], ["ann", "--quota", "-5"]):
        done = CliRunner().invoke(app, ["users", "add", *words, "--home", str(tmp_path / "home")])
        assert done.exit_code == 2 and done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())


def test_users_on_the_command_line(home):
    def run(*words) -> dict:
        done = CliRunner().invoke(app, ["users", *words, "--home", str(home.path), "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    added = run("add", "ann", "--scope", "private", "--quota", "1000")
    store = on(home.path)._store()
    assert added["user"] == "ann" and users.user_of(store, added["token"]).name == "ann"
    more = run("token", "ann")["token"]
    assert run("revoke", more) == {"revoked": 1} and users.user_of(store, more) is None
    rows = {row["user"]: row for row in run("list")}
    assert display.cell("consent", 1e9).startswith("2001-09")  # in the table, a day
    assert rows["ann"]["scopes"] == ["private"] and rows["ann"]["quota"] == 1000 and "local" in rows
    assert run("quota", "ann", "77") == {"user": "ann", "quota": 77} and users.user(store, "ann").quota == 77
    assert run("quota", "ann")["quota"] == 2_000_000_000 and users.user(store, "ann").quota is None
    assert run("revoke", "ann", "--erase")["user"] == "ann" and [r["user"] for r in run("list")] == ["local"]
