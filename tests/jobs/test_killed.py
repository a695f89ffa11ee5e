"""A lesson killed with SIGKILL and resumed leaves the very files of an uninterrupted one."""

import os
import random
import shutil
import signal
import subprocess
import time

import numpy as np
import pytest

from remembrandt.jobs.files import Home
from remembrandt.service import Service
from remembrandt.settings import Settings
from remembrandt.store.store import Store
from remembrandt.training import checkpoint
from tests.homes import OPTIONS, REMEMBRANDT, SHORT, environment, photos

STEPS = 12
PATIENCE = 240  # seconds: the machine may be busy


def on(home) -> Service:
    return Service(Settings(home, "cpu", "fp32"))


def adapter(home, lesson) -> bytes:
    return (Home(home).concept("mine", lesson["concept"]) / "adapter.safetensors").read_bytes()


@pytest.fixture
def given(tmp_path):
    return photos(tmp_path / "dog")


def told(lesson: dict) -> dict:
    """Without the concepts' ids, which are drawn anew for every home."""
    measured = list(lesson["retention"]["concepts"].values())
    return {**lesson, "retention": {**lesson["retention"], "concepts": measured}}


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")
def test_a_lesson_killed_and_resumed_is_bit_equal(given, tiny_folder, tmp_path):
    cut = tmp_path / "cut"
    words = ["finetune", given, "--category", "dog", "--base", tiny_folder, "--steps", STEPS]
    words += [*OPTIONS, "--precision", "fp32", "--device", "cpu", "--home", cut]
    child = subprocess.Popen(
        [*REMEMBRANDT, *map(str, words)], stderr=subprocess.PIPE, text=True, env=environment()
    )
    deadline = time.monotonic() + PATIENCE
    while not list(cut.glob("jobs/*/checkpoints/step-*4")):
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.returncode == -signal.SIGKILL

    service = on(cut)
    job = service.jobs()[0]
    assert job["state"] == "interrupted" and not list((cut / "models").glob("*/*"))
    assert [m["name"] for m in service.models()] == ["pretrained"]
    steps = []
    resumed = service.resume(
        job["id"], progress=lambda e: steps.append(e.step) if e.stage == "teaching" else None
    )
    assert steps[0] > 4 and steps[-1] == STEPS  # it went on, and did not begin again
    whole = on(tmp_path / "whole").finetune(
        given, "dog", base=str(tiny_folder), steps=STEPS, options=SHORT
    )
    assert adapter(cut, resumed) == adapter(tmp_path / "whole", whole)
    same = ("identifier", "version", "steps", "retention", "model", "category")
    assert {k: told(resumed)[k] for k in same} == {k: told(whole)[k] for k in same}
    again = service.job(job["id"])
    assert (again["state"], again["attempt"], resumed["job"]) == ("succeeded", 2, job["id"])
    assert not (Home(cut).job(job["id"]) / "checkpoints").exists()


def test_a_crash_while_publishing(given, tiny_folder, tmp_path, monkeypatch):
    """Files first, then the row: between them the model is as it was; nothing is taught twice."""
    service = on(tmp_path / "home")

    def crash(*args, **rest):
        raise MemoryError

    with monkeypatch.context() as patched:
        patched.setattr(Store, "publish", crash)
        with pytest.raises(MemoryError):
            service.finetune(given, "dog", base=str(tiny_folder), steps=2, options=SHORT)
    job = service.jobs()[0]
    assert job["state"] == "failed" and [m["name"] for m in service.models()] == ["pretrained"]
    stages = []
    resumed = service.resume(job["id"], progress=lambda e: stages.append(e.stage))
    assert resumed["version"] == 1 and stages == []
    assert service.paint(f"a {resumed['identifier']} dog", steps=1, seed=0)


# -- at named moments, in each memory --------------------------------------------------------------

BRIEF = {
    "gated": {"method": "oft", "options": SHORT},
    "replay": {"method": "dreambooth", "options": {**SHORT, "batch": 2, "num_class_images": 1, "learning_rate": 1e-6}},
}
CHECKING = {"gated": 1, "replay": 3}  # the event of that stage by which the report is under way


def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)


def at(stage: str, number: int = 1):
    """A progress that ends the process at the stage's event of that number."""
    seen = []

    def progress(event):
        seen.append(event.stage)
        if seen.count(stage) == number:
            die()

    return progress


def killed(deed, after: float | None = None) -> None:
    """`deed()` in a process of its own, which kills itself with SIGKILL on the way, or is killed `after` seconds."""
    child = os.fork()
    if not child:
        try:
            deed()
        finally:
            os._exit(1)
    if after is not None:
        time.sleep(after)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL


def weights(home, lesson) -> dict[str, bytes]:
    place = Home(home).concept("mine", lesson["concept"])
    return {str(p.relative_to(place)): p.read_bytes() for p in place.rglob("*.safetensors")}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("memory", BRIEF)
def test_killed_at_every_named_moment(memory, tiny_folder, tmp_path, monkeypatch):
    """One lesson, killed again and again, also at random moments; between two deaths the model is what it was, in the
    end as uninterrupted.
    """
    cut, whole, rest = tmp_path / "cut", tmp_path / "whole", {"steps": 4, **BRIEF[memory]}
    on(cut).finetune(photos(tmp_path / "dog", 1), "dog", base=str(tiny_folder), **{**rest, "steps": 1})
    shutil.copytree(cut, whole)
    shots = photos(tmp_path / "cat", 2, seed=1)
    expected = on(whole).finetune(shots, "cat", **rest)
    before = on(cut).paint("a dog", steps=1, seed=0)[0].pixels

    def resume(progress=lambda event: None):
        on(cut).resume(on(cut).jobs()[-1]["id"], progress)

    def torn():
        monkeypatch.setattr(checkpoint, "_sync", die)  # the tensors lie there, the manifest does not
        resume()

    def unpublished():
        monkeypatch.setattr(Store, "publish", die)  # the files have moved, the row is not there
        resume()

    deaths = [lambda: on(cut).finetune(shots, "cat", **rest, progress=at("preparing"))]
    deaths += [lambda: resume(at("class images"))] * (memory == "replay")
    chance = random.Random(memory)
    deaths += [torn, *[(lambda: resume(at("checking")), chance.uniform(0.1, 3)) for _ in range(3)]]
    deaths += [lambda: resume(at("checking", CHECKING[memory])), unpublished]
    for death in deaths:
        killed(*death) if isinstance(death, tuple) else killed(death)
        service = on(cut)
        job = service.jobs()[-1]
        assert job["state"] == "interrupted" and service.model()["version"] == 1
    assert np.array_equal(service.paint("a dog", steps=1, seed=0)[0].pixels, before)
    stages = []
    found = service.resume(job["id"], lambda event: stages.append(event.stage))
    assert stages == [] and found["version"] == 2  # all was done but the row
    assert weights(cut, found) == weights(whole, expected) and len(weights(cut, found)) >= 1
    assert told(found)["retention"] == told(expected)["retention"]
    named = [death for death in deaths if not isinstance(death, tuple)]  # a random death may come before it begins
    assert len(named) < service.job(job["id"])["attempt"] <= len(deaths) + 1
