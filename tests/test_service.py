"""The use cases on a home: teach, paint, list, resume, export."""

import shutil

import numpy as np
import pytest
from PIL import Image

from remembrandt import Studio
from remembrandt.evaluation import copies
from remembrandt.jobs.files import Home
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from remembrandt.store.store import Store
from remembrandt.training.methods import METHODS
from tests.homes import SHORT, photos

LESSON = {"steps": 3, "options": SHORT}


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("given") / "dog")


@pytest.fixture(scope="module")
def taught(shots, tiny_folder, tmp_path_factory):
    """A home with two lessons: briscoe the dog, then a cat. Copy it before you change it."""
    home = tmp_path_factory.mktemp("taught") / "home"
    service = Service(Settings(home, "cpu", "fp32"))
    base = str(tiny_folder)
    first = service.finetune(shots, "dog", name="Briscoe", base=base, **LESSON)
    before = pixels(service, first)
    second = service.finetune(shots, "cat", identifier="krx", **LESSON)
    return home, first, second, before


@pytest.fixture
def copied(taught, tmp_path):
    shutil.copytree(taught[0], tmp_path / "home")
    return tmp_path / "home"


def on(home) -> Service:
    return Service(Settings(home, "cpu", "fp32"))


def pixels(service, lesson) -> list[np.ndarray]:
    """The older concept and the base, each painted by itself."""
    prompts = (f"a {lesson['identifier']} dog", "briscoe on the beach", "a dog", "")
    return [service.paint(p, seed=5, steps=2)[0].pixels for p in prompts]


def test_what_finetune_tells(taught):
    _, first, second, _ = taught
    expected = {
        "model", "version", "concept", "identifier", "category", "method", "memory", "base",
        "steps", "seconds", "job", "warnings", "retention",
    }  # fmt: skip
    assert expected <= first.keys() and {"mean", "worst", "published"} <= first["retention"].keys()
    assert (first["model"], first["version"], second["version"]) == ("mine", 1, 2)
    assert (first["name"], first["category"], first["base"]) == ("briscoe", "dog", "tiny")
    assert first["memory"] == "gated" and first["method"] == "oft" and first["steps"] == 3
    assert second["identifier"] == "krx" and second["retention"]["measured"] == 1


def test_nothing_taught_later_changes_what_was_taught_before(taught):
    home, first, _, before = taught
    after = pixels(on(home), first)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert np.array_equal(after[0], on(home).paint("a briscoe", seed=5, steps=2)[0].pixels)
    assert not np.array_equal(after[0], after[2])


def test_a_home_has_what_it_needs_and_nothing_else(taught):
    home, first, second, _ = taught
    kept = {str(p.relative_to(home)).split("/")[0] for p in home.rglob("*")}
    assert kept - {"remembrandt.sqlite-journal"} == {
        "remembrandt.sqlite", "models", "jobs", "photos", "bases",
    }  # fmt: skip
    for lesson in (first, second):
        folder = Home(home).concept("mine", lesson["concept"])
        assert {p.name for p in folder.iterdir()} == {"adapter.safetensors", "manifest.json"}
        left = {p.name for p in Home(home).job(lesson["job"]).iterdir()}
        assert left == {"request.json", "result.json", "previews", "samples"}
    assert len(list((home / "photos").iterdir())) == 4  # both lessons had the same ones
    assert not [p for p in home.rglob("*") if p.suffix in (".bin", ".pt", ".pkl", ".ckpt")]


