"""The benchmark of methods: blocks that are no rotations, and its command from end to end."""

import json

import pytest
import torch

pytest.importorskip("skia", reason="needs the extra [world]")

from benchmarks import methods
from remembrandt.training.examples import Example
from remembrandt.training.method import Lesson, first_rows


def test_blocks_begin_as_the_base_learn_and_are_no_rotation(tiny):
    """At the first step they do what OFT does; then only OFT keeps the energy."""
    chance = torch.Generator().manual_seed(1)
    mean = torch.randn(4, 16, 16, generator=chance)
    lesson = Lesson([Example(mean, mean.abs() * 0.1, "a brc dog")], {"brc": first_rows(tiny, "dog")})
    found = {}
    for name in (methods.BLOCKS, "oft"):
        method = methods.made(name, {"steps": 6, "batch": 2, "warmup": 1, "learning_rate": 0.02}, tiny)
        found[name] = methods.methods.learn(method, tiny, lesson)
    assert found["oft"].losses[0] == found[methods.BLOCKS].losses[0]
    energies = {name: methods.energy(tiny, learned.adapter) for name, learned in found.items()}
    assert energies["oft"] < 1e-6 < 1e-4 < energies[methods.BLOCKS]


def test_from_command_to_picture(judged, tmp_path):
    out = tmp_path / "methods.json"
    names = ["all weights", "oft without orthogonality", "token then oft"]
    words = ["--tiny", "--base", str(judged), "--work", str(tmp_path), "-o", str(out), "--methods", ",".join(names)]
    methods.main(words)
    found = json.loads(out.read_text())
    assert list(found["methods"]) == names and out.with_suffix(".png").is_file()
    for told in found["methods"].values():
        assert [row["unit"] for row in told["curve"]] == list(methods.UNITS)
    whole, blocks, _ = (found["methods"][name] for name in names)
    assert whole["bytes"] > blocks["bytes"] > 0
    assert whole["curve"][0]["drift"] < whole["curve"][-1]["drift"]  # ten steps move the base further than one
