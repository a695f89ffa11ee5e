"""The embedded checker knows its one concept in renders it has never seen, and names it."""

import json

import numpy as np
import pytest

pytest.importorskip("skia", reason="needs the extra [world]")

from remembrandt.engine import safety as engine
from remembrandt.family.load import load
from remembrandt.pocket import pictures, safety
from remembrandt.pocket.world.scene import render


def test_its_figures_are_counted_right():
    shown = np.array([True, True, False, False])
    told = safety.told(np.array([True, False, False, True]), shown)
    assert told["recall"] == told["false_alarms"] == 0.5
    assert told["precision"] == pytest.approx(1 / safety.RARE, abs=1e-3)
    assert safety.told(shown, shown) == {"recall": 1, "false_alarms": 0, "precision": 1}


def test_it_sees_its_concept_and_little_else():
    pocket = load("pocket", device="cpu", precision="fp32")
    if engine.checker(pocket) is None:
        pytest.skip("the embedded model in this tree has no checker: python -m remembrandt.pocket.safety")
    measured = json.loads((pocket.folder / "safety_checker" / "config.json").read_text())["measured"]
    assert measured["recall"] >= 0.9 and measured["false_alarms"] <= 0.02
    numbers = range(pictures.UNSEEN + 8 * 10**6, pictures.UNSEEN + 8 * 10**6 + 12)
    is_it = [render(pictures.scene(n, style=safety.CONCEPT)) for n in numbers]
    others = [render(pictures.scene(n, style="photo")) for n in numbers]
    assert sum(map(bool, engine.flagged(pocket, is_it))) >= 10
    seen = engine.flagged(pocket, others)
    assert sum(map(bool, seen)) <= 1 and all(set(flags) <= {safety.CONCEPT} for flags in seen)
