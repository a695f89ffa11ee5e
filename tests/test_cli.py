"""The command line: one document, one line, the right code; and nothing left of what was wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from remembrandt import display
from remembrandt.cli import app
from remembrandt.report import Event
from tests.homes import OPTIONS, environment, photos

TEACH = ["--category", "dog", "--steps", "2", *OPTIONS, "--precision", "fp32"]


@pytest.fixture(scope="module")
def shots(tmp_path_factory):
    return photos(tmp_path_factory.mktemp("given") / "dog")


@pytest.fixture(scope="module")
def home(shots, tiny_folder, tmp_path_factory):
    """A home with one concept, made by the command line. Nobody changes it."""
    place = tmp_path_factory.mktemp("cli") / "home"
    done = call("finetune", shots, *TEACH, "--name", "briscoe", "--base", tiny_folder, home=place)
    assert done.exit_code == 0, done.stderr
    return place


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    for name in ("HOME", "DEVICE", "PRECISION"):
        monkeypatch.delenv(f"REMEMBRANDT_{name}", raising=False)


def call(*words, home=None):
    where = ["--home", str(home)] if home else []
    return CliRunner().invoke(app, [*map(str, words), *where])


def told(*words, home):
    done = call(*words, "--json", home=home)
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def wrong(done, *expected):
    """Exit 2, nothing on stdout, one line on stderr that says `expected`."""
    assert done.exit_code == 2, (done.exit_code, done.stdout, done.stderr)
    assert done.stdout == "" and done.stderr.count("\n") == 1, (done.stdout, done.stderr)
    assert done.stderr.startswith("remembrandt: ")
    for word in expected:
        assert word.lower() in done.stderr.lower(), done.stderr


# -- what is wrong ---------------------------------------------------------------------------------

WORDS = {
    "no command": (["nonsense"], "nonsense"),
    "near command": (["genrate", "a dog"], "generate"),
    "no option": (["generate", "a dog", "--stps", "3"], "--stps"),
    "no argument": (["finetune"], "images"),
    "no category": (["finetune", "{shots}"], "--category"),
    "a word for n": (["generate", "a dog", "-n", "many"], "-n"),
    "a word for the seed": (["generate", "a dog", "--seed", "x"], "--seed"),
    "no job": (["jobs", "show"], "job"),
    "an export without a folder": (["models", "export", "mine", "--to", "diffusers"], "--out"),
}


@pytest.mark.parametrize("words", WORDS.values(), ids=WORDS)
def test_what_the_parser_refuses_is_one_line(words, shots, tmp_path):
    words, expected = words
    home = tmp_path / "home"
    wrong(call(*(w.format(shots=shots) for w in words), home=home), expected)
    assert not home.exists() and not list((tmp_path / "here").iterdir())


LESSONS = {
    "missing folder": (["nowhere"], "nowhere"),
    "empty folder": (["empty"], "no photos"),
    "no images": (["text"], "letter.txt"),
    "one damaged": (["damaged"], "1.png"),
    "one huge": (["huge"], "huge.png"),
    "steps": (["{shots}", "--steps", "0"], "steps"),
    "steps as a word": (["{shots}", "--steps", "few"], "steps"),
    "negative steps": (["{shots}", "--steps", "-4"], "steps"),
    "learning rate": (["{shots}", "--learning-rate", "fast"], "learning_rate"),
    "infinite learning rate": (["{shots}", "--learning-rate", "inf"], "learning_rate"),
    "seed": (["{shots}", "--seed", "-1"], "seed"),
    "method": (["{shots}", "--method", "ofd"], "did you mean 'oft'"),
    "memory": (["{shots}", "--memory", "gatd"], "did you mean 'gated'"),
    "replay by rotations": (["{shots}", "--memory", "replay", "--method", "oft"], "dreambooth"),
    "policy": (["{shots}", "--memory", "replay", "--policy", "bigg"], "did you mean 'big'"),
    "a policy for gated memory": (["{shots}", "--policy", "big"], "--policy"),
    "a class prompt for oft": (["{shots}", "--class-prompt", "a dog"], "--class-prompt"),
    "consolidated": (["{shots}", "--memory", "consolidated"], "consolidate"),
    "scope": (["{shots}", "--scope", "mine"], "private_meta"),
    "dreambooth with gates": (["{shots}", "--method", "dreambooth", "--memory", "gated"], "oft"),
    "an unsuited pair": (
        ["{shots}", "--method", "dreambooth", "--memory", "gated", "--scope", "private"], "oft",
    ),
    "unknown field": (["{shots}", "--set", "blok=8"], "did you mean 'block'"),
    "no field": (["{shots}", "--set", "block"], "NAME=VALUE"),
    "bad field": (["{shots}", "--set", "block=big"], "block"),
    "category": (["{shots}", "--category", ""], "category"),
    "strange category": (["{shots}", "--category", "<dog>"], "category"),
    "identifier": (["{shots}", "--identifier", "a b"], "identifier"),
    "a known word as identifier": (["{shots}", "--identifier", "dog"], "knows"),
    "a known word as name": (["{shots}", "--name", "cat"], "for example"),
    "two words as name": (["{shots}", "--name", "my dog"], "one word"),
    "model name": (["{shots}", "--model", "../up"], "model name"),
    "the base's name": (["{shots}", "--model", "pretrained"], "base itself"),
    "base": (["{shots}", "--base", "nowhere"], "nowhere"),
    "a hub id that is not here": (["{shots}", "--base", "some/one"], "families pull some/one"),
    "a pickle": (["{shots}", "--base", "text/model.ckpt"], "pickle"),
    "a folder that is no family": (["{shots}", "--base", "text"], ""),
    "device": (["{shots}", "--device", "gpu"], "gpu"),
    "precision": (["{shots}", "--precision", "fp8"], "fp16"),
    "class images for oft": (["{shots}", "--class-images", "{shots}"], "class"),
    "number of class images for oft": (["{shots}", "--num-class-images", "5"], "num_class_images"),
    "an instance prompt without identifier": (
        ["{shots}", "--instance-prompt", "a photo of a dog"], "{{identifier}}",
    ),
}  # fmt: skip


@pytest.mark.parametrize("words", LESSONS.values(), ids=LESSONS)
def test_a_wrong_lesson_leaves_nothing(words, shots, tiny_folder, tmp_path):
    words, expected = words
    here = tmp_path / "here"
    (here / "empty").mkdir()
    (here / "text").mkdir()
    (here / "text" / "letter.txt").write_text("dear dog")
    (here / "text" / "model.ckpt").write_bytes(b"\x80\x04")
    photos(here / "damaged", 3)
    (here / "damaged" / "1.png").write_bytes((here / "damaged" / "1.png").read_bytes()[:200])
    photos(here / "huge", 3)
    Image.new("1", (30_000, 30_000)).save(here / "huge" / "huge.png")
    before = sorted(here.rglob("*"))
    base = [] if "--base" in words else ["--base", tiny_folder]
    words = [w.format(shots=shots) for w in words]
    category = [] if "--category" in words else ["--category", "dog"]
    home = tmp_path / "home"
    wrong(call("finetune", *words, *category, *base, home=home), expected.format())
    assert not home.exists() and sorted(here.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--name", "briscoe"], "another concept"),
        (["--identifier", "briscoe"], "a name or a category"),
        (["--category", "corgi", "--name", "corgi"], "is a category"),
        (["--category", "corgi", "--identifier", "corgi"], "a name or a category"),
        (["--scope", "private_meta", "--base", "pocket"], "stands on tiny"),
        (["--scope", "meta"], "scope"),
        (["--method", "dreambooth"], "another --model than mine"),
        (["--memory", "replay"], "memory 'gated'"),
    ],
)
def test_a_wrong_lesson_leaves_a_home_as_it_was(words, expected, home, shots):
    before = {p: p.stat().st_mtime_ns for p in home.rglob("*") if p.is_file()}
    wrong(call("finetune", shots, *TEACH, *words, home=home), expected)
    assert before == {p: p.stat().st_mtime_ns for p in home.rglob("*") if p.is_file()}


PAINTINGS = {
    "n": (["-n", "0"], "number of pictures"),
    "many": (["-n", "1000"], "number of pictures"),
    "steps": (["--steps", "0"], "steps"),
    "guidance": (["--guidance", "-1"], "guidance"),
    "no number": (["--guidance", "nan"], "guidance"),
    "seed": (["--seed", "-5"], "seed"),
    "sampler": (["--sampler", "eulr"], "did you mean 'euler'"),
    "size": (["--size", "big"], "WIDTHxHEIGHT"),
    "odd size": (["--size", "100x128"], "multiple of 8"),
    "small size": (["--size", "8x8"], "64"),
    "format": (["--format", "gif"], "png"),
    "model": (["--model", "mien"], "did you mean 'mine'"),
    "a missing folder": (["--model", "./nowhere"], "nowhere"),
    "strength": (["--strength-of", "briscoe"], "NAME=VALUE"),
    "strength as a word": (["--strength-of", "briscoe=much"], "number"),
    "strength of nobody": (["--strength-of", "rex=1"], "rex"),
    "strength of one not named": (["--strength-of", "briscoe=1"], "does not name"),
    "a file to write to": (["-o", "{file}"], "file"),
    "a mask without an image": (["--mask", "{scene}"], "no task takes mask"),
    "no image": (["--image", "nowhere.png"], "nowhere.png"),
    "an image that is none": (["--image", "{file}"], "file is an empty file"),
    "a black mask": (["--image", "{scene}", "--mask", "{scene}"], "black all over"),
    "a mask of another size": (["--image", "{scene}", "--mask", "{small}"], "the mask is 7x9, the image 40x30"),
    "expand": (["--image", "{scene}", "--expand", "4,4"], "LEFT,TOP,RIGHT,BOTTOM"),
    "strength without an image": (["--strength", "0.5"], "strength"),
    "strength beyond": (["--image", "{scene}", "--strength", "2"], "from 0 to 1"),
    "a grid over nothing": (["--grid", "stepps=1,2"], "did you mean 'steps'"),
    "a grid of words": (["--grid", "steps=1,two"], "takes numbers"),
    "three grids": (["--grid", "steps=1", "--grid", "seed=1", "--grid", "guidance=1"], "one or two"),
    "a grid over one option twice": (["--grid", "seed=1,2", "--grid", "seed=3"], "an option once"),
    "a weight out of range": (["--negative", "(a:7)"], "from 0 to 5"),
}


def test_pictures_painted_over_and_a_grid(home, tmp_path):
    scene = tmp_path / "scene.png"
    Image.effect_noise((200, 90), 80).save(scene)
    asked = ["--image", scene, "--expand", "8,0,8,0", "--steps", "2", "--seed", "1", "-o", tmp_path / "out", "--json"]
    [made] = json.loads(call("generate", "a dog", *asked, home=home).stdout)["images"]
    assert Image.open(made["path"]).size == (216, 90) and made["task"] == "outpaint" and made["fitted"] == "216x90"
    grid = ["--grid", "guidance=1,3", "--grid", "steps=1,2,3", "--seed", "1", "-o", tmp_path / "grid", "--json"]
    found = json.loads(call("generate", "a dog", *grid, home=home).stdout)
    told = [(image["guidance"], image["steps"]) for image in found["images"]]
    assert told == [(g, s) for g in (1, 3) for s in (1, 2, 3)]
    assert Image.open(found["sheet"]).width > Image.open(found["sheet"]).height


def test_an_empty_home_has_nothing_to_go_back_to(tmp_path):
    wrong(call("models", "versions", "mine", home=tmp_path / "empty"), "nothing was taught yet")
    assert not (tmp_path / "empty").exists()


@pytest.mark.parametrize("words", PAINTINGS.values(), ids=PAINTINGS)
def test_a_wrong_wish_for_a_picture(words, home, tmp_path):
    words, expected = words
    (tmp_path / "file").write_text("")
    scene, small = tmp_path / "scene.png", tmp_path / "small.png"
    Image.new("L", (40, 30)).save(scene)
    Image.new("L", (7, 9), 255).save(small)
    words = [w.format(file=tmp_path / "file", scene=scene, small=small) for w in words]
    out = [] if "-o" in words else ["-o", tmp_path / "out"]
    wrong(call("generate", "a dog", *words, *out, home=home), expected)
    assert not (tmp_path / "out").exists() and not (home / "pictures").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["models", "show", "nobody"], "nobody"),
        (["models", "export", "nobody", "--to", "diffusers", "-o", "x"], "nobody"),
        (["models", "export", "mine", "--to", "onnx", "-o", "x"], "diffusers"),
        (["concepts", "show", "brisco"], "did you mean 'briscoe'"),
        (["concepts", "list", "--model", "nobody"], "nobody"),
        (["jobs", "show", "nothing"], "jobs list"),
        (["jobs", "resume", "nothing"], "jobs list"),
        (["jobs", "cancel", "nothing"], "jobs list"),
        (["families", "add", "small", "nowhere"], "nowhere"),
        (["models", "versions", "mien"], "did you mean 'mine'"),
        (["models", "rollback", "mine"], "no version before 1"),
        (["models", "rollback", "nobody"], "nobody"),
        (["models", "forget", "mine", "brisco"], "did you mean 'briscoe'"),
        (["models", "promote", "briscoe", "--to", "mine"], "another model"),
        (["models", "promote", "briscoe", "--to", "../up"], "model name"),
        (["models", "promote", "rex", "--to", "all"], "rex"),
        (["models", "rename", "mine", "pocket"], "base's"),
        (["models", "delete", "pretrained"], "pretrained"),
        (["concepts", "rename", "briscoe", "bird"], "knows"),
        (["concepts", "delete", "brisco"], "did you mean 'briscoe'"),
        (["prepare", "nowhere"], "nowhere"),
    ],
)
def test_unknown_names(words, expected, home, tmp_path):
    before = sorted(p for p in home.rglob("*"))
    wrong(call(*words, home=home), expected)
    assert sorted(home.rglob("*")) == before and not list((tmp_path / "here").iterdir())


@pytest.mark.parametrize("words", [["models", "show", "nobody"], ["jobs", "resume", "x"], ["clean"]])
def test_reading_makes_no_home(words, tmp_path):
    wrong(call(*words, home=tmp_path / "home"))
    for lists in (["models", "list"], ["jobs", "list"], ["concepts", "list"]):
        assert call(*lists, home=tmp_path / "home").exit_code == 0
    assert not (tmp_path / "home").exists()


def test_a_home_that_is_a_file(tmp_path):
    (tmp_path / "file").write_text("")
    wrong(call("models", "list", home=tmp_path / "file"), "file")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--known", "dog", "--new", "dog", "--images", "9"], "--known"),
        (["--new", "dog", "--images", "-1"], "images"),
        (["--new", " ", "--images", "9"], "--new"),
        (["--new", "dog", "--images", "9", "--policy", "bigg"], "did you mean 'big'"),
    ],
)
def test_a_wrong_plan(words, expected, tmp_path):
    wrong(call("plan", *words, home=tmp_path / "home"), expected)
    assert not list((tmp_path / "here").iterdir())


def test_a_plan(tmp_path):
    words = ["--known", "bottle:b1,b2;dog:d1,d2;painting:p1", "--new", "dog", "--images", "200"]
    home, policy = tmp_path / "home", ["--policy", "big", "-o", tmp_path / "out"]
    found = told("plan", *words, *policy, home=home)
    assert found["class"] == {"dog": 50, "bottle": 25, "painting": 25} and found["total"] == 199
    assert found["concepts"] == {"d1": 25, "d2": 25, "b1": 12, "b2": 12, "p1": 25}
    pie = Image.open(found["pie"])
    colours = {pie.getpixel((40 + 180 + x, 330 + y)) for x, y in ((60, -60), (-60, 60), (-60, -60))}
    assert pie.width > 360 and len(colours) == 3
    shown = call("plan", *words, home=home)
    assert shown.exit_code == 0 and "total" in shown.stdout and not home.exists()
    assert told("plan", *words, home=home)["total"] == 200


def test_convergence(tmp_path):
    home, out = tmp_path / "home", tmp_path / "out"
    found = told("convergence", "--samplers", "euler, heun,euler-a", "-o", out, home=home)
    rows = {row["name"]: row for row in found["samplers"]}
    assert list(rows) == ["euler", "heun", "euler-a"]
    assert [rows[n]["converges"] for n in rows] == [True, True, False]
    assert [round(rows[n]["order"]) for n in rows] == [1, 2, 0]
    assert [p["calls"] for p in rows["heun"]["points"]] == [40, 80, 160, 320]
    assert all(p["seconds"] > 0 for row in rows.values() for p in row["points"])
    assert "heun" in found["recommendation"] and "euler-a" in found["recommendation"]
    drawn = Image.open(found["plot"])
    assert drawn.width > 720 and len(drawn.getcolors(2**20)) > 6
    assert json.loads((out / "convergence.json").read_text())["samplers"] == found["samplers"] and not home.exists()


def test_a_wrong_convergence(tmp_path):
    wrong(call("convergence", "--samplers", "euler,huen", home=tmp_path / "home"), "heun")
    wrong(call("convergence", "--model", "nobody", home=tmp_path / "home"), "nobody")


# -- what is right ---------------------------------------------------------------------------------


def test_one_document_on_stdout(home, shots, tmp_path):
    painted = told(
        "generate", "a briscoe", "-n", 2, "--seed", 4, "--steps", 1, "--format", "webp",
        "--strength-of", "briscoe=0.5", "-o", tmp_path / "out", home=home,
    )  # fmt: skip
    first = painted["images"][0]
    fields = {
        "path", "seed", "model", "version", "prompt", "sampler", "steps", "guidance", "size",
        "task",
    }  # fmt: skip
    assert fields <= first.keys() and first["prompt"] == "a briscoe" and first["seed"] == 4
    assert Image.open(first["path"]).format == "WEBP"
    assert [m["name"] for m in told("models", "list", home=home)] == ["pretrained", "mine"]
    assert told("models", "show", home=home)["concepts"][0]["name"] == "briscoe"
    assert told("concepts", "list", "--model", "mine", home=home)[0]["category"] == "dog"
    assert told("jobs", "list", home=home)[0]["state"] == "succeeded"
    assert told("families", "list", home=home)[0]["name"] == "pocket"
    assert {"name", "calls_per_step"} <= told("samplers", home=home)[0].keys()
    assert told("methods", home=home)[0]["name"] == "oft"
    assert told("models", "versions", home=home)[0]["present"] is True
    ready = told("prepare", shots, "-o", tmp_path / "ready", home=home)
    assert len(ready["images"]) == 4 and Image.open(ready["sheet"]).width > 300
    assert np.asarray(Image.open(ready["images"][0]["path"])).shape == (128, 128, 3)


def test_for_people(home, tmp_path):
    for words in (
        ["models", "list"], ["models", "show"], ["concepts", "list"],
        ["concepts", "show", "briscoe"], ["jobs", "list"], ["families", "list"], ["samplers"],
        ["methods"],
    ):  # fmt: skip
        done = call(*words, home=home)
        assert done.exit_code == 0 and done.stdout.strip(), words
    done = call("generate", "", "--steps", 1, "-o", tmp_path / "out", home=home)
    assert done.exit_code == 0 and done.stdout.strip().endswith(".png")


def test_a_lesson_that_is_not_published_is_code_3(home, shots, tmp_path, monkeypatch):
    import shutil

    from remembrandt.memory import retention

    copied = tmp_path / "home"
    shutil.copytree(home, copied)
    monkeypatch.setattr(retention, "hashes", lambda *_: {"base": os.urandom(4).hex()})
    done = call("finetune", shots, *TEACH, "--json", home=copied)
    assert done.exit_code == 3
    document = json.loads(done.stdout)
    assert document["retention"]["published"] is False and document["retention"]["why"]
    assert told("models", "show", home=copied)["version"] == 1


# -- in a process of its own -----------------------------------------------------------------------


def process(*words, **variables):
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        timeout=200,
        env=environment() | variables,
    )


def test_help_is_quick_and_has_no_torch():
    code = """
