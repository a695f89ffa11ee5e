"""The benchmark of what a lesson costs: its figures, and its command from end to end."""

import json

import pytest

pytest.importorskip("skia", reason="needs the extra [world]")

from benchmarks import cost


def test_ratios_see_what_grows():
    """The home grows by 10 at each lesson, on a base of 1000; lessons slow down, pictures do not."""
    rows = [{"seconds": 1.0 + k, "bytes": 1000 + 10 * k, "start_up": 2.0, "picture": 0.5} for k in range(8)]
    assert cost.ratios(rows, 2) == {"seconds": 7.5 / 1.5, "bytes": 1.0, "start_up": 1.0, "picture": 1.0}
    rows[-1]["bytes"] = rows[-2]["bytes"] = rows[-3]["bytes"] + 10
    assert cost.ratios(rows, 1)["bytes"] == 0


def test_no_lesson_teaches_what_another_did():
    assert len({(c.category, c.style, c.seed) for c in map(cost.taught, range(64))}) == 64


def test_from_command_to_picture(judged, tmp_path):
    out = tmp_path / "cost.json"
    words = ["--tiny", "--base", str(judged), "--work", str(tmp_path), "-o", str(out)]
    cost.main(words)
    found, times = json.loads(out.read_text()), {p: p.stat().st_mtime_ns for p in tmp_path.rglob("lesson-*.json")}
    assert len(found["lessons"]) == 3 and found["batch (eight over one <= 1.20)"]["adapters"] == 3
    assert min(found["ratios (<= 1.1)"].values()) > 0 and out.with_suffix(".png").is_file()
    cost.main(words)
    assert times == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("lesson-*.json")}
    assert json.loads(out.read_text())["lessons"] == found["lessons"]
