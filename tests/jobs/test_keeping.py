"""What becomes of models after their lessons: receipts, a step back, and bytes that are free again."""

import json
import shutil

import numpy as np
import pytest

from remembrandt import Studio
from remembrandt.jobs.files import Home, remove, share, size
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from remembrandt.store import schema
from remembrandt.store.connect import writing
from remembrandt.store.store import Store
from tests.homes import SHORT, photos

LESSON = {"steps": 2, "options": SHORT}


def on(home) -> Service:
    return Service(Settings(home, "cpu", "fp32"))


@pytest.fixture(scope="module")
def taught(tiny_folder, tmp_path_factory):
    """Two concepts, the dog's photos and the cat's."""
    place = tmp_path_factory.mktemp("kept")
    dogs, cats = photos(place / "dog"), photos(place / "cat", seed=1)
    service = on(place / "home")
    first = service.finetune(dogs, "dog", name="briscoe", identifier="brc", base=str(tiny_folder), **LESSON)
    second = service.finetune(cats, "cat", identifier="krx", **LESSON)
    return place / "home", first, second


@pytest.fixture
def home(taught, tmp_path):
    shutil.copytree(taught[0], tmp_path / "home")
    return tmp_path / "home"


def painted(service, prompt="a brc dog", **rest):
    return service.paint(prompt, seed=1, steps=1, **rest)[0].pixels


def words(service, model="mine"):
    return [c["identifier"] for c in service.concepts(model)]


def test_versions_and_their_bytes(home):
    service = on(home)
    first, second = service.versions()
    assert (first["version"], first["present"], first["concepts"]) == (1, False, ["brc"])
    assert (second["version"], second["parent"], second["concepts"]) == (2, 1, ["brc", "krx"])
    adapters = {p.parent.name: p.stat().st_size for p in home.glob("models/mine/*/*.*")}
    assert 0 < first["bytes"] < second["bytes"] == size(home.glob("models/mine/*"))
    assert service.models()[1]["bytes"] == second["bytes"] and len(adapters) == 2  # what is shared counts once


def test_a_step_back_and_on(home, tmp_path):
    service = on(home)
    before = painted(service), painted(service, "a krx cat")
    told = service.rollback()
    assert (told["version"], told["was"], told["lost"], told["concepts"]) == (1, 2, ["krx"], ["brc"])
    assert words(service) == ["brc"] and np.array_equal(painted(service), before[0])
    assert not np.array_equal(painted(service, "a krx cat"), before[1])
    with pytest.raises(Wrong, match="no version before 1"):
        service.rollback()
    third = service.finetune(photos(tmp_path / "bird", seed=2), "bird", identifier="zlt", **LESSON)
    assert third["version"] == 3  # no number twice: recipes name them
    assert [(v["version"], v["parent"], v["present"]) for v in service.versions()] == [
        (1, 0, False), (2, 1, False), (3, 1, True),
    ]  # fmt: skip
    assert service.rollback()["version"] == 1
    with pytest.raises(Wrong, match="handed out"):
        service.finetune(tmp_path / "bird", "bird", identifier="krx", **LESSON)


def test_forgetting_drops_the_adapter_until_it_is_taken_back(home):
    service = on(home)
    before, base = painted(service, "a krx cat"), painted(service, "a cat")
    told = service.forget("mine", "briscoe")
    assert (told["version"], told["identifier"], told["undo"]) == (3, "brc", "models rollback mine")
    assert told["bytes"] > 0 and words(service) == ["krx"]
    assert np.array_equal(painted(service, "a krx cat"), before) and np.array_equal(painted(service, "a cat"), base)
    with pytest.raises(Wrong, match="knows no concept"):
        service.forget("mine", "brc")
    assert service.rollback()["concepts"] == ["brc", "krx"]


