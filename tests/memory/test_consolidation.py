"""From a gated model to one set of weights: what is read, what is left behind, what is published, and what is not."""

import json
import random
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from remembrandt.adapters import adapter as adapters
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.family import load as families
from remembrandt.memory import consolidation, scenes, verdict
from remembrandt.memory.library import Concept
from remembrandt.memory.measuring import Subject
from remembrandt.memory.verdict import Case
from tests.memory.gated import few, gated


@pytest.fixture(scope="module")
def library(tiny, tmp_path_factory):
    return gated(tiny, tmp_path_factory.mktemp("gated"))


def subjects(library, count=1):
    draw = np.random.default_rng(0)
    photos = [draw.integers(0, 255, (128, 128, 3)).astype(np.uint8) for _ in range(count)]
    own = {"brc": photos}  # those of the other were deleted
    return [Subject(c, f"a {c.identifier} {c.category}", own.get(c.identifier, [])) for c in library.concepts]


def made(tiny, library, folder, **rest):
    chosen = few(steps=3, **rest.pop("options", {}))
    return consolidation.consolidate(tiny, library, subjects(library), chosen, folder, **rest)


@pytest.fixture(scope="module")
def whole(tiny, library, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    return folder, made(tiny, library, folder)


def test_what_is_painted(tiny, library):
    script = scenes.script(tiny, library, few(pictures=3, composed=3), 0)
    assert [*script.pictures] == ["brc", "krx"] and all(len(p) == 3 for p in script.pictures.values())
    assert len(script.composed) == 3 + scenes.HELD and len(script.base) == 4 + scenes.HELD
    assert all("brc dog" in p and "krx cat" in p for p in script.composed)
    assert not [p for p in script.base if "brc" in p or "krx" in p]
    assert scenes.script(tiny, library, few(pictures=3, composed=3), 0) == script


def test_prompts_of_styles():
    dog, style = Concept("1", "brc", "dog"), Concept("2", "vxs", "painting")
    assert scenes.alone(style)[1] == "a vxs painting of a dog" and scenes.alone(dog)[1] == "a brc dog on the beach"
    assert {scenes.together(a, b, way) for a, b in ((dog, style), (style, dog)) for way in (0, 1)} == {
        "a vxs painting of a brc dog"
    }
    assert scenes.plain("a vxs painting of a brc dog, brcx", [dog, style]) == "a painting of a dog, brcx"


def test_a_family_may_bring_its_own_captions(tiny, tmp_path):
    (tmp_path / "prompts.txt").write_text("a red bird\n\na brc dog\n" + "a long way " * 40)
    own = replace(tiny, folder=tmp_path)
    found = scenes.without(own, [Concept("1", "brc", "dog")], random.Random(0), 6)
    assert found.count("a red bird") == 3 and "a brc dog" not in found


def test_what_it_leaves(tiny, library, whole):
    folder, found = whole
    assert found.steps == 3 and found.folder == folder / "staging"
    assert {p.name for p in found.folder.iterdir()} == {"weights", "id-brc", "id-krx"}
    family = families.load(found.folder / "weights", device="cpu", precision="fp32")
    assert family.digest != tiny.digest
    for concept in library.concepts:
        kept, facts = adapters.load(found.folder / concept.id, base=tiny.digest)
        assert kept.kind == "textual-inversion" and not kept.tensors and facts["identifier"] == concept.identifier
        assert torch.equal(kept.rows, library.adapter(concept).rows)
    cases = found.retention["cases"]
    assert [*cases] == ["brc", "krx", verdict.TOGETHER, verdict.BASE] and json.dumps(found.retention)


def test_a_killed_consolidation_leaves_the_same_files(tiny, library, whole, tmp_path):
    class Killed(Exception):
        pass

    for moment, step in (("painting", 16), ("distilling", 3), ("checking", 0)):

        def kill(event, moment=moment, step=step):
            if (event.stage, event.step) == (moment, step):
                raise Killed

        with pytest.raises(Killed):
            made(tiny, library, tmp_path, progress=kill)
        shutil.rmtree(tmp_path / "checkpoints" / "step-00000003", ignore_errors=True)
    again = made(tiny, library, tmp_path)
    for path in whole[1].folder.rglob("*.safetensors"):
        assert (again.folder / path.relative_to(whole[1].folder)).read_bytes() == path.read_bytes()
    assert again.retention == whole[1].retention


def test_what_would_be_lost_is_named(tiny, library, tmp_path):
    """A student that is the base has lost every concept that can be lost, and nothing else."""
    one = consolidation.spoken(library, tmp_path, tiny.digest)
    pictures = {}
    for c in library.concepts:
        called = library.call_up(f"a {c.identifier} {c.category}")
        asked = Request(called.prompt, n=2, words=called.words, wears=called.wears, steps=4, guidance=1.0)
        pictures[c.identifier] = [p.pixels for p in Engine(tiny).paint([asked])[0]]
    cases = [Case(c.identifier, [(f"a {c.identifier} {c.category}", pictures[c.identifier])]) for c in library.concepts]
    cases.append(Case(verdict.BASE, [("a dog", pictures["brc"][:1])]))
    found = verdict.verdict((tiny, library), (tiny, one), cases, 0.1)
    assert found["cases"][verdict.BASE]["fidelity"] == 1.0
    lost = [name for name, row in found["cases"].items() if row["verdict"] == "lost"]
    assert lost and not found["published"] and all(name in found["why"] for name in lost)
    same = verdict.verdict((tiny, library), (tiny, library), cases, 0.1)
    assert same["published"] and same["worst"] == 1.0


def test_a_base_that_was_harmed_is_refused(tiny, library, tmp_path):
    found = made(tiny, library, tmp_path, options={"learning_rate": 0.1}).retention
    assert not found["published"] and verdict.BASE in found["why"]