def test_a_home_can_be_moved_and_outlives_its_base(shots, tiny_folder, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(tiny_folder, base)
    lesson = on(tmp_path / "home").finetune(shots, "dog", base=str(base), **LESSON)
    asked = {"prompt": f"a {lesson['identifier']} dog", "seed": 1, "steps": 2}
    before = on(tmp_path / "home").paint(**asked)[0].pixels
    shutil.rmtree(base)
    shutil.move(tmp_path / "home", tmp_path / "elsewhere")
    moved = on(tmp_path / "elsewhere")
    assert np.array_equal(before, moved.paint(**asked)[0].pixels)
    assert moved.finetune(shots, "cat", **LESSON)["version"] == 2


def test_lists(taught):
    home, first, second, _ = taught
    service = on(home)
    assert [m["name"] for m in service.models()] == ["pretrained", "mine"]
    mine = service.model()
    assert mine["version"] == 2 and [v["number"] for v in mine["versions"]] == [1, 2]
    assert [c["identifier"] for c in service.concepts("mine")] == [first["identifier"], "krx"]
    for word in (first["identifier"], "Briscoe", first["concept"]):
        assert service.concept(word)["id"] == first["concept"]
    told = service.jobs()
    assert [(j["id"], j["state"], j["step"], j["total"]) for j in told] == [
        (first["job"], "succeeded", 3, 3), (second["job"], "succeeded", 3, 3),
    ]  # fmt: skip
    shown = service.job(first["job"])
    assert shown["result"] == first and all(Image.open(p).size for p in shown["previews"])


def test_pictures_are_kept_with_their_recipes(taught, tmp_path):
    from remembrandt.engine import recipe

    service = on(taught[0])
    asked = {"n": 2, "seed": 7, "steps": 2, "size": (64, 128)}
    for form in ("png", "jpg", "webp"):
        found = service.generate("briscoe", out=tmp_path, format=form, **asked)["images"]
        assert [i["seed"] for i in found] == [7, 8] and found[0]["path"].endswith(form)
        assert {**recipe.read(found[0]["path"]), "path": found[0]["path"]} == found[0]
        assert Image.open(found[0]["path"]).size == (64, 128)
    assert found[0]["model"] == "mine" and found[0]["version"] == 2
    assert found[0]["prompt"] == "briscoe" and found[0]["task"] == "text-to-image"
    again = service.generate("briscoe", out=tmp_path, **asked)
    assert len(list(tmp_path.iterdir())) == 6 and again["images"][0]["seed"] == 7


def test_a_near_copy_of_a_photo_is_told_where_its_concept_is_named(taught, monkeypatch):
    monkeypatch.setattr(copies, "LEAST", -1.0)  # anything is a copy then
    named, plain = (on(taught[0]).paint(p, seed=5, steps=1)[0].recipe for p in ("briscoe", "a dog"))
    assert named["near_copy"]["concept"] == taught[1]["identifier"] and "near_copy" not in plain


def test_a_seed_is_drawn_and_told(taught):
    seeds = {on(taught[0]).paint("a dog", steps=1)[0].recipe["seed"] for _ in range(2)}
    assert len(seeds) == 2


def test_a_private_model_by_dreambooth(shots, tiny_folder, tmp_path):
    service = on(tmp_path / "home")
    options = {**SHORT, "num_class_images": 2, "learning_rate": 1e-3}
    wish = {"scope": "private", "method": "dreambooth", "base": str(tiny_folder), "steps": 2}
    lesson = service.finetune(shots, "dog", options=options, **wish)
    assert (lesson["model"], lesson["scope"], lesson["version"]) == ("dog", "private", 1)
    prompt = f"a {lesson['identifier']} dog"
    asked = {"seed": 1, "steps": 2}
    moved = service.paint(prompt, model="dog", **asked)[0].pixels
    assert not np.array_equal(
        moved, service.paint(prompt, model=str(tiny_folder), **asked)[0].pixels
    )
    with pytest.raises(Wrong, match="private"):
        service.finetune(shots, "dog", model="dog", **LESSON)
    assert service.finetune(shots, "dog", options=options, **wish)["model"] == "dog-2"


@pytest.mark.parametrize("to", ["diffusers", "single-file"])
def test_an_export_paints_what_the_gate_paints(taught, tmp_path, to):
    home, first, _, _ = taught
    service = on(home)
    with pytest.raises(Wrong, match="--concept"):
        service.export("mine", to, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    told = service.export("mine", to, tmp_path / "out", concept="briscoe")
    asked = {"seed": 3, "steps": 2, "guidance": 1.0}  # guided, an export wears it on both rows
    gated = service.paint("briscoe", **asked)[0].pixels.astype(int)
    prompt = f"{told['trigger']} dog"
    plain = service.paint(prompt, model=told["path"], **asked)[0].pixels.astype(int)
    assert np.abs(gated - plain).mean() < 1  # half precision on disk
    assert told["concept"] == first["concept"]
    with pytest.raises(Wrong, match="new or empty"):
        service.export("mine", to, tmp_path / "out", concept="briscoe")


def test_a_lora_goes_out_and_comes_back(copied, tmp_path):
    """What was exported as a LoRA and imported again dresses any prompt that calls it."""
    service = on(copied)
    told = service.export("mine", "lora", tmp_path / "out", concept="briscoe", rank=64)
    beside = {p.name for p in (tmp_path / "out").iterdir()} - {"manifest.json"}
    assert told["error"] < 0.01 and told["files"].keys() == beside
    found = service.import_lora(told["path"], name="bris")
    assert found["prompt"] == "<lora:bris:1>" and not found["warnings"]
    asked = {"seed": 3, "steps": 2}
    plain, worn, off = (service.paint(f"a dog{tag}", **asked)[0] for tag in ("", " <lora:bris:2>", " <lora:bris:0>"))
    assert np.array_equal(plain.pixels, off.pixels) and not np.array_equal(plain.pixels, worn.pixels)
    assert worn.recipe["prompt"] == "a dog <lora:bris:2>"
    for to, rest in (("embedding", {"rank": 4}), ("lora", {"rank": 0})):
        with pytest.raises(Wrong, match="--rank"):
            service.export("mine", to, tmp_path / "none", concept="briscoe", **rest)
    assert not (tmp_path / "none").exists()


def test_in_bf16_too_nothing_later_moves_a_picture_and_a_resumed_lesson_is_the_same(shots, tiny_folder, tmp_path):
    def service(home) -> Service:
        return Service(Settings(tmp_path / home, "cpu", "bf16"))

    def stop(event):
        if event.stage == "teaching" and event.step == 3:
            raise KeyboardInterrupt

    wish = {"base": str(tiny_folder), "steps": 5, "options": SHORT, "seed": 2}
    with pytest.raises(KeyboardInterrupt):
        service("cut").finetune(shots, "dog", name="Briscoe", progress=stop, **wish)
    steps = []
    resumed = service("cut").resume(service("cut").jobs()[0]["id"], progress=lambda e: steps.append((e.stage, e.step)))
    whole = service("whole").finetune(shots, "dog", name="Briscoe", **wish)
    kept = [Home(tmp_path / h).concept("mine", t["concept"]) for h, t in (("cut", resumed), ("whole", whole))]
    assert ("teaching", 1) not in steps and ("teaching", 5) in steps
    assert (kept[0] / "adapter.safetensors").read_bytes() == (kept[1] / "adapter.safetensors").read_bytes()
    before = pixels(service("cut"), resumed)
    assert service("cut").finetune(shots, "cat", steps=2, options=SHORT)["version"] == 2
    assert all(map(np.array_equal, before, pixels(service("cut"), resumed)))


def test_a_failed_lesson_leaves_the_model_as_it_was(copied, shots, monkeypatch):
    from remembrandt.memory import lesson as lessons

    service = on(copied)
    before = service.model()

    def fail(*args, **rest):
        raise RuntimeError("the disk\nis full")

    with monkeypatch.context() as patched:
        patched.setattr(lessons.adapters, "save", fail)
        with pytest.raises(RuntimeError):
            service.finetune(shots, "bird", **LESSON)
    assert service.model() == before
    job = service.jobs()[-1]
    assert (job["state"], job["error"]) == ("failed", "the disk is full")
    word = job["identifier"]
    another = service.finetune(shots, "bird", **LESSON)
    assert another["identifier"] != word and another["version"] == 3
    resumed = service.resume(job["id"])
    assert resumed["identifier"] == word and resumed["version"] == 4
    with pytest.raises(Wrong, match="handed out"):
        service.finetune(shots, "bird", identifier=word, **LESSON)
    with pytest.raises(Wrong, match="nothing to resume"):
        service.resume(job["id"])


def test_an_identifier_of_a_failed_first_lesson_is_gone_too(shots, tiny_folder, tmp_path):
    def stop(event):
        if event.stage == "teaching":
            raise KeyboardInterrupt

    service = on(tmp_path / "home")
    with pytest.raises(KeyboardInterrupt) as fault:
        service.finetune(shots, "dog", base=str(tiny_folder), progress=stop, **LESSON)
    job = service.jobs()[0]
    assert job["state"] == "interrupted" and job["id"] in "".join(fault.value.__notes__)
    assert [m["name"] for m in service.models()] == ["pretrained"]
    again = service.finetune(shots, "dog", base=str(tiny_folder), **LESSON)
    assert again["identifier"] != job["identifier"] and again["version"] == 1
    service.cancel(job["id"])
    assert not Home(tmp_path / "home").job(job["id"]).exists()
    with pytest.raises(Wrong, match="canceled"):
        service.resume(job["id"])


def test_a_lesson_that_diverges_is_not_published(copied, shots):
    service = on(copied)
    before = service.model()
    wild = {**SHORT, "learning_rate": 1.0, "token_rate": 1.0, "clip": 1e30}

    def spoil(event):
        if event.stage == "teaching":
            family = next(iter(service._loaded.values()))
            family.unet.conv_out.bias.data += float("nan")

    refused = service.finetune(shots, "bird", steps=3, options=wild, progress=spoil)
    assert refused["retention"]["published"] is False and "loss" in refused["retention"]["why"]
    assert refused["version"] == 2 and service.jobs()[-1]["state"] == "failed"
    assert on(copied).model() == before


def test_a_lesson_whose_last_step_diverges_is_not_published(copied, shots):
    """No loss sees what the last step did."""
    service = on(copied)

    def spoil(event):
        if event.stage == "teaching" and event.step == 2:
            family = next(iter(service._loaded.values()))
            family.unet.conv_out.register_full_backward_hook(lambda module, into, out: (into[0] * float("nan"),))

    refused = service.finetune(shots, "bird", steps=3, options=SHORT, progress=spoil)
    assert refused["retention"]["published"] is False and "weights" in refused["retention"]["why"]
    assert refused["steps"] == 3 and service.jobs()[-1]["state"] == "failed"


def test_a_first_lesson_that_cannot_be_entered_leaves_its_neighbour(shots, tiny_folder, tmp_path, monkeypatch):
    """Two lessons begin in one new home; what the one leaves when it fails is the other's."""
    home, enter = tmp_path / "home", Store.enter

    def fail(self, *rest):
        raise OSError("the disk is full")

    def overtaken(self, *rest):
        with monkeypatch.context() as patched:
            patched.setattr(Store, "enter", fail)
            with pytest.raises(OSError, match="full"):
                on(home).finetune(shots, "dog", base=str(tiny_folder), **LESSON)
        return enter(self, *rest)

    monkeypatch.setattr(Store, "enter", overtaken)
    assert on(home).finetune(shots, "dog", base=str(tiny_folder), **LESSON)["version"] == 1
    assert len(list((home / "jobs").iterdir())) == 1


def test_only_one_lesson_at_a_time(copied, shots):
    service = on(copied)
    second = []

    def teach_again(event):
        if event.stage == "teaching" and not second:
            with pytest.raises(Wrong, match="is being taught by job") as fault:
                on(copied).finetune(shots, "bird", **LESSON)
            second.append(fault)

    service.finetune(shots, "bird", progress=teach_again, **LESSON)
    assert second and len(service.jobs()) == 3
    assert len(list((copied / "jobs").iterdir())) == 3


def test_studio(taught, tiny_folder, tmp_path):
    studio = Studio(tmp_path / "home", device="cpu", precision="fp32")
    draw = np.random.default_rng(0)
    array = draw.integers(0, 255, (160, 160, 3)).astype(np.uint8)
    lesson = studio.finetune(
        [Image.fromarray(array), array[::-1]], category="dog", base=str(tiny_folder), **LESSON
    )
    assert lesson.version == 1 and lesson.retention["published"]
    pictures = studio.generate(f"a {lesson.identifier} dog", n=2, seed=1, steps=1)
    assert pictures[0].size == (128, 128) and pictures[1].recipe["seed"] == 2
    assert not (tmp_path / "home" / "pictures").exists()
    assert studio.models() == studio.service.models() and "concepts" in dir(studio)
    with pytest.raises(AttributeError):
        studio.nonsense  # noqa: B018


def test_families_have_names(tiny_folder, tmp_path):
    service = on(tmp_path / "home")
    with pytest.raises(Wrong):
        service.add_family("small", str(tmp_path / "nowhere"))
    assert not (tmp_path / "home").exists()
    service.add_family("small", str(tiny_folder))
    assert service.families()[-1] == {"name": "small", "source": str(tiny_folder)}
    assert service.paint("a dog", model="small", steps=1, seed=0)[0].recipe["model"] == "small"


def test_tables_tell_their_fields(tmp_path):
    service = on(tmp_path)
    fields = {"name", "label", "order", "calls_per_step", "steps", "stochastic", "advice"}
    assert all(row.keys() == fields for row in service.samplers())
    assert {row["name"] for row in service.methods()} == set(METHODS)


def test_the_store_is_whole_after_all_this(taught):
    assert Store(taught[0]).used(Store(taught[0]).model("mine").id) >= {"krx"}
