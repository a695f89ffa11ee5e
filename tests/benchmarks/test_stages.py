"""The benchmark of stages, from command to picture."""

import json
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("skia", reason="needs the extra [world]")

from benchmarks import stages
from remembrandt.family.load import save
from tests.training.seeing import see


def test_from_command_to_picture(tiny, tmp_path):
    base = save(see(tiny), tmp_path / "seeing")
    shutil.copytree(Path(str(files("remembrandt.pocket"))) / "weights" / "judges", base / "judges")
    out = tmp_path / "stages.json"
    stages.main(["--tiny", "--base", str(base), "--work", str(tmp_path), "-o", str(out)])
    found = json.loads(out.read_text())
    assert list(found["arms"]) == ["two stages", "one stage", "lora"] and out.with_suffix(".png").is_file()
    ways = found["resize"]["two stages"]
    assert ways["as trained"]["cosine_with_as_trained"] == 1 > ways["antialiased"]["cosine_with_as_trained"]
