"""The README keeps its word: every command in it runs, in a fresh home, with the embedded painter.

Lessons and pictures take fewer steps here than they would; nothing else is changed.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
POCKET = Path(str(files("remembrandt.pocket")))
FEWER = {"finetune": ["--steps", "3", "--set", "batch=2"], "generate": ["--steps", "2"]}

# One process, since each command alone would import torch again.
SCRIPT = """
import json, sys
from remembrandt.cli import app
given, code = json.loads(sys.argv[1]), sys.argv[2]
for words in given:
    try:
        app(words)
    except SystemExit as done:
        if done.code:
            sys.exit(f"{words} ended with {done.code}")
exec(code)
"""


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def commands() -> list[list[str]]:
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    return [shlex.split(line, comments=True) for line in lines if line.startswith("remembrandt ")]


def test_it_opens_as_it_should():
    lines = [line for line in TEXT.splitlines() if line]
    assert lines[0] == "# Remembrandt" and "docs/demo.png" in lines[2]
    first = [line.split("#")[0].strip() for line in blocks("sh")[0].splitlines()]
    assert first == ["make demo", "make test"]
    assert [sum(c.startswith("remembrandt") for c in block.splitlines()) for block in blocks("sh")] == [0, 6, 2, 6]
    assert len(blocks("python")[0].splitlines()) == 3


def test_its_links_lead_somewhere():
    targets = re.findall(r"\]\(([^)#]+)", TEXT)
    assert targets and not [t for t in targets if "://" not in t and not (ROOT / t).exists()]


def test_the_files_that_it_tells_to_read_are_there():
    named = re.findall(r"`([a-z_/]+\.py)`", TEXT)
    assert named and not [name for name in named if not (ROOT / "remembrandt" / name).exists()]


@pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")
@pytest.mark.parametrize("target", ["demo", "test", "lint", "bench", "weights"])
def test_make_knows_its_targets(target):
    done = subprocess.run(["make", "-n", target], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_command_runs(tmp_path):
    if not (POCKET / "weights" / "model_index.json").exists():
        pytest.skip("the embedded model is not in this tree: make weights")
    shutil.copytree(POCKET / "photos", tmp_path / "demo" / "photos")
    shutil.copytree(POCKET / "weights", tmp_path / "stable-diffusion-v1-5" / "stable-diffusion-v1-5")
    asked = [[*words[1:], *FEWER.get(words[1], [])] for words in commands()]
    home = {"REMEMBRANDT_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(asked), blocks("python")[0]],
        cwd=tmp_path,
        env={**os.environ, **home},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "briscoe" in done.stdout and "lnl" in done.stdout  # concepts list
    assert (tmp_path / "prepared" / "sheet.png").exists() and (tmp_path / "briscoe.png").exists()
    assert len(list((tmp_path / "home" / "pictures").iterdir())) == 9 + 1 + 1 + 6 + 1  # and the sheet of the grid
    assert (tmp_path / "retention" / "report.html").exists() and any((tmp_path / "briscoe").iterdir())
