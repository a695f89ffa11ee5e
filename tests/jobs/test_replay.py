"""Replay: what a lesson trains beside its photos, and that one model grows by versions."""

import copy
import json
import shutil

import numpy as np
import pytest

from remembrandt.jobs import replay
from remembrandt.jobs.files import Home
from remembrandt.jobs.painters import text_to_image
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from remembrandt.store.rows import Version
from remembrandt.store.store import Store
from remembrandt.training import examples
from tests.conftest import painter
from tests.homes import photos

OPTIONS = {"batch": 4, "warmup": 1, "learning_rate": 1e-3, "num_class_images": 3}
LESSON = {"steps": 4, "options": OPTIONS}


def on(home) -> Service:
    return Service(Settings(home, "cpu", "fp32"))


@pytest.fixture(scope="module")
def taught(tiny_folder, tmp_path_factory):
    """Three lessons by replay (dog, cat, dog), what each told and what each trained."""
    place = tmp_path_factory.mktemp("replay")
    home, told, seen = place / "home", [], []

    def look(event):
        if event.stage == "teaching" and event.step == 1:
            job = Store(home).jobs()[-1]
            seen.append(examples.load(Home(home).job(job.id) / "examples.safetensors"))

    for k, (category, rest) in enumerate([("dog", {"name": "briscoe"}), ("cat", {}), ("dog", {"policy": "big"})]):
        shots = photos(place / f"shots{k}", 2, seed=k)
        base = {"method": "dreambooth", "base": str(tiny_folder)} if k == 0 else {}
        told.append(on(home).finetune(shots, category, **base, **rest, **LESSON, progress=look))
    return home, told, seen


def test_each_lesson_makes_a_version_of_the_one_model(taught):
    home, told, _ = taught
    assert [t["version"] for t in told] == [1, 2, 3] and {t["memory"] for t in told} == {"replay"}
    assert {t["method"] for t in told} == {"dreambooth"} and len({t["identifier"] for t in told}) == 3
    mine = on(home).model()
    weights = [v["weights"] for v in mine["versions"]]
    assert len(set(weights)) == 3 and all((home / w / "unet").is_dir() for w in weights)
    assert [len(v["concepts"]) for v in mine["versions"]] == [1, 2, 3]
    assert (home / mine["base"]["folder"] / "unet").is_dir()
    pictures = [on(home).paint("briscoe", seed=1, steps=2, model=m)[0].pixels for m in ("mine", str(home / weights[0]))]
    assert not np.array_equal(*pictures)


def test_half_generated_half_real(taught):
    _, told, seen = taught
    words = [t["identifier"] for t in told]
    assert {e.kind for e in seen[0]} == {"instance", "class"} and {e.prompt for e in seen[0]} == {
        f"a {words[0]} dog", "a dog",
    }  # fmt: skip
    for batch, count in ((seen[1], 2), (seen[2], 2)):
        generated = sum(e.weight for e in batch if e.kind == "class")
        real = sum(e.weight for e in batch if e.kind == "past")
        assert generated == pytest.approx(real) or generated == real + 1
        assert len([e for e in batch if e.kind == "instance"]) == count
    assert {e.prompt for e in seen[1] if e.kind == "past"} == {f"a {words[0]} dog"}
    weights = {}
    for e in seen[2]:
        if e.kind != "instance":
            weights[e.prompt] = weights.get(e.prompt, 0) + e.weight
    split = replay.policies.big({"dog": ["d"], "cat": ["c"]}, "dog", 4)
    assert weights == pytest.approx(
        {k: n for k, n in {
            "a dog": split.classes["dog"], "a cat": split.classes["cat"], f"a {words[0]} dog": split.concepts["d"],
            f"a {words[1]} cat": split.concepts["c"],
        }.items() if n}
    )  # fmt: skip


def test_real_photos_are_replayed(taught, tiny):
    """Those of the first lesson, to the bit of what the autoencoder makes of them."""
    _, _, seen = taught
    first = [e.mean for e in seen[0] if e.kind == "instance"]
    again = [e.mean for e in seen[1] if e.kind == "past"]
    assert len(first) == len(again) == 2
    assert all(any((a - b).abs().max() < 1e-3 for b in first) for a in again)


def test_class_images_come_from_the_base_and_are_shared(taught, tiny):
    home, _, _ = taught
    places = list((home / "class").iterdir())
    about = [json.loads((p / "about.json").read_text()) for p in places]
    assert sorted(a["prompt"] for a in about) == ["a cat", "a dog"]  # the third lesson painted no dog anew
    assert len({a["base"] for a in about}) == 1


def test_what_it_meant_before_is_on_record(taught):
    home, told, _ = taught
    assert on(home).job(told[2]["job"])["previews"][0].endswith("000000.png")


def test_photos_that_are_gone_are_painted(taught, tmp_path, tiny):
    home = tmp_path / "home"
    shutil.copytree(taught[0], home)
    shutil.rmtree(home / "photos")
    shots = photos(tmp_path / "shots", 2, seed=9)
    assert on(home).finetune(shots, "cat", model="mine", **LESSON)["version"] == 4


def test_a_lesson_on_weights_that_are_no_longer_the_present_ones(taught, tmp_path):
    home = tmp_path / "home"
    shutil.copytree(taught[0], home)
    shots = photos(tmp_path / "shots", 2, seed=9)

    def stop(event):
        if event.stage == "teaching":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        on(home).finetune(shots, "cat", progress=stop, **LESSON)
    job = on(home).jobs()[-1]["id"]
    on(home).finetune(shots, "cat", **LESSON)
    with pytest.raises(Wrong, match="teach it anew"):
        on(home).resume(job)


def test_more_for_what_the_report_found_fading(taught):
    home, _, _ = taught
    store = Store(home)
    older = store.concepts(store.model("mine"))[:2]
    rows = {c.id: {"fidelity": kept} for c, kept in zip(older, (0.5, 1.0), strict=True)}
    version = Version("m", 2, "j", [], None, {"concepts": rows})
    found = replay.plan(None, "bird", older, version, {"steps": 90, "batch": 8}, 3)
    counts = [found["past"][c.id]["count"] for c in older]
    assert found["total"] == found["draws"] == 360 and counts == [135, 45]
    even = replay.plan(None, "bird", older, None, {"steps": 90, "batch": 8}, 3)
    assert [even["past"][c.id]["count"] for c in older] == [90, 90]


def test_a_painter_that_wants_a_mask_is_refused(tiny):
    family = copy.copy(tiny)
    object.__setattr__(family, "unet", painter(in_channels=9))
    assert text_to_image(tiny) is tiny
    with pytest.raises(Wrong, match="9 channels"):
        text_to_image(family)
