"""The retention report: what it says, that it stands alone, and what it measures again."""

import json
import re
import shutil

import numpy as np
import pytest
from PIL import Image

from remembrandt.jobs import reporting
from remembrandt.memory import measuring, page
from remembrandt.memory.library import Concept
from remembrandt.service import Service
from remembrandt.settings import Settings
from tests.homes import SHORT, judged, photos


def on(home) -> Service:
    return Service(Settings(home, "cpu", "fp32"))


@pytest.fixture(scope="module")
def reported(tiny_folder, tmp_path_factory):
    """Two lessons, the first on five photos, and their report."""
    place = tmp_path_factory.mktemp("reported")
    service, lesson = on(place / "home"), {"steps": 2, "options": SHORT}
    base = str(judged(tiny_folder, place / "tiny"))
    service.finetune(photos(place / "dog", 5), "dog", name="rex", identifier="brc", base=base, **lesson)
    service.finetune(photos(place / "oil", 4, seed=1), "painting", identifier="krx", **lesson)
    return place / "home", service.retention(out=place / "out"), place / "out"


def test_the_contracts_fields(reported):
    _, told, out = reported
    fields = {"model", "memory", "lessons", "concepts", "mean_retention", "worst_retention"}
    assert fields | {"base_drift", "prior_shift"} <= told.keys()
    assert json.loads((out / "report.json").read_text()) == told
    assert (told["model"], told["memory"], len(told["lessons"])) == ("mine", "gated", 2)
    dog, oil = told["concepts"]
    assert {"identifier", "category", "fidelity", "retention"} <= dog.keys()
    assert oil["fidelity"][0] is None and len(dog["fidelity"]) == len(oil["fidelity"]) == 2
    assert (dog["measured"], oil["measured"]) == ([True, False], [False, True])
    assert dog["retention"] == oil["retention"] == told["worst_retention"] == 1.0  # proved, if not measured
    assert dog["held_out"] and not oil["held_out"] and dog["fidelity"][0] == dog["fidelity"][1]
    assert (told["base_drift"], told["prior_shift"], told["proved"]) == (0.0, 0.0, True)
    assert told["styles_kept"] == 1.0
    assert dog["judged"][0] == dog["judged"][1] and {"identity", "prompt", "base_prompt"} <= dog["judged"][0].keys()
    assert oil["judged"][0] is None and "identity" not in oil["judged"][1]  # nobody tells styles apart by instance
    assert [len(s["paths"]) for s in dog["strips"]] == [4] and dog["freely"]["pictures"] == 8


def test_the_page_stands_alone(reported):
    _, _, out = reported
    text = (out / "report.html").read_text()
    assert not re.findall(r"""(?:src|href)=["'](?!data:)""", text) and "url(" not in text and "<script" not in text
    assert text.count("data:image/webp;base64,") >= 5 + 4 + 8 and "prefers-color-scheme" in text
    assert "brc dog" in text and "What the judges see" in text and "base styles kept" in text
    assert Image.open(out / "retention.png").width > 300


def test_a_second_report_costs_little_and_says_the_same(reported, tmp_path, monkeypatch):
    home, told, _ = reported
    monkeypatch.setattr(measuring, "paint", lambda *_: pytest.fail("painted again"))
    again = on(home).retention(out=tmp_path / "again")
    assert {**again, "page": None} == {**told, "page": None}


def test_full_measures_again_what_a_gated_lesson_cannot_change(reported, tmp_path):
    home, told, _ = reported
    again = on(home).retention(out=tmp_path / "full", full=True)
    assert [r["measured"][-1] for r in again["concepts"]] == [True, True]
    for before, now in zip(told["concepts"], again["concepts"], strict=True):
        assert now["fidelity"] == pytest.approx(before["fidelity"]) or before["fidelity"][-1] is None


def test_without_photos_it_is_not_measurable(reported, tmp_path):
    shutil.copytree(reported[0], tmp_path / "home")
    shutil.rmtree(tmp_path / "home" / "photos")
    for path in (tmp_path / "home").glob("jobs/*/samples"):
        shutil.rmtree(path)
    told = on(tmp_path / "home").retention(out=tmp_path / "out", full=True)
    assert [r["photos"] for r in told["concepts"]] == [[], []] and (tmp_path / "out" / "report.html").is_file()


def test_fidelity_is_one_at_its_best_and_zero_at_the_base():
    subject = measuring.Subject(Concept("c", "brc", "dog"), "a brc dog", [np.zeros((8, 8, 3), np.uint8)] * 5)
    base = np.random.default_rng(0).uniform(0.5, 0.6, 16)
    first = measuring.learned(base * 0.7, base, subject)
    assert first["fidelity"] == 1 and first["gain"] == pytest.approx(0.3) and first["held_out"]
    assert measuring.remaining(base * 0.7, first) == pytest.approx(1)
    assert measuring.remaining(base, first) == pytest.approx(0)
    assert measuring.remaining(base * 0.85, first) == pytest.approx(0.5)
    untaught = measuring.learned(base[::-1].copy(), base, subject)
    assert untaught["fidelity"] is None and measuring.remaining(base, untaught) is None
    assert "no measurable trace" in measuring.advice(untaught, {})[0]
    assert len(measuring.taught(subject.photos)) == 4 and len(measuring.taught(subject.photos[:4])) == 4


def test_advice_names_the_photo():
    free = {"repeats": [{"photo": 2, "name": "03.jpg", "times": 7, "pictures": 8}]}
    free |= {"diversity": 0.4, "base_diversity": 0.5, "photos_nearness": None}
    (said,) = measuring.advice({"fidelity": 1.0}, free)
    assert said.startswith("7 of 8 repeat the background of 03.jpg")


def test_a_faded_concept_is_seen_at_once():
    assert reporting.fidelity_kept([None, 0.8, 0.4]) == pytest.approx(0.5)
    assert reporting.fidelity_kept([None, 0.8, None]) is None
    some = (("brc", "dog", 0.4), ("krx", "cat", 1.0), ("zlt", "cup", None))
    rows = [dict(zip(("identifier", "category", "retention"), row, strict=True)) for row in some]
    assert page.verdict({"concepts": rows}) == "1 of 2 kept, faded: brc dog, 1 not measurable"
    light = [sum(page.colour(x)) for x in (0, 0.25, 0.5, 0.75, 1)]
    assert light == sorted(light)
