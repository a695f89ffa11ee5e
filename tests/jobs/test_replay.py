"""Replay: what a lesson trains beside its photos, and that one model grows by versions."""

import copy
import json
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sqlalchemy import update

from remembrandt import display
from remembrandt.conditions.spatial import to_tensor
from remembrandt.jobs import replay
from remembrandt.jobs.files import Home
from remembrandt.jobs.painters import text_to_image
from remembrandt.memory import ladder
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from remembrandt.store import schema
from remembrandt.store.connect import writing
from remembrandt.store.rows import Version
from remembrandt.store.store import Store
from remembrandt.training import examples
from remembrandt.training.photos import prepare
from tests.conftest import painter
from tests.homes import photos

OPTIONS = {"batch": 4, "warmup": 1, "learning_rate": 1e-3, "num_class_images": 3}
LESSON = {"steps": 4, "options": OPTIONS, "margin": 0.9}  # so few steps harm


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


def test_class_images_that_are_given_are_what_is_trained_on(tiny, tiny_folder, tmp_path):
    """To the bit of what the autoencoder makes of them, under the training prompt; none is painted."""
    place, own = tmp_path / "home", photos(tmp_path / "class", 3, seed=8)
    seen = []

    def look(event):
        if event.stage == "teaching" and event.step == 1:
            job = Store(place).jobs()[-1]
            seen.extend(examples.load(Home(place).job(job.id) / "examples.safetensors"))

    wish = {"method": "dreambooth", "base": str(tiny_folder), "class_images": own, **LESSON}
    on(place).finetune(photos(tmp_path / "shots", 2), "dog", progress=look, **wish)
    made = [e.mean for e in seen if e.kind == "class"]
    known = [tiny.encode(to_tensor(s))[0] for s in prepare(own, tiny.record.size).squares]
    assert {e.prompt for e in seen if e.kind == "class"} == {"a dog"} and len(made) == 3
    assert all(any((a - b).abs().max() < 1e-3 for b in known) for a in made)
    assert not (place / "class").exists()


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
    rows = {c.id: {"fading": lost} for c, lost in zip(older, (0.5, 0.0), strict=True)}
    version = Version("m", 2, "j", [], None, {"concepts": rows})
    found = replay.plan(None, "bird", older, [version], {"steps": 90, "batch": 8}, 3)
    counts = [found["past"][c.id]["count"] for c in older]
    assert found["total"] == found["draws"] == 360 and counts == [135, 45]
    even = replay.plan(None, "bird", older, [], {"steps": 90, "batch": 8}, 3)
    assert [even["past"][c.id]["count"] for c in older] == [90, 90]


def test_every_older_concept_is_measured_and_drawn(taught):
    """By pairs and photos of its own, against itself before the lesson; the next lesson starts from what this says."""
    home, told, _ = taught
    first, second, third = (t["retention"] for t in told)
    ids = [t["concept"] for t in told]
    assert [list(r["concepts"]) for r in (first, second, third)] == [ids[:1], ids[:2], ids]
    dog = [r["concepts"][ids[0]] for r in (first, second, third)]
    assert dog[0]["fidelity"] == 1 and len({(d["base"], d["best"], *d["apart"]) for d in dog}) == 1
    assert second["measure"] == "paired denoising" and second["measured"] == 1
    assert all(d["verdict"] in ("kept", "unsure") and d["lower"] <= d["loss"] <= d["upper"] for d in dog[1:])
    assert dog[1]["fidelity"] != 1 and 0 <= dog[1]["fading"] <= 1
    places = [Home(home).job(t["job"]) / "samples" for t in told]
    assert [sorted(p.name for p in place.iterdir()) for place in places] == [sorted(ids[: k + 1]) for k in range(3)]
    strips = [Image.open(place / ids[0] / "0.png") for place in places]
    assert not np.array_equal(*map(np.asarray, strips[:2]))


def better(home):
    """Every concept was known better once, by twice its range."""
    store = Store(home)
    version = store.version(store.model("mine").id, 3)
    for known in version.retention["concepts"].values():
        known["peak"] = [x - 2 * (known["base"] - known["best"]) for x in known["peak"]]
    with writing(store.engine) as connection:
        mine = schema.versions.c.number == 3
        connection.execute(update(schema.versions).where(mine).values(retention=version.retention))