def test_a_deleted_concept_is_gone_everywhere(home, taught):
    service, held = on(home), Home(home)
    cats = len(list(held.photos.iterdir()))
    told = service.delete_concept("briscoe")
    assert told["bytes"] > 0 and not held.concept("mine", taught[1]["concept"]).exists()
    assert len(list(held.photos.iterdir())) == cats - 4 and not held.job(taught[1]["job"]).exists()
    assert [v["concepts"] for v in service.versions()] == [[], ["krx"]]
    assert "brc" in Store(home).used(Store(home).model("mine").id)  # and its word is not handed out again


def test_a_promoted_concept_is_taught_as_it_was(home, taught):
    service = on(home)
    lesson = Studio(home, "cpu", "fp32").promote("briscoe", "everyone")
    assert (lesson.model, lesson.scope, lesson.identifier, lesson.name) == ("everyone", "meta", "brc", "briscoe")
    files = [Home(home).concept(*at) / "adapter.safetensors" for at in
             (("mine", taught[1]["concept"]), ("everyone", lesson.concept))]  # fmt: skip
    assert files[0].read_bytes() == files[1].read_bytes()
    told = service.promote("krx", "everyone")
    assert told["version"] == 2 and words(service, "everyone") == ["brc", "krx"]
    with pytest.raises(Wrong, match="another"):  # the name is taken
        service.promote("briscoe", "everyone", model="mine")
    service.rename_concept("briscoe", "rex", model="everyone")
    again = service.promote("briscoe", "everyone")
    assert again["identifier"] != "brc"
    prompts = service.concept(again["concept"])["prompts"]
    assert prompts == [f"a {again['identifier']} dog"]
    service.delete_concept("brc", model="mine")  # everyone's photos are still needed
    assert len(list(Home(home).photos.iterdir())) == 8
    shutil.rmtree(Home(home).photos)
    with pytest.raises(Wrong, match="photos of 'krx' are gone"):
        service.promote("krx", "another", model="mine")


def test_names(home):
    service = on(home)
    before = painted(service)
    assert service.rename_model("mine", "ours") == {"model": "ours", "was": "mine", "version": 2}
    assert np.array_equal(painted(service, "briscoe", model="ours"), painted(service, "brc dog", model="ours"))
    assert np.array_equal(painted(service, model="ours"), before)
    told = service.rename_concept("briscoe", "Bello")
    assert (told["name"], told["was"], told["model"]) == ("bello", "briscoe", "ours")
    assert service.concept("bello")["identifier"] == "brc"
    for name, why in (("bird", "knows"), ("krx", "another"), ("two words", "one word")):
        with pytest.raises(Wrong, match=why):
            service.rename_concept("bello", name)
    other = service.promote("krx", "mine")
    assert other["model"] == "mine"
    with pytest.raises(Wrong, match="already"):
        service.rename_model("ours", "mine")


def test_a_deleted_model_leaves_its_neighbours(home):
    service = on(home)
    service.promote("krx", "other")
    told = service.delete_model("mine")
    assert (told["versions"], told["concepts"]) == (2, ["brc", "krx"]) and told["bytes"] > 0
    assert [m["name"] for m in service.models()] == ["pretrained", "other"]
    assert len(list(Home(home).photos.iterdir())) == 4 and len(list(home.glob("models/*/*"))) == 1
    assert painted(service, "a krx cat", model="other").shape == (128, 128, 3)
    assert len(service.jobs()) == 3  # what was done stays told


def test_while_it_is_taught_a_model_stays_as_it_is(home, tmp_path):
    service = on(home)
    deeds = (lambda: on(home).rollback(), lambda: on(home).forget("mine", "brc"), lambda: on(home).clean(),
             lambda: on(home).delete_model("mine"), lambda: on(home).rename_model("mine", "x"),
             lambda: on(home).delete_concept("brc"))  # fmt: skip

    def meddle(event):
        if event.stage == "teaching" and event.step == 1:
            for deed in deeds:
                with pytest.raises(Wrong, match=r"being taught|runs"):
                    deed()

    found = service.finetune(photos(tmp_path / "bird"), "bird", progress=meddle, **LESSON)
    assert found["version"] == 3 and len(words(service)) == 3


