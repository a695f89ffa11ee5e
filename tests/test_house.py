"""The house rules that a reader would otherwise have to take on trust."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "remembrandt"
SOURCES = sorted(PACKAGE.rglob("*.py"))
# One page on purpose: every use case can be read in one place.
LONGER = {"service.py": 800}
DRAWINGS = 400  # a table of strokes is not read like code


def run(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    given = {**os.environ, **variables}
    return subprocess.run(words, cwd=ROOT, env=given, capture_output=True, text=True, timeout=300)


def test_imports_go_down_only():
    pytest.importorskip("importlinter")
    call = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports())"
    done = run(sys.executable, "-c", call)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_files_are_short(path):
    name = path.relative_to(PACKAGE).as_posix()
    most = DRAWINGS if name.startswith("pocket/world/") else LONGER.get(name, 300)
    assert len(path.read_text().splitlines()) <= most


def test_nothing_is_called_utils():
    assert not [path for path in SOURCES if path.stem in ("utils", "util", "helpers", "misc", "common")]


def test_a_plain_install_has_all_that_is_imported():
    """The world's renderer is an extra; everything else that any module imports is a dependency."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = {re.split(r"[>=<\[]", line)[0] for line in project["dependencies"]}
    called = {"cv2": "opencv-python-headless", "PIL": "pillow", "huggingface_hub": "huggingface-hub"}
    called |= {"jwt": "pyjwt", "prometheus_client": "prometheus-client"}
    optional = {"skia", "pillow_heif"}
    found = set()
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found |= {name.split(".")[0] for name in names}
    found -= {"remembrandt", *sys.stdlib_module_names, *optional, ""}
    assert {called.get(name, name) for name in found} <= wanted


def test_what_diffusion_imports_can_be_printed():
    allowed = {"torch", "remembrandt", *sys.stdlib_module_names}
    found = set()
    for path in sorted((PACKAGE / "diffusion").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                found |= {name.name.split(".")[0] for name in node.names}
            elif isinstance(node, ast.ImportFrom):
                found.add((node.module or "").split(".")[0])
    assert found <= allowed, found - allowed


@pytest.mark.parametrize("module", ["remembrandt", "remembrandt.cli", "remembrandt.report", "remembrandt.store.store"])
def test_torch_stays_asleep(module):
    heavy = ["torch", "diffusers", "transformers", "accelerate", "skia", "cv2"]
    call = f"import sys, {module}; print([name for name in {heavy} if name in sys.modules])"
    done = run(sys.executable, "-c", call)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_help_is_quick():
    """Under 0.4 s of processor time, which a busy machine does not stretch; the best of three."""
    resource = pytest.importorskip("resource")
    spent = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = run(sys.executable, "-m", "remembrandt", "--help")
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert done.returncode == 0 and "finetune" in done.stdout
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.4


def test_pickles_are_never_read():
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            name = node.attr if isinstance(node, ast.Attribute) else ""
            of = node.value.id if name and isinstance(node.value, ast.Name) else ""  # type: ignore[attr-defined]
            assert (of, name) != ("torch", "load") and of not in ("pickle", "marshal", "shelve"), path


# -- the installation --------------------------------------------------------------------------


def project() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def canonical(requirement: str) -> str:
    name = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_constraints_pin_what_is_installed():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9.-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins), pins
    assert "torch==2.13.0" in pins
    extras = project()["optional-dependencies"]
    wanted = {canonical(r) for r in project()["dependencies"] + extras["world"] + extras["dev"]}
    assert wanted - {"remembrandt"} <= {canonical(pin) for pin in pins}


def test_every_promised_extra_is_there():
    promised = {"serve", "world", "hints", "postgres", "s3", "ray", "dev"}
    assert promised <= set(project()["optional-dependencies"])
    assert project()["license"] == "Apache-2.0" and "Apache License" in (ROOT / "LICENSE").read_text()


