"""`--steps auto` through a home, and another rung published without training again."""

import shutil

import numpy as np
import pytest

from remembrandt.jobs.files import Home
from remembrandt.memory import ladder
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from tests.homes import SHORT, photos


def on(home) -> Service:
    return Service(Settings(home, "cpu", "fp32"))


def painted(service, word, **rest):
    return service.paint(f"a {word} dog", seed=1, steps=1, **rest)[0].pixels


@pytest.fixture(scope="module")
def climbed(tiny_folder, tmp_path_factory):
    """A home with one lesson by auto, its rungs at 2, 3 and 4 steps."""
    place = tmp_path_factory.mktemp("climbed")
    shots = photos(place / "dog")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ladder, "STEPS", 2)
        patch.setattr(ladder, "steps", lambda usual, category: [2, 3, 4])
        lesson = on(place / "home").finetune(
            shots, "dog", identifier="brc", base=str(tiny_folder), steps="auto", options=SHORT
        )
        moved = on(place / "home").finetune(
            shots, "dog", scope="private", method="dreambooth", base=str(tiny_folder), name="rex", steps="auto",
            options={**SHORT, "num_class_images": 0, "learning_rate": 1e-3},
        )  # fmt: skip
    return place / "home", shots, lesson, moved


@pytest.fixture
def home(climbed, tmp_path):
    shutil.copytree(climbed[0], tmp_path / "home")
    return tmp_path / "home"


def test_what_auto_tells(climbed):
    home, _, lesson, _ = climbed
    told = lesson["ladder"]
    assert told["chosen"] == lesson["steps"] and [r["steps"] for r in told["rungs"]] == [2, 3, 4]
    assert {p.name for p in Home(home).job(lesson["job"]).iterdir()} >= {"ladder.png", "previews", "request.json"}
    assert on(home).concept("brc")["options"]["steps"] == lesson["steps"]
    row = on(home).versions()[0]
    assert (row["steps"], row["rungs"]) == (lesson["steps"], [2, 3, 4])


def test_another_rung(home, climbed, tiny_folder):
    service, was = on(home), climbed[2]["steps"]
    other = next(k for k in (2, 3, 4) if k != was)
    before = painted(service, "brc")
    told = service.pick(steps=other)
    assert (told["version"], told["was"], told["steps"], told["steps_before"]) == (2, 1, other, was)
    now = painted(service, "brc")
    short = on(home / "short")  # the lesson of so many steps, taught by itself
    short.finetune(climbed[1], "dog", identifier="brc", base=str(tiny_folder), steps=other, options=SHORT)
    assert np.array_equal(now, painted(short, "brc")) and not np.array_equal(now, before)
    service.rollback()
    assert np.array_equal(painted(service, "brc"), before)
    service.pick(steps=other)
    service.clean()
    service.pick(steps=was, concept="brc")  # the ladder came along
    assert np.array_equal(painted(service, "brc"), before)


def test_another_rung_of_moved_weights(home, climbed):
    service, lesson = on(home), climbed[3]
    word, other = lesson["identifier"], next(k for k in (2, 3, 4) if k != lesson["steps"])
    before = painted(service, word, model="rex")
    service.pick("rex", other)
    assert not np.array_equal(painted(service, word, model="rex"), before)
    service.pick("rex", lesson["steps"])
    assert np.array_equal(painted(service, word, model="rex"), before)


def test_what_cannot_be_picked(home, climbed, tmp_path):
    service, was = on(home), climbed[2]["steps"]
    for steps in (was, 5, -1, 0):
        with pytest.raises(Wrong, match=r"no other rung .* 2.*, 3.*, 4"):
            service.pick(steps=steps)
    with pytest.raises(Wrong, match="knows no concept"):
        service.pick(steps=2, concept="zlt")
    with pytest.raises(Wrong, match="no model"):
        service.pick("nobody", 2)
    service.finetune(photos(tmp_path / "cat", seed=1), "cat", identifier="krx", steps=2, options=SHORT)
    with pytest.raises(Wrong, match="left no ladder"):
        service.pick(steps=2)
    other = next(k for k in (2, 3, 4) if k != was)
    told = service.pick(steps=other, concept="brc")  # an older concept of a gated model
    assert told["version"] == 3 and [c["identifier"] for c in service.concepts("mine")] == ["brc", "krx"]
