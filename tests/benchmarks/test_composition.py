"""The benchmark of composition: what it asks for, how it judges, its figures, its command and that it goes on."""

import json

import numpy as np
import pytest

pytest.importorskip("skia", reason="needs the extra [world]")

from benchmarks import composition, concepts, pairs
from benchmarks.composition import BASE, CELLS
from benchmarks.pairs import Case, halves
from remembrandt.engine.compose import LOCAL, ROUTED, SUMMED, WAYS
from remembrandt.evaluation import features
from remembrandt.family.load import load
from remembrandt.memory.library import Library
from remembrandt.pocket.world.scene import layout, render
from tests.memory.test_library import taught as ready


def test_what_is_asked_for():
    call = lambda c: f"{c.style if not c.colour else c.colour} {c.category}"  # noqa: E731
    assert Case(("dog 1", "bottle 1")).prompt(call, 0) == "a teal dog beside a purple bottle on the beach"
    assert Case(("dog 1",), "neon").prompt(call, 1) == "a neon painting of a teal dog in the forest"
    assert Case(("dog 1",), known="comic").prompt(call, 8) == "a comic drawing of a teal dog on the beach"
    assert Case(("dog 1",), twin=True).prompt(call, 2) == "a teal dog beside a dog in the snow"
    scene = Case(("dog 1", "chair 1"), "neon").scene(3, strangers=False)
    assert [(s.category, s.colour) for s in scene.subjects] == [("dog", "teal"), ("chair", "green")]
    assert scene.style == "neon" and scene.relation == "beside"
    other = Case(("dog 1", "chair 1"), "neon").scene(3, strangers=True)
    assert all(a.seed != b.seed and a.colour == b.colour for a, b in zip(scene.subjects, other.subjects, strict=True))


def test_every_target_of_the_issue_has_its_cell():
    assert {n: c.target for n, c in CELLS.items() if c.target} == {
        "subject x taught style": 0.75, "subject x base style": 0.80, "two classes": 0.85, "one class": 0.6,
        "bleeding": 2.0,
    }  # fmt: skip
    for name in ("subject x taught style", "two classes", "one class", "two subjects x style", "bleeding"):
        assert CELLS[name].ways == tuple(WAYS)
    used = {label for cell in CELLS.values() for case in cell.cases for label in (*case.things, case.taught) if label}
    assert used == set(composition.TAUGHT)


def test_each_half_holds_one_of_two_things():
    """Painted over, the half of a thing changes and the other does not."""
    for number in range(6):
        scene = Case(("dog 1", "bottle 1")).scene(number, strangers=False)
        picture, side = render(scene), int(layout(scene)[0].x > 0.5)
        spot = layout(scene)[0]
        x, y = round(spot.x * 128), round((spot.y - spot.height / 2) * 128)
        marked = picture.copy()
        marked[y - 3 : y + 3, x - 3 : x + 3] ^= 255
        moved = [not np.array_equal(a, b) for a, b in zip(halves(picture), halves(marked), strict=True)]
        assert moved[side] and not moved[1 - side]


def test_the_judge_tells_who_is_who(judged, tmp_path):
    """On renders, whatever the state of the judges: a red car alone is no success; the sides are nobody's."""
    family = load(judged)
    looks = features.looks(family)["instances"]
    judge = pairs.Judge(concepts.readers(family), looks, {}, tmp_path, 3, 2)
    case = Case(("dog 1", "bottle 1"))
    scale = judge.scale("dog 1", "photo", True)
    assert scale.real.shape[0] == 3 and scale.others.shape[:2] == (2, 2)
    car = render(pairs.showing([pairs.Subject("car", "red")], "photo", [1], 0))
    assert not judge.success(case, car) and not judge.success(Case(("dog 1",)), car, named=True)
    mirrored = [render(case.scene(k, False)) for k in range(3)]
    verdicts = [judge.success(case, p) for p in mirrored]
    assert verdicts == [judge.success(Case(case.things[::-1]), p) for p in mirrored]


def told(**shares):
    """Figures in which every cell reaches the same by every way, but for what is given."""
    made = {n: {way: {"value": 0.5} for way in (*WAYS, BASE)} for n in CELLS}
    for name, ways in shares.items():
        for way, value in ways.items():
            made[name.replace("_", " ")][way] = {"value": value}
    return made


def test_verdicts():
    found = composition.verdicts(
        told(
            two_classes={SUMMED: 0.3, LOCAL: 0.1, ROUTED: 0.7, BASE: 0.8},
            one_class={ROUTED: 0.5, SUMMED: 0.4},
            bleeding={SUMMED: 0.3, ROUTED: 0.1, BASE: 0.1},
        )
    )
    assert found["wins"] == ROUTED
    assert found["figures"]["two classes"][ROUTED] == pytest.approx(0.875)
    assert found["met"]["two classes"] == {SUMMED: False, LOCAL: False, ROUTED: True}
    assert found["figures"]["one class"][SUMMED] == pytest.approx(0.5) and found["met"]["one class"][ROUTED]
    assert found["figures"]["bleeding"][SUMMED] == pytest.approx(3) and not found["met"]["bleeding"][SUMMED]
    assert found["met"]["bleeding"][ROUTED] and not found["met"]["subject x taught style"][ROUTED]
    assert composition.verdicts(told(bleeding={BASE: 0.0}))["met"]["bleeding"][SUMMED] is None


def test_from_command_to_picture_and_on(judged, tmp_path, monkeypatch):
    """Of adapters that lie ready; the second run paints nothing."""
    out, base = tmp_path / "composition.json", load(judged)
    labels = composition.needed(composition.SIZES["tiny"])
    assert labels == ["dog 1", "bottle 1", "neon", "chair 1", "dog 2"]  # as `forgetting` teaches them
    words = dict(zip(labels, ("brc", "krx", "vlt", "zmf", "qpw"), strict=True))
    known = [
        ready(base, tmp_path, word, k, category=concepts.CONCEPTS[label].category)
        for k, (label, word) in enumerate(words.items())
    ]
    monkeypatch.setattr(composition, "taught", lambda *given: Library(known, base.digest))
    asked = ["--tiny", "--base", str(judged), "--work", str(tmp_path / "work"), "-o", str(out)]
    composition.main(asked)
    found = json.loads(out.read_text())
    assert set(found["cells"]) == set(CELLS) and found["verdicts"]["wins"] in WAYS
    assert all(f["pictures"] == 2 for ways in found["cells"].values() for f in ways.values())
    assert {"commit", "versions", "hardware", "rulers", "judge", "gaps", "seed"} <= set(found)
    assert out.with_suffix(".png").is_file()
    shown = [next(tmp_path.rglob(f"pictures/two classes/{way}/0.png")).read_bytes() for way in (*WAYS, BASE)]
    assert len(set(shown)) == 4  # every way paints its own picture
    monkeypatch.setattr(composition.Engine, "paint", None)
    out.unlink()
    composition.main(asked)
    assert json.loads(out.read_text())["cells"] == found["cells"]
