"""`consolidate` on a home: what is told, published, refused and resumed, and what other tools make of the export."""

import json
import os
import random
import shutil
import subprocess
import sys

import numpy as np
import pytest
from safetensors import safe_open

from remembrandt.jobs.files import Home
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from remembrandt.store import adopting
from remembrandt.training import checkpoint
from tests.homes import REMEMBRANDT, SHORT, environment, photos
from tests.jobs.test_killed import at, die, killed
from tests.memory.gated import FEW

TAME = {**FEW, "steps": 4, "learning_rate": 1e-5}


def on(home) -> Service:
    return Service(Settings(home, "cpu", "fp32"))


@pytest.fixture(scope="module")
def taught(tiny_folder, tmp_path_factory):
    """A gated model of two concepts. Copy it before you change it."""
    place = tmp_path_factory.mktemp("taught")
    given, lesson = photos(place / "given"), {"steps": 2, "options": {**SHORT, "token_rate": 0.3}}  # words that bite
    on(place / "home").finetune(given, "dog", name="rex", identifier="brc", base=str(tiny_folder), **lesson)
    on(place / "home").finetune(given, "cat", identifier="krx", **lesson)
    return place / "home"


@pytest.fixture(scope="module")
def made(taught, tmp_path_factory):
    """The same home with its concepts in one set of weights too: four steps teach little, so all of it may be lost."""
    home = shutil.copytree(taught, tmp_path_factory.mktemp("made") / "home")
    return home, on(home).consolidate("mine", "one", options=TAME, margin=1.0)


def test_what_it_tells(made):
    home, told = made
    kept = told["retention"]
    assert kept["published"] and 0 < kept["worst"] <= kept["mean"] < 1 and [*kept["cases"]][:2] == ["brc", "krx"]
    assert (told["model"], told["version"], told["memory"]) == ("one", 1, "consolidated")
    assert told["source"] == {"model": "mine", "version": 2} and told["steps"] == 4 and told["base"] == "tiny"
    assert [c["identifier"] for c in told["concepts"]] == ["brc", "krx"]
    service = on(home)
    assert {m["name"]: m["memory"] for m in service.models()}["one"] == "consolidated"
    held = service.concepts("one")
    assert [(c["identifier"], c["name"], c["photos"]) for c in held] == [("brc", "rex", 4), ("krx", None, 4)]
    assert not {c["id"] for c in held} & {c["id"] for c in service.concepts("mine")}
    left = {p.name for p in Home(home).job(told["job"]).iterdir()}
    assert left == {"request.json", "result.json"}


def test_it_paints_what_it_was_taught_and_the_source_stays(made, taught):
    home, _ = made
    asked = {"seed": 3, "steps": 2}
    own = on(home).paint("rex on the beach", model="one", **asked)[0]
    assert own.recipe["concepts"] == ["brc"] and own.recipe["model"] == "one"
    bare = on(home).paint("a dog on the beach", model="one", **asked)[0]
    assert not np.array_equal(own.pixels, bare.pixels)
    before, after = (on(h).paint("rex on the beach", **asked)[0].pixels for h in (taught, home))
    assert np.array_equal(before, after)


def test_it_is_not_taught(made, tmp_path):
    home, _ = made
    given = photos(tmp_path / "given")
    for wrong, why in (
        (lambda s: s.finetune(given, "bird", model="one", steps=2), "teach its gated source"),
        (lambda s: s.consolidate("one"), "only the concepts of a gated model"),
        (lambda s: s.consolidate("mine", "mine"), "--to"),
        (lambda s: s.consolidate("nobody"), "no model"),
        (lambda s: s.consolidate("mine", options={"step": 3}), "no option"),
        (lambda s: s.consolidate("mine", margin=0), "margin"),
        (lambda s: s.forget("one", "brc"), "source"),
    ):
        with pytest.raises(Wrong, match=why):
            wrong(on(home))
    assert len(on(home).jobs()) == 3


