"""One lesson: what it leaves, and that a killed one leaves the same."""

import copy
import json
import shutil

import numpy as np
import pytest

from remembrandt.adapters import adapter as adapters
from remembrandt.memory.lesson import Matter, teach
from remembrandt.memory.library import Concept, Library
from remembrandt.training import methods

BRC = Concept("c1", "brc", "dog", "briscoe")
SHORT = {"batch": 2, "warmup": 1, "checkpoint_every": 2}


class Killed(Exception):
    pass


def photos(count=2, seed=0):
    draw = np.random.default_rng(seed)
    return [draw.integers(0, 255, (128, 128, 3)).astype(np.uint8) for _ in range(count)]


def lesson(family, folder, steps=4, concept=BRC, library=None, name="oft", **rest):
    method = methods.method(name, {**SHORT, "steps": steps, **rest.pop("options", {})})
    library = library or Library((), family.digest)
    prompts = [f"a {concept.identifier} {concept.category}"]
    matter = Matter(concept, prompts, len(library.concepts) + 1, seed=3, memory=rest.pop("memory", "gated"))
    return teach(family, library, matter, method, photos(), folder, **rest)


def test_what_a_lesson_leaves(tiny, tmp_path):
    events = []
    taught = lesson(tiny, tmp_path, progress=events.append)
    assert not taught.moved and taught.steps == 4 and taught.retention["published"]
    assert {p.name for p in taught.folder.iterdir()} == {adapters.TENSORS, adapters.MANIFEST}
    adapter, facts = adapters.load(taught.folder, base=tiny.digest)
    assert adapter.rows.shape == (1, 32)
    told = {k: facts[k] for k in ("identifier", "name", "category", "method", "concept", "seed")}
    assert told == {
        "identifier": "brc", "name": "briscoe", "category": "dog", "method": "oft",
        "concept": "c1", "seed": 3,
    }  # fmt: skip
    assert facts["options"]["steps"] == 4 and "torch" in facts["versions"]
    stages = dict.fromkeys(e.stage for e in events if e.stage != "preview")
    assert list(stages) == ["preparing", "teaching", "checking"]
    previews = [e.preview for e in events if e.preview]
    assert len(previews) == 4 and all(p.is_file() for p in previews)


def test_a_second_lesson_changes_nothing_of_the_first(tiny, tmp_path):
    first = lesson(tiny, tmp_path / "1")
    shutil.move(first.folder, tmp_path / "brc")
    known = Library([Concept("c1", "brc", "dog", folder=tmp_path / "brc")], tiny.digest)
    second = lesson(tiny, tmp_path / "2", concept=Concept("c2", "krx", "cat"), library=known)
    assert second.retention.pop("concepts").keys() == {"c2"}
    assert second.retention == {
        "mean": 1.0, "worst": 1.0, "published": True, "measure": "picture hashes",
        "measured": 1, "carried": 0, "base_unchanged": True,
    }  # fmt: skip


def test_a_changed_base_is_not_published(tiny, tmp_path):
    """The measurement can fail: here something moves the base's weights during the lesson."""
    family = copy.deepcopy(tiny)

    def spoil(event):
        if event.stage == "teaching" and event.step == 4:
            family.unet.conv_out.bias.data += 0.5

    taught = lesson(family, tmp_path, progress=spoil)
    assert not taught.retention["published"] and "base" in taught.retention["why"]


@pytest.mark.parametrize("moment", ["preparing", "teaching", "checking"])
def test_a_killed_lesson_leaves_the_same_files(tiny, tmp_path, moment):
    whole = lesson(tiny, tmp_path / "whole", steps=5)

    def kill(event):
        if event.stage == moment and event.step == {"preparing": 1, "checking": 0}.get(moment, 3):
            raise Killed

    with pytest.raises(Killed):
        lesson(tiny, tmp_path / "again", steps=5, progress=kill)
    # As after SIGKILL: the checkpoint that an exception leaves was never written.
    for path in (tmp_path / "again" / "checkpoints").glob("step-*3"):
        shutil.rmtree(path)
    steps = []
    again = lesson(
        tiny, tmp_path / "again", steps=5,
        progress=lambda e: steps.append(e.step) if e.stage == "teaching" else None,
    )  # fmt: skip
    for name in (adapters.TENSORS, adapters.MANIFEST):
        assert (again.folder / name).read_bytes() == (whole.folder / name).read_bytes()
    assert steps == {"preparing": [1, 2, 3, 4, 5], "teaching": [3, 4, 5], "checking": [5]}[moment]


def test_dreambooth_leaves_a_family(tiny, tmp_path):
    from remembrandt.family.load import load

    family = copy.deepcopy(tiny)
    rate = {"learning_rate": 1e-3}
    taught = lesson(family, tmp_path, name="dreambooth", steps=2, options=rate)
    assert taught.moved and taught.retention["published"]
    moved = load(taught.folder, device="cpu", precision="fp32")
    assert moved.name == "tiny" and moved.digest != tiny.digest
    assert json.loads((tmp_path / "before.json").read_text()) == {}


def test_lora_in_a_replay_model_is_merged(tiny, tmp_path):
    """Into the weights, and without a token: the word is read as the base reads it."""
    from remembrandt.family.load import load

    family = copy.deepcopy(tiny)
    rate = {"learning_rate": 0.05, "rank": 2, "alpha": 2.0}
    taught = lesson(family, tmp_path, name="lora", steps=2, options=rate, memory="replay")
    assert taught.moved and not (taught.folder / adapters.TENSORS).exists()
    moved, attention = load(taught.folder, device="cpu", precision="fp32"), "attn2.to_q.weight"
    for name, after in moved.unet.named_parameters():
        before = dict(tiny.unet.named_parameters())[name]
        if name.endswith(attention):
            assert (after - before).abs().max() > 1e-3
        elif "attn" not in name:
            assert (after - before).abs().max() < 1e-3
    embeddings = [f.text_encoder.get_input_embeddings().weight for f in (moved, tiny)]
    assert embeddings[0].equal(embeddings[1])
    assert (tmp_path / "previews" / "000000.png").is_file()
