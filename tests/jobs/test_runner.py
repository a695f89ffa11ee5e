"""The runner: what is queued is run, recorded and can be read while it runs."""

import json

import pytest
from PIL import Image

from remembrandt.jobs.files import Home, copy_family, move
from remembrandt.jobs.painters import painter
from remembrandt.jobs.runner import Runner
from remembrandt.report import Event
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from remembrandt.store.store import Store
from tests.homes import SHORT, photos


@pytest.fixture
def home(tmp_path):
    return Home(tmp_path / "home")


def runner(home, tiny=None) -> Runner:
    def load(source, device, precision, own=False):
        return tiny

    return Runner(Store(home.path, create=True), home, load)


def asked(store, home, tiny_folder):
    return {
        "prompt": "a dog", "negative": "", "n": 2, "seed": 4, "sampler": None, "steps": 1,
        "guidance": None, "size": None, "strengths": {}, "device": None, "precision": None,
        "out": str(home.path / "out"), "format": "png", **painter(store, str(tiny_folder)),
    }  # fmt: skip


def test_painting_can_be_queued(home, tiny, tiny_folder):
    mine = runner(home, tiny)
    job = mine.store.queue("generate", json.loads(json.dumps(asked(mine.store, home, tiny_folder))))
    seen = []
    done = mine.run(job.id, seen.append)
    assert [Image.open(i["path"]).size for i in done["images"]] == [(128, 128)] * 2
    found = mine.store.job(job.id)
    assert (found.state, found.result, found.step, found.total) == ("succeeded", done, 2, 2)
    kinds = [e.kind for e in mine.store.events(job.id)]
    assert kinds[0] == "running" and kinds[-1] == "succeeded" and "progress" in kinds
    assert [e.step for e in seen] == [2]


def test_progress_is_recorded_now_and_then(home, monkeypatch):
    from remembrandt.jobs import work

    def count(request, files, progress):
        for step in range(1, 201):
            progress(Event("counting", step, 200, loss=1 / step))
        return {}

    monkeypatch.setitem(work.WORK, "generate", count)
    mine, seen = runner(home), []
    job = mine.store.queue("generate", {})
    mine.run(job.id, seen.append)
    told = [e.data["step"] for e in mine.store.events(job.id) if e.kind == "progress"]
    assert len(seen) == 200 and told[0] == 1 and told[-1] == 200 and len(told) < 100
    assert mine.store.job(job.id).loss == pytest.approx(1 / 200)


@pytest.mark.parametrize(
    ("fault", "state", "error"),
    [(RuntimeError("no\nspace"), "failed", "no space"), (KeyboardInterrupt(), "interrupted", None)],
)
def test_what_goes_wrong_is_recorded_and_can_be_resumed(home, monkeypatch, fault, state, error):
    from remembrandt.jobs import work

    def fail(request, files, progress):
        raise fault

    mine = runner(home)
    job = mine.store.queue("generate", {})
    with monkeypatch.context() as patched, pytest.raises(type(fault)) as raised:
        patched.setitem(work.WORK, "generate", fail)
        mine.run(job.id)
    assert f"jobs resume {job.id}" in raised.value.__notes__[0]
    found = mine.store.job(job.id)
    assert (found.state, found.error) == (state, error)
    monkeypatch.setitem(work.WORK, "generate", lambda *_: {"images": []})
    assert mine.run(job.id) == {"images": []} and mine.store.job(job.id).attempt == 2


def test_a_base_that_has_changed_is_refused(home, tiny, tiny_folder):
    mine = runner(home, tiny)
    request = asked(mine.store, home, tiny_folder)
    request["base"]["digest"] = "another"
    with pytest.raises(Wrong, match="other weights"):
        mine.run(mine.store.queue("generate", request).id)


def test_a_family_is_copied_whole_without_strangers(tiny_folder, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    for name in ("unet", "safety_checker", ".git"):
        (source / name).mkdir()
        (source / name / "config.json").write_text("{}")
    (source / "unet" / "model.bin").write_text("a pickle")
    (source / "holiday.mp4").write_text("")
    (source / "model_index.json").write_text("{}")
    copy_family(source, tmp_path / "bases" / "d")
    found = {p.relative_to(tmp_path / "bases").as_posix() for p in tmp_path.glob("bases/**/*.*")}
    assert found == {"d/model_index.json", "d/unet/config.json", "d/safety_checker/config.json"}
    copy_family(tmp_path / "gone", tmp_path / "bases" / "d")  # it is there already


def test_what_is_refused_at_the_last_moment_leaves_no_files(home, tiny_folder, tmp_path, monkeypatch):
    """The lesson ran; meanwhile the model became another. Its files are the job's again, which can be tried again."""
    service = Service(Settings(home.path, "cpu", "fp32"))
    publish = Store.publish
    monkeypatch.setattr(Store, "publish", refuse)
    with pytest.raises(Wrong, match="changed"):
        service.finetune(photos(tmp_path / "dog", 1), "dog", base=str(tiny_folder), steps=2, options=SHORT)
    assert not list(home.path.glob("models/**/*.safetensors"))
    [job] = service.jobs()
    monkeypatch.setattr(Store, "publish", publish)
    assert job["state"] == "failed" and service.resume(job["id"])["retention"]["published"]
    assert list(home.path.glob("models/**/*.safetensors"))


def refuse(*_, **__):
    raise Wrong("mine has changed")


def test_a_move_that_was_made_is_left(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "file").write_text("")
    for _ in range(2):
        move(tmp_path / "a", tmp_path / "b" / "c")
    assert (tmp_path / "b" / "c" / "file").is_file() and not (tmp_path / "a").exists()
