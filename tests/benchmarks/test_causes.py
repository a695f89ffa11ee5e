"""The benchmark of causes: it finds the cause that was put in, and runs from command to picture."""

import json

import numpy as np
import pytest

pytest.importorskip("skia", reason="needs the extra [world]")

from benchmarks import causes


@pytest.mark.parametrize("cause", causes.CAUSES)
def test_the_cause_that_was_put_in_is_found(cause):
    """Two first subjects of unlike levels; what is lost depends on one cause and a little chance."""
    chance, rows = np.random.default_rng(3), []
    for first, level in (("dog 1", 0.2), ("chair 1", 0.7)):
        for _ in range(16):
            alike = {name: float(value) for name, value in zip(causes.CAUSES, chance.normal(size=3), strict=True)}
            rows.append({"first": first, **alike, "lost": level + 0.3 * alike[cause] + 0.02 * chance.normal()})
    found = causes.explained(rows)
    assert found["explained"] > 0.95 and found[cause]["unique"] > 0.7 and found[cause]["effect"]["low"] > 0.2
    for other in set(causes.CAUSES) - {cause}:
        assert found[other]["unique"] < 0.05


def test_words_near_and_far(tiny):
    first, near, far, cosines = causes.words(tiny)
    assert len({first, near, far}) == 3 and cosines[near] > cosines[far]


def test_from_command_to_picture(judged, tmp_path):
    out = tmp_path / "causes.json"
    causes.main(["--tiny", "--base", str(judged), "--work", str(tmp_path), "-o", str(out)])
    found = json.loads(out.read_text())
    assert len(found["rows"]) == 16 and out.with_suffix(".png").is_file()
    assert {row["class"] for row in found["rows"]} == {0.0, 1.0}
    assert len({row["after"]["identity"] for row in found["rows"]}) > 4  # each second lesson is one of its own