def test_a_lesson_that_would_harm_an_older_concept_is_refused(taught, tmp_path, capsys):
    """Provoked: a rate that leaves nothing of what was there. Named, kept for looking until `clean`."""
    home = tmp_path / "home"
    shutil.copytree(taught[0], home)
    service, word = on(home), taught[1][0]["identifier"]
    before = service.paint("briscoe", seed=1, steps=2)[0].pixels
    shots = photos(tmp_path / "shots", 2, seed=9)
    told = service.finetune(shots, "bird", steps=2, options={**OPTIONS, "learning_rate": 0.05})
    kept = told["retention"]
    assert not kept["published"] and told["version"] == 3 and kept["worst"] < 0.9
    assert kept["why"].startswith("lost more than the margin of 0.1: ") and f"{word} dog (" in kept["why"]
    assert "since its best, over several lessons" in kept["why"] and f"{word} dog" in kept["faded"]
    job = service.jobs()[-1]
    assert (job["state"], job["error"]) == ("failed", kept["why"]) and "\n" not in kept["why"]
    assert service.model()["version"] == 3 and len(service.concepts("mine")) == 3
    assert np.array_equal(service.paint("briscoe", seed=1, steps=2)[0].pixels, before)
    staging = Home(home).job(job["id"]) / "staging"
    assert (staging / "unet").is_dir() and not list((home / "models").glob(f"*/{told['concept']}"))
    assert not service.resume(job["id"])["retention"]["published"]  # it is not measured until it passes
    assert service.clean()["bytes"] > 0 and not staging.exists()
    assert np.array_equal(service.paint("briscoe", seed=1, steps=2)[0].pixels, before)
    better(home)
    gentle = service.finetune(shots, "bird", steps=1, options={**OPTIONS, "learning_rate": 1e-9})
    display.lesson(gentle)
    assert f"{word} dog" in gentle["retention"]["faded"]  # which was no fault of this lesson's
    assert "since its best" in capsys.readouterr().err
    assert gentle["retention"]["published"] and gentle["version"] == 4
    assert all(c["verdict"] == "kept" for c in list(gentle["retention"]["concepts"].values())[:3])


def test_a_picked_rung_is_judged_as_a_lesson_is(taught, tmp_path, monkeypatch):
    """Its power: a rung whose weights are noise is refused by the name of what it would have lost."""
    home = tmp_path / "home"
    shutil.copytree(taught[0], home)
    monkeypatch.setattr(ladder, "STEPS", 2)
    monkeypatch.setattr(ladder, "steps", lambda usual, category: [1, 2])
    service, shots = on(home), photos(tmp_path / "shots", 2, seed=9)
    told = service.finetune(shots, "bird", steps="auto", margin=0.9, options={**OPTIONS, "learning_rate": 1e-6})
    assert told["retention"]["published"]
    other = next(k for k in (1, 2) if k != told["steps"])
    (place,) = home.glob(f"models/*/*/ladder/{other:06d}/unet/*.safetensors")
    whole, folders = place.read_bytes(), {*home.glob("models/*/*")}
    chance = torch.Generator().manual_seed(0)
    noise = {k: torch.randn(v.shape, generator=chance).half() for k, v in load_file(place).items()}
    place.unlink()  # its bytes may be shared
    save_file(noise, place)
    with pytest.raises(Wrong, match="not published: lost more than the margin"):
        service.pick(steps=other)
    assert service.model()["version"] == 4 and {*home.glob("models/*/*")} == folders
    place.write_bytes(whole)
    assert service.pick(steps=other)["version"] == 5
    kept = Store(home).version(service._store().model("mine").id, 5).retention
    assert len(kept["concepts"]) == 4 and [c["verdict"] for c in kept["concepts"].values() if "verdict" in c]


def test_the_margin_is_checked_and_kept(taught, tmp_path):
    shots = photos(tmp_path / "shots", 2)
    for margin in (0, 1.5e3, float("nan")):
        with pytest.raises(Wrong, match="--margin"):
            on(taught[0]).finetune(shots, "cat", **{**LESSON, "margin": margin})
    assert Store(taught[0]).jobs()[-1].request["margin"] == 0.9


def test_a_painter_that_wants_a_mask_is_refused(tiny):
    family = copy.copy(tiny)
    object.__setattr__(family, "unet", painter(in_channels=9))
    assert text_to_image(tiny) is tiny
    with pytest.raises(Wrong, match="9 channels"):
        text_to_image(family)
