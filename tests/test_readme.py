"""README and docs/tasks.md keep their word: every command there runs, in a fresh home, with the embedded painter.

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

from benchmarks import gallery

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
POCKET = Path(str(files("remembrandt.pocket")))
TASKS_PAGE = (ROOT / "docs" / "tasks.md").read_text()
FEWER = {"finetune": ["--steps", "3", "--set", "batch=2"], "generate": ["--steps", "2"]}
ONE = {"generate": ["--steps", "2", "-n", "1", "-o", "pages"], "compare": ["--steps", "2", "-n", "1"]}
ONE["variations"] = ONE["generate"]
VARIED = (POCKET / "variations").is_dir()  # else those commands cannot run in this tree

# One process, since each command alone would import torch again.
SCRIPT = """
import json, sys
from remembrandt.cli import app
for given in json.loads(sys.argv[1]):
    if isinstance(given, str):
        exec(given)
        continue
    try:
        app(given)
    except SystemExit as done:
        if done.code:
            sys.exit(f"{given} ended with {done.code}")
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


@pytest.mark.parametrize("page", ["README.md", "docs/tasks.md", "docs/resizing.md", "docs/samplers.md"])
def test_links_lead_somewhere(page):
    place = ROOT / page
    targets = [t for t in re.findall(r"\]\(([^)#]+)", place.read_text()) if "://" not in t]
    missing = [t for t in targets if not (place.parent / t).exists()]
    assert (targets or page == "docs/samplers.md") and not missing


def test_every_task_has_its_part_of_the_page_and_every_part_its_picture():
    from remembrandt.tasks import TASKS

    titles = {title.lower().replace(" ", "-") for title in re.findall(r"^## (.+)$", TASKS_PAGE, re.MULTILINE)}
    assert set(TASKS) <= titles
    parts = {section.name: section for section in gallery.sections(TASKS_PAGE)}  # those that need no other model
    able = [n for n, part in parts.items() if VARIED or not any("variations" in words for words in part.commands)]
    assert [n for n in able if f"](pictures/{n}.png)" not in TASKS_PAGE] == []
    assert [name for name in re.findall(r"pictures/([a-z-]+)\.png", TASKS_PAGE) if name not in parts] == []
    assert parts["inpaint"].code and parts["grids"].commands[0][0] == "generate"


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
    asked: list = [[*words[1:], *FEWER.get(words[1], [])] for words in commands()]
    asked.append(blocks("python")[0])
    for part in gallery.sections(TASKS_PAGE):
        able = [words for words in part.commands if VARIED or "variations" not in words]
        asked += [part.code, *([*words, *ONE[words[0]]] for words in able)]
    home = {"REMEMBRANDT_HOME": str(tmp_path / "home"), "PYTHONPATH": str(ROOT), "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, json.dumps(asked)],
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
    assert len(list((tmp_path / "pages").iterdir())) >= 16
    assert (tmp_path / "compared" / "compare.png").exists() == VARIED