def test_clean_frees_what_nothing_needs(home, taught, tmp_path):
    service = on(home)
    assert service.clean()["bytes"] == 0
    service.forget("mine", "brc")
    service.forget("mine", "krx")  # versions 3 and 4; the cat is still one step back, the dog is not
    before = size([home])
    told = service.clean()
    assert (told["versions"], told["weights"], told["photos"], told["bases"]) == (2, 1, 4, 0)
    assert before - size([home / "models", home / "photos", home / "jobs", home / "bases"]) >= told["bytes"] > 0
    assert service.rollback()["concepts"] == ["krx"]
    assert painted(service, "a krx cat").shape == (128, 128, 3)
    service.delete_model("mine")
    assert service.clean()["bases"] == 1 and not list(home.glob("models/*/*"))


def test_clean_keeps_an_interrupted_lesson(home, tmp_path, monkeypatch):
    service = on(home)

    def stop(event):
        if event.stage == "checking" and event.step == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        service.finetune(photos(tmp_path / "bird"), "bird", progress=stop, **LESSON)
    service.clean()
    assert service.resume(service.jobs()[-1]["id"])["version"] == 3


def test_shared_files_are_counted_once_and_freed_last(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "weights").write_bytes(b"x" * 1000)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "weights").hardlink_to(tmp_path / "a" / "weights")
    assert size([tmp_path / "a", tmp_path / "b"]) == 1000
    both = [tmp_path / "a", tmp_path / "b"]
    shutil.copytree(tmp_path / "a", tmp_path / "c")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "weights").hardlink_to(tmp_path / "c" / "weights")
    assert remove([both[0], tmp_path / "nowhere"]) == 0 and remove([both[1]]) == 1000
    assert remove([tmp_path / "c", tmp_path / "d", tmp_path / "c"]) == 1000  # both names at once, one said twice


def test_equal_files_become_one(tmp_path):
    for name, text in (("a", "same"), ("b", "same"), ("c", "else")):
        (tmp_path / name / "vae").mkdir(parents=True)
        (tmp_path / name / "vae" / "weights").write_text(text)
    share(tmp_path / "b", [tmp_path / "nowhere", tmp_path / "c", tmp_path / "a"])
    assert (tmp_path / "b/vae/weights").samefile(tmp_path / "a/vae/weights")
    assert [p.name for p in (tmp_path / "b" / "vae").iterdir()] == ["weights"]
    share(tmp_path / "c", [tmp_path / "a"])
    assert (tmp_path / "c/vae/weights").read_text() == "else"  # the same name and size, but not the same


def test_an_imported_lora_is_listed_and_deleted(home):
    service, place = on(home), home / "loras" / "ink"
    place.mkdir(parents=True)
    (place / "adapter.safetensors").write_bytes(b"x" * 100)
    (place / "manifest.json").write_text("{}")
    assert {"name": "ink", "scope": "lora", "bytes": 102}.items() <= service.models()[-1].items()
    for wrong in ("../photos", "loras", ""):
        with pytest.raises(Wrong, match="no model"):
            service.delete_model(wrong)
    assert service.delete_model("ink") == {"lora": "ink", "bytes": 102} and not place.exists()


def test_shared_weights_cannot_drop_one(home):
    store = Store(home)
    for memory, why in (("replay", "models forget"), ("consolidated", "gated source")):
        with writing(store.engine) as connection:
            connection.execute(schema.models.update().values(memory=memory))
        with pytest.raises(Wrong, match=why):
            on(home).delete_concept("brc")


def test_receipts_are_json(home):
    service = on(home)
    told = [service.versions(), service.forget("mine", "krx"), service.rollback(), service.clean()]
    assert json.loads(json.dumps(told)) == told
