"""Replay models after their lessons: shared files, one concept taken out by teaching the others anew, promotion."""

import shutil

import numpy as np
import pytest

from remembrandt.jobs import promoting, snapshot
from remembrandt.jobs.files import Home, size
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from remembrandt.store.store import Store
from tests.homes import judged, photos

OPTIONS = {"batch": 2, "warmup": 0, "learning_rate": 1e-6, "num_class_images": 1}
LESSON = {"steps": 1, "options": OPTIONS}


def on(home) -> Service:
    return Service(Settings(home, "cpu", "fp32"))


@pytest.fixture(scope="module")
def taught(tiny_folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("rebuilt")
    service, told, family = on(place / "home"), [], judged(tiny_folder, place / "tiny")
    for k, (category, rest) in enumerate((("dog", {"name": "briscoe"}), ("cat", {}), ("bird", {}))):
        base = {} if k else {"method": "dreambooth", "base": str(family)}
        told.append(service.finetune(photos(place / category, 1, seed=k), category, **base, **rest, **LESSON))
    return place / "home", told


@pytest.fixture
def home(taught, tmp_path):
    shutil.copytree(taught[0], tmp_path / "home")
    return tmp_path / "home"


def test_versions_share_what_did_not_change(taught):
    home, told = taught
    places = [Home(home).concept("mine", t["concept"]) for t in told]
    for part in ("vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors", "tokenizer/vocab.json"):
        assert len({(p / part).stat().st_ino for p in places}) == 1, part
    painters = [p / "unet" / "diffusion_pytorch_model.safetensors" for p in places]
    assert len({p.stat().st_ino for p in painters}) == 3
    rows, whole = on(home).versions(), on(home).models()[1]["bytes"]
    assert [r["bytes"] for r in rows] == [size([p]) for p in places]  # each whole by itself
    assert whole == size([home / "models"]) < sum(r["bytes"] for r in rows)


def test_clean_frees_old_weights_and_keeps_their_concepts(home, taught):
    service, first = on(home), Home(home).concept("mine", taught[1][0]["concept"])
    before = service.paint("briscoe", seed=1, steps=1)[0].pixels
    unet = size([first / "unet"])
    told = service.clean()
    assert (told["versions"], told["weights"]) == (1, 1) and not first.exists()
    assert unet <= told["bytes"] and [c["name"] for c in service.concepts("mine")] == ["briscoe", None, None]
    assert np.array_equal(service.paint("briscoe", seed=1, steps=1)[0].pixels, before)


def test_a_report_shows_the_lessons_whose_versions_were_cleaned_away(home):
    before = on(home).retention(out=home / "before")
    on(home).clean()
    told = on(home).retention(out=home / "after")
    assert [v["version"] for v in on(home).versions()] == [2, 3] and "past" not in on(home).model()["versions"][0]
    assert told["lessons"] == before["lessons"] and len(told["lessons"]) == 3
    rows = [[{k: row[k] for k in ("fidelity", "lesson", "retention")} for row in t["concepts"]] for t in (before, told)]
    assert rows[0] == rows[1] and [row["lesson"] for row in rows[1]] == [1, 2, 3]
    on(home).rollback()
    on(home).clean()
    assert len(on(home).retention(out=home / "back")["lessons"]) == 2
    assert snapshot.Known(snapshot.of(Store(home), "mine")).job(told["lessons"][0] and Store(home).jobs()[0].id)


def test_a_lesson_is_taught_again_under_the_margin_that_it_was_taught_under(home, taught, tmp_path):
    service = on(home)
    service.finetune(photos(tmp_path / "cup", 1, seed=5), "cup", margin=0.7, **LESSON)
    store = Store(home)
    held = store.model("mine")
    cup, place = store.concepts(held)[-1], Home(home)
    assert promoting.again(cup, held, "other", store, place, "private_meta").margin == 0.7
    assert promoting.again(cup, held, "other", store, place).margin == 0.1  # everyone's is put at no greater risk
    assert promoting.again(store.concepts(held)[0], held, "other", store, place, "private_meta").margin == 0.1


def test_forgetting_teaches_the_others_anew_and_goes_on_where_it_stopped(home, taught):
    service, words = on(home), [t["identifier"] for t in taught[1]]
    ids, had = [t["concept"] for t in taught[1]], len(Store(home).jobs())
    before = service.paint("briscoe", seed=1, steps=1)[0].pixels

    def stop(event):
        if event.stage == "teaching" and len(Store(home).jobs()) == had + 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        service.forget("mine", words[1], progress=stop)
    assert service.model()["version"] == 3  # still whole
    told = on(home).forget("mine", words[1])
    assert len(Store(home).jobs()) == had + 2  # two lessons, the second of them resumed
    assert (told["version"], told["was"], told["identifier"]) == (4, 3, words[1]) and told["retention"]["published"]
    assert told["rebuilt"] == [words[0], words[2]] and told["bytes"] > 0
    service = on(home)
    assert [c["id"] for c in service.concepts("mine")] == [ids[0], ids[2]]
    assert [m["name"] for m in service.models()] == ["pretrained", "mine"]
    pixels = service.paint("briscoe", seed=1, steps=1)[0].pixels
    assert not np.array_equal(pixels, before)
    report = service.retention(out=home / "report")
    assert [row["identifier"] for row in report["concepts"]] == [words[0], words[2]]
    assert report["lessons"][-1]["forgot"] == words[1]
    assert set(report["styles"]) == {"photo", "ink"} and len(report["concepts"][0]["judged"]) == 4
    assert service.clean()["bytes"] > 0
    assert np.array_equal(service.paint("briscoe", seed=1, steps=1)[0].pixels, pixels)
    assert service.rollback()["version"] == 3
    assert np.array_equal(service.paint("briscoe", seed=1, steps=1)[0].pixels, before)
    with pytest.raises(Wrong, match="handed out"):
        service.finetune(photos(home.parent / "more", 1), "cat", identifier=words[1], **LESSON)


def test_forgetting_needs_the_photos_of_the_others(home, taught):
    shutil.rmtree(Home(home).photos)
    with pytest.raises(Wrong, match=r"photos of .* are gone"):
        on(home).forget("mine", taught[1][0]["identifier"])
    assert on(home).model()["version"] == 3


def test_the_only_concept_leaves_the_base(home, taught, tmp_path):
    service = on(home)
    service.rollback()
    service.rollback()
    told = service.forget("mine", "briscoe")
    assert told["rebuilt"] == [] and service.concepts("mine") == []
    base = service.paint("a dog", seed=1, steps=1, model=str(home / service.model()["base"]["folder"]))[0].pixels
    assert np.array_equal(service.paint("a dog", seed=1, steps=1)[0].pixels, base)


def test_a_gated_concept_is_promoted_to_a_replay_model(home, tiny_folder, tmp_path):
    """By the method and with a word that suit the model; photos and name stay."""
    service = on(home)
    short = {"steps": 1, "options": {"batch": 1}}
    service.finetune(
        photos(tmp_path / "house", 1, seed=7), "house", name="manor", model="own", base=str(tiny_folder), **short
    )

    def stop(event):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        service.promote("manor", "mine", progress=stop)
    asked = service.job(service.jobs()[-1]["id"])["request"]
    assert (asked["memory"], asked["method"], asked["replay"]["policy"]) == ("replay", "dreambooth", "balanced")
    assert asked["concept"]["name"] == "manor" and asked["prompts"] == [f"a {asked['concept']['identifier']} house"]


def test_a_deleted_model_leaves_nothing(home):
    told = on(home).delete_model("mine")
    assert told["bytes"] > 0 and not list(home.glob("models/*/*")) and not list(Home(home).photos.iterdir())