def test_what_harms_the_base_is_refused(taught, tmp_path):
    home = shutil.copytree(taught, tmp_path / "home")
    words = ["consolidate", "--home", home, "--json", "--device", "cpu", "--precision", "fp32"]
    given = {**TAME, "learning_rate": 0.05}
    words += [word for k, v in given.items() for word in ("--set", f"{k}={v}")]
    done = subprocess.run([*REMEMBRANDT, *map(str, words)], capture_output=True, text=True, env=environment())
    assert done.returncode == 3, done.stderr
    told = json.loads(done.stdout)
    assert not told["retention"]["published"] and "the base" in told["retention"]["why"]
    assert on(home).jobs()[-1]["state"] == "failed" and [m["name"] for m in on(home).models()] == ["pretrained", "mine"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_killed_anywhere_and_resumed_it_is_bit_equal(made, taught, tmp_path, monkeypatch):
    """At every named moment and at random ones; until it is published there is no such model, and the source stays."""
    home = shutil.copytree(taught, tmp_path / "home")

    def begin():
        on(home).consolidate("mine", "one", options=TAME, margin=1.0, progress=at("preparing"))

    def resume(progress=lambda event: None):
        return on(home).resume(on(home).jobs()[-1]["id"], progress)

    def torn():
        monkeypatch.setattr(checkpoint, "_sync", die)  # the tensors lie there, the manifest does not
        resume()

    def unpublished():
        monkeypatch.setattr(adopting, "adopt", die)  # the files have moved, the rows are not there
        resume()

    chance = random.Random(0)
    deaths = [(begin,), (lambda: resume(at("painting", 2)),), (torn,)]
    deaths += [(lambda: resume(at("checking")), chance.uniform(0.1, 3)) for _ in range(3)]
    deaths += [(lambda: resume(at("checking", 2)),), (unpublished,)]  # judged, but not written down; all but the rows
    for death in deaths:
        killed(*death)
        job = on(home).jobs()[-1]
        assert (job["kind"], job["state"]) == ("consolidate", "interrupted")
        assert [m["name"] for m in on(home).models()] == ["pretrained", "mine"]
    stages = []
    told = resume(lambda event: stages.append(event.stage))
    assert stages == [] and all(told[k] == made[1][k] for k in ("version", "steps", "source"))
    files = [Home(h).concept("one", d["job"]) / "unet" for h, d in (made, (home, told))]
    assert len({(f / "diffusion_pytorch_model.safetensors").read_bytes() for f in files}) == 1
    assert told["retention"]["cases"] == made[1]["retention"]["cases"]


PIPELINE = """
import sys
import numpy as np, torch
from diffusers import StableDiffusionPipeline
folder, out, *prompts = sys.argv[1:]
pipe = StableDiffusionPipeline.from_pretrained(folder)
pipe.set_progress_bar_config(disable=True)
made = [pipe(p, generator=torch.Generator().manual_seed(3), num_inference_steps=3, guidance_scale=4.0,
             output_type="np").images[0] for p in prompts]
np.save(out, np.stack(made))
"""


def test_diffusers_paints_its_concepts_from_the_folder_alone(made, tmp_path):
    home, _ = made
    told = on(home).export("one", "diffusers", tmp_path / "out")
    prompts = ["a brc dog", "a krx cat beside a brc dog", "a brcs dog", "A BRC dog"]
    words = [tmp_path / "out", tmp_path / "made.npy", *prompts]
    subprocess.run([sys.executable, "-c", PIPELINE, *map(str, words)], check=True, env=environment())
    asked = {"seed": 3, "steps": 3, "sampler": "ddim", "guidance": 4.0}
    theirs = (np.load(tmp_path / "made.npy") * 255).round()  # as pixels are
    for picture, prompt in zip(theirs, prompts, strict=True):
        ours = on(home).paint(prompt, model="one", **asked)[0].pixels
        again = on(home).paint(prompt, model=told["path"], **asked)[0].pixels
        assert np.abs(again - picture).mean() < 0.05
        assert np.abs(ours.astype(float) - picture).mean() < 0.5  # rows in half precision
    assert np.abs(theirs[0] - theirs[2]).mean() > 0.5  # the words bite
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.startswith("---\n") and all(word in card for word in ("`brc`", "`krx`", "rex", "mine", "tiny"))


def test_a_single_file_is_what_every_tool_knows(made, tiny_folder, tmp_path):
    """Its tokenizer and its table are the base's; words of that tokenizer call the concepts up."""
    home, _ = made
    told = on(home).export("one", "single-file", tmp_path / "out")
    words = told["trigger"]
    assert set(words) == {"brc", "krx"} and len({*words.values()}) == 2
    asked = {"seed": 3, "steps": 2}
    for said, word in words.items():
        ours = on(home).paint(f"a {said} dog", model="one", **asked)[0].pixels.astype(float)
        theirs = on(home).paint(f"a {word} dog", model=told["path"], **asked)[0].pixels
        assert np.abs(ours - theirs).mean() < 0.5
    with safe_open(told["path"], "pt") as file, safe_open(tiny_folder / "text_encoder/model.safetensors", "pt") as base:
        found, known = (next(f.get_slice(k) for k in f.keys() if "token_emb" in k).get_shape() for f in (file, base))  # noqa: SIM118
    assert found == known
    card = (tmp_path / "out" / "README.md").read_text()
    assert all(f"`{word}`" in card for word in words.values()) and "from_pretrained" not in card


def test_its_report_is_against_its_teachers(made, tmp_path):
    home, told = made
    found = on(home).retention("one", tmp_path / "out")
    cases = told["retention"]["cases"]
    assert [c["identifier"] for c in found["concepts"]] == ["brc", "krx"] and found["memory"] == "consolidated"
    for row in found["concepts"]:
        lost = cases[row["identifier"]]["fidelity"]
        assert (row["retention"] is None) == (lost is None)
        assert lost is None or row["retention"] == row["fidelity"][-1] < 1
