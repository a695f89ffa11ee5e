"""A lesson killed with SIGKILL and resumed leaves the very files of an uninterrupted one."""

import os
import signal
import subprocess
import time

import pytest

from remembrandt.jobs.files import Home
from remembrandt.service import Service
from remembrandt.settings import Settings
from remembrandt.store.store import Store
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