def test_weights_are_small_and_safe():
    weights = Path(str(files("remembrandt.pocket"))) / "weights"
    if not weights.exists():
        pytest.skip("the embedded model is not in this tree: make weights")
    places = [weights, *(record.parent for record in weights.parent.rglob("remembrandt.json"))]
    sizes = {path: path.stat().st_size for place in places for path in place.rglob("*") if path.is_file()}
    assert sum(sizes.values()) <= 56_000_000 and max(sizes.values()) <= 15_000_000
    assert not [path for path in sizes if path.suffix in (".bin", ".pt", ".ckpt", ".pkl", ".pth")]


# -- the documentation -------------------------------------------------------------------------


def headings(page: str) -> set[str]:
    text = (ROOT / "docs" / page).read_text()
    return {word for line in text.splitlines() if line.startswith("#") for word in re.findall(r"`([^`]+)`", line)}


def rows(page: str) -> set[str]:
    """The first cells of the page's tables, where they are code."""
    return set(re.findall(r"^\| `([^`]+)`", (ROOT / "docs" / page).read_text(), re.MULTILINE))


def test_every_sampler_and_method_is_documented():
    from remembrandt.diffusion.samplers import SAMPLERS
    from remembrandt.tasks import TASKS
    from remembrandt.training.methods import METHODS

    assert set(SAMPLERS) <= rows("reference.md")
    assert set(TASKS) <= rows("reference.md")
    assert set(METHODS) <= headings("reference.md")


def test_every_recipe_and_its_options_are_documented():
    from remembrandt.training import options
    from remembrandt.training.recipes import PRESETS, RECIPES

    text = (ROOT / "docs" / "reference.md").read_text().partition("## Recipes")[2]
    assert set(RECIPES) <= headings("reference.md")
    wanted = {row["name"] for kind in RECIPES.values() for row in options.describe(kind)}
    assert all(f"`{name}`" in text for name in wanted | {p for known in PRESETS.values() for p in known})


def test_every_option_of_a_method_is_documented():
    from remembrandt.training import options
    from remembrandt.training.methods import METHODS

    wanted = {row["name"] for kind in METHODS.values() for row in options.describe(kind)}
    assert wanted <= rows("reference.md")


def test_every_command_and_its_options_are_documented():
    import typer.main

    from remembrandt.cli import app

    text = (ROOT / "docs" / "reference.md").read_text()
    known, computing = headings("reference.md"), set()

    def visit(command, path: str) -> None:
        inside = getattr(command, "commands", None)
        if inside:
            for name, below in inside.items():
                visit(below, f"{path} {name}".strip())
            return
        assert path in known, f"docs/reference.md lacks a heading for `{path}`"
        if any(parameter.name == "precision" for parameter in command.params):
            computing.add(path)
        for parameter in command.params:
            for word in parameter.opts:
                said = re.search(rf"{word}(?![\w-])", text)
                assert said or not word.startswith("--"), f"docs/reference.md lacks {word}"

    visit(typer.main.get_command(app), "")
    told = re.search(r"Commands that compute \(([^)]*)\)", text)
    assert told and set(re.findall(r"`([^`]+)`", told[1])) == computing


def test_the_seeds_name_commands_that_exist():
    import typer.main

    from remembrandt.cli import app

    known = set(typer.main.get_command(app).commands)  # type: ignore[attr-defined]
    for line in (ROOT / "docs" / "seeds.md").read_text().splitlines():
        if not line.startswith("|") or "lands with" in line:
            continue
        for command in re.findall(r"`remembrandt ([a-z]+)", line):
            assert command in known, line


def test_the_manifest_of_the_embedded_model_is_json():
    record = Path(str(files("remembrandt.pocket"))) / "weights" / "remembrandt.json"
    if not record.exists():
        pytest.skip("the embedded model is not in this tree: make weights")
    assert json.loads(record.read_text())["name"] == "pocket"