import resource, sys
from typer.testing import CliRunner
from remembrandt.cli import app
for words in (["--help"], ["finetune", "--help"]):
    assert CliRunner().invoke(app, words).exit_code == 0
spent = resource.getrusage(resource.RUSAGE_SELF)
heavy = {"torch", "numpy", "sqlalchemy", "PIL", "diffusers", "transformers"} & sys.modules.keys()
print(spent.ru_utime + spent.ru_stime, sorted(heavy))
"""
    done = process("-c", code)
    seconds, heavy = done.stdout.split(" ", 1)
    assert heavy.strip() == "[]", done.stderr
    assert float(seconds) < 0.6  # of the processor, both helps together


def test_import_has_no_torch():
    code = """
import resource, sys
spent = lambda: sum(resource.getrusage(resource.RUSAGE_SELF)[:2])
began = spent()
import remembrandt
print(spent() - began, "torch" in sys.modules)
"""
    done = process("-c", code)
    seconds, heavy = done.stdout.split()
    assert heavy == "False" and float(seconds) < 0.3, done.stderr  # of the processor


def test_progress_without_a_terminal_is_lines_with_the_time_left(capsys, monkeypatch):
    clock = iter([0.0, 20.0, 21.0, 40.0, 41.0])
    monkeypatch.setattr(display.time, "monotonic", lambda: next(clock))
    with display.progress() as tell:
        for step, loss in ((0, None), (50, 0.25), (51, 0.25), (100, 0.125)):
            tell(Event("teaching", step, 100, loss))
        tell(Event("teaching", 100, 100, preview=Path("a/b.png")))
    assert capsys.readouterr().err.splitlines() == [
        "teaching 50/100, loss 0.2500, 20 s left", "teaching 100/100, loss 0.1250", "preview: a/b.png",
    ]  # fmt: skip


@pytest.mark.parametrize("words", [["generate", "a dog", "--model", "mien"], ["lists"]])
def test_wrong_in_a_process(words, tmp_path):
    done = process("-m", "remembrandt", *words, REMEMBRANDT_HOME=str(tmp_path / "home"))
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("remembrandt: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "home").exists()
