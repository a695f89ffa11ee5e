"""The benchmark of samplers, from command to figures; and how many steps a budget of calls is."""

import json

import pytest

pytest.importorskip("skia", reason="needs the extra [world]")

from benchmarks import guide, samplers
from remembrandt.diffusion.samplers import SAMPLERS


def test_a_budget_is_of_calls():
    calls = (5, 10, 20)
    assert samplers.budgets(SAMPLERS["euler"], calls) == {"usual": 20, "5": 5, "10": 10, "20": 20}
    assert samplers.budgets(SAMPLERS["heun"], calls) == {"usual": 15, "5": 3, "10": 5, "20": 10}
    assert samplers.budgets(SAMPLERS["plms"], calls)["10"] == 9  # whose first step makes two
    assert samplers.budgets(SAMPLERS["dpm-adaptive"], calls) == {"usual": SAMPLERS["dpm-adaptive"].steps}


def test_energy_distance_tells_other_data():
    same = samplers.distance(samplers.data(1, 1024), samplers.data(2, 1024))
    assert 0 < same < samplers.distance(samplers.data(1, 1024) * 0.8, samplers.data(2, 1024)) / 2


def test_parts_are_measured_one_by_one(judged, tmp_path, monkeypatch):
    monkeypatch.setattr(samplers, "SAMPLERS", {name: SAMPLERS[name] for name in ("euler", "euler-a", "heun")})
    monkeypatch.setattr(guide, "ANCESTRAL", ("euler-a",))
    out = tmp_path / "samplers.json"
    words = ["--quick", "--base", str(judged), "-o", str(out)]
    samplers.main(["together", *words])
    samplers.main(["painter", *words])
    found = json.loads(out.read_text())
    assert list(found) == ["together", "painter"] and found["together"]["ratio"] > 0
    gap = found["together"]["grey_levels_apart"]
    assert gap["mean"] <= 0.1 and gap["within 2"] >= 0.999
    assert set(found["together"]["of_each"]) == set(samplers.SAMPLERS)
    heun = found["painter"]["samplers"][2]
    assert set(heun["quality"]) == {"usual", "5"} and {"category", "colour", "place", "style"} <= set(heun["read"]["5"])
    assert "3 requests" in guide.batch(found) and "alone or among twenty" in guide.claims(found)
