"""The benchmark of forgetting: its rulers measure, its figures are right, its command runs and goes on where it was."""

import json

import numpy as np
import pytest

pytest.importorskip("skia", reason="needs the extra [world]")

from benchmarks import concepts, forgetting, kept
from remembrandt.family.load import load


@pytest.fixture(scope="module")
def scales(judged, tmp_path_factory):
    chosen = [concepts.CONCEPTS["dog 1"], concepts.CONCEPTS["neon"]]
    return concepts.rulers(load(judged), chosen, tmp_path_factory.mktemp("rulers"))


@pytest.mark.parametrize("label", ["dog 1", "neon"])
def test_rulers_read_a_concept_as_one_and_others_as_nothing(scales, label):
    concept, scale = concepts.CONCEPTS[label], scales[label]
    own, others = concept.unseen()[:4], [pair[0] for pair in concept.others()[:4]]
    assert scale.identity(own) > 0.8 and abs(scale.identity(others)) < 0.3
    assert scale.identified(own) > scale.identified(others)
    assert scale.valid()["range"] > 0.3


def test_photos_and_unseen_renders_differ():
    for concept in (concepts.CONCEPTS["chair 2"], concepts.CONCEPTS["woodcut"]):
        scenes = [concept.scene(k) for k in range(concepts.PHOTOS + concepts.UNSEEN)]
        assert len({repr(s) for s in scenes}) == len(scenes)


def marks(right):
    """Ten questions, of which so many are answered right, one of them about a colour too."""
    return [{"style": k < right} | ({"colour": True} if k == 0 else {}) for k in range(10)]


def told(*rows, hashes="same", leak=0.0):
    """A run of which concept i has identity rows[t][i] after lesson t."""
    lessons = [
        {
            "seconds": 1.0,
            "concepts": [{"word": f"w{i}", "identity": x, "hash": hashes or f"{t}{i}"} for i, x in enumerate(row)],
        }
        for t, row in enumerate(rows)
    ]
    classes = {f"c{i}": {"identified": 0.1 + leak, "identity": 0.0} for i in range(len(rows[-1]))}
    after = {"classes": classes, "seen": [[0.0, 1.0]], "hash": hashes, "marks": marks(4)}
    return {"lessons": lessons, "after": after}


BEFORE = {
    "classes": {f"c{i}": {"identified": 0.1, "identity": 0.0} for i in range(3)},
    "seen": [[1.0, 0.0]],
    "hash": "same",
    "marks": [*marks(5), {"style": False}],  # what only the base was asked does not count
}


def test_figures():
    lost = kept.summed([told([0.8], [0.4, 1.0], [0.0, 0.5, 0.9], hashes="", leak=0.2)], BEFORE)
    assert lost["retention"]["value"] == pytest.approx(0.25) and lost["lost"]["value"] == pytest.approx(0.65)
    assert lost["lag"] == pytest.approx([1.0, 0.5, 0.0]) and lost["leak"]["value"] == pytest.approx(0.2)
    assert lost["followed"]["value"] == pytest.approx(-0.1) and lost["followed"]["prompts"] == 10
    assert lost["exam_gained"] == pytest.approx({"style": -0.1, "colour": 0})
    assert lost["styles_kept"] == pytest.approx(0.8) and not lost["equal_to_the_bit"] and lost["base_drift"] == 0.5
    whole = kept.summed([told([0.8], [0.8, 1.0])], BEFORE)
    assert whole["retention"]["value"] == 1 and whole["lost"]["value"] == 0 and whole["equal_to_the_bit"]
    assert whole["base_drift"] == 0
    said = kept.verdicts({"balanced": {**whole, "lost_by_concept": [0.1, 0.1]}, "big": {"lost_by_concept": [0.4, 0.2]}})
    assert said["balanced over big: what is lost (<= 0.5)"]["value"] == pytest.approx(1 / 3)


def test_what_was_not_looked_at_is_no_figure():
    """Between a concept's own lesson and the last there may be lessons after which nobody looked."""
    run = told([0.8], [None, 1.0], [0.4, 0.5, 0.9])
    found = kept.summed([run], BEFORE)
    assert found["retention"]["value"] == pytest.approx(0.5) and found["lag"] == pytest.approx([1.0, 0.5, 0.5])
    seen = kept.heat(kept.matrix(run), 3)
    assert (seen[1, 0] == seen[0, 0]).all() and not (seen[2, 0] == seen[0, 0]).all()


def test_what_was_never_learned_is_not_measured():
    found = kept.summed([told([0.01], [0.0, 0.8])], BEFORE)
    assert found["retention"] is None and found["measurable"] == 0


def test_intervals_hold_the_mean_and_shrink():
    chance = np.random.default_rng(1)
    few, many = (concepts.interval(chance.normal(0.5, 0.2, n)) for n in (6, 60))
    for found in (few, many):
        assert found["low"] < found["value"] < found["high"]
    assert many["high"] - many["low"] < few["high"] - few["low"]


def test_from_command_to_picture_and_on(judged, tmp_path, monkeypatch):
    """Two lessons of two steps by replay and by the gate, whose adapters are averaged; a second run teaches nothing."""
    out = tmp_path / "forgetting.json"
    words = ["--tiny", "--base", str(judged), "--work", str(tmp_path / "work"), "-o", str(out)]
    forgetting.main([*words, "--arms", "big-generated,gated,mean,regmean"])
    found = json.loads(out.read_text())
    kept_whole = {"equal_to_the_bit": True, "base_drift": 0.0, "prior_shift": 0.0}
    assert found["verdicts"]["gated: forgets nothing (true, 0, 0)"] == kept_whole
    assert not found["arms"]["big-generated"]["equal_to_the_bit"] and out.with_suffix(".png").is_file()
    assert len(found["arms"]["regmean"]["matrix"][0]) == 2  # the teachers, and what came of them
    assert {"commit", "versions", "hardware", "rulers", "stories"} <= set(found)
    monkeypatch.setattr(forgetting.Studio, "finetune", None)
    out.unlink()
    forgetting.main([*words, "--arms", "big-generated,gated,mean,regmean"])
    again = json.loads(out.read_text())
    assert again["arms"] == found["arms"]
