"""Concepts for other tools, and LoRAs of theirs: what is written paints there what the gate paints here."""

import copy
import json

import pytest
import torch
from safetensors.torch import save_file

from remembrandt.adapters import adapter as adapters
from remembrandt.adapters import keys
from remembrandt.adapters.adapter import Adapter
from remembrandt.memory import export, imports
from remembrandt.memory.library import Concept, Library
from remembrandt.settings import Wrong
from tests.adapters.helpers import adapter, low_rank
from tests.adapters.test_keys import apart, latents, ours, pipeline


@pytest.fixture(scope="module")
def library(tiny, tmp_path_factory):
    """A LoRA, a rotation, and two rows: `lra`, `oft`, `tin`."""
    folder, draw = tmp_path_factory.mktemp("taught"), torch.Generator().manual_seed(0)
    rows = {n: torch.randn(k, 32, generator=draw) for n, k in (("lra", 1), ("oft", 1), ("tin", 2))}
    taught = {
        "lra": Adapter("lora", low_rank(tiny.unet, 1, size=0.5).tensors, {}, rows["lra"]),
        "oft": Adapter("oft", adapter(tiny.unet, 2).tensors, {}, rows["oft"]),
        "tin": Adapter("textual-inversion", {}, {}, rows["tin"], rows["tin"] * 0),
    }
    for word, made in taught.items():
        adapters.save(made, folder / word, {"base": tiny.digest})
    concepts = [Concept(w, w, "dog", folder=folder / w) for w in taught]
    return Library(concepts, tiny.digest, worn_by="both")  # as whoever opens an export wears it


def written(to, tiny, library, word, folder, **rest):
    family = copy.deepcopy(tiny)
    wanted = export.Wanted(family, library, library.find(word), folder, **rest)
    told = export.export(to, wanted, {"model": "mine", "version": 1, "base": tiny.name})
    kept = json.loads((folder / "manifest.json").read_text())
    assert kept["trigger"] == told["trigger"] and kept["identifier"] == word
    assert {"base", "photos"} == kept["licence"].keys() and kept["base_digest"] == library.base
    return told


def painted(tiny, library, prompt):
    called = library.call_up(prompt)
    return ours(tiny, *called.wears, prompt=called.prompt, words=called.words)


def painted_there(pipe, prompt):
    return latents(pipe, prompt)


def test_a_lora_and_its_embedding_in_diffusers(tiny, tiny_folder, library, tmp_path):
    told = written("lora", tiny, library, "lra", tmp_path)
    assert set(told["files"]) == {"lra-lora.safetensors", "lra.safetensors"} and told["error"] == 0
    gated, pipe = painted(tiny, library, "a lra dog"), pipeline(tiny_folder)
    bare = painted_there(pipe, "a dog")
    pipe.load_lora_weights(told["path"])
    half = painted_there(pipe, "a dog")
    pipe.load_textual_inversion(tmp_path / "lra.safetensors")
    there = painted_there(pipe, f"a {told['trigger']} dog")
    assert apart(half, bare) >= 0.1 and apart(half, there) >= 0.1  # either file bites
    assert apart(gated, there) <= 1e-3


def test_an_embedding_of_several_vectors_in_diffusers(tiny, tiny_folder, library, tmp_path):
    told = written("embedding", tiny, library, "tin", tmp_path)
    assert told["vectors"] == 2 and "warning" not in told
    gated, pipe = painted(tiny, library, "a tin dog"), pipeline(tiny_folder)
    pipe.load_textual_inversion(told["path"])
    there = painted_there(pipe, f"a {told['trigger']} dog")
    assert apart(there, painted_there(pipe, "a dog")) >= 0.1 and apart(gated, there) <= 1e-3
    assert "half" in written("embedding", tiny, library, "oft", tmp_path / "half")["warning"]


def test_a_rotation_as_the_nearest_lora(tiny, tiny_folder, library, tmp_path):
    errors = {}
    for rank in (2, 8, 999):
        told = written("lora", tiny, library, "oft", tmp_path / str(rank), rank=rank)
        errors[rank] = told["error"]
    assert errors[2] > errors[8] > 0.01 and errors[999] < 1e-5
    gated, pipe = painted(tiny, library, "a oft dog"), pipeline(tiny_folder)
    pipe.load_lora_weights(told["path"])
    pipe.load_textual_inversion(tmp_path / "999" / "oft.safetensors")
    assert apart(gated, painted_there(pipe, f"a {told['trigger']} dog")) <= 1e-3


@pytest.mark.parametrize("word", ["lra", "oft", "tin"])
def test_merged_into_plain_weights(word, tiny, library, tmp_path):
    """With as many rare words as the identifier has rows; half precision on disk."""
    told = written("diffusers", tiny, library, word, tmp_path / "made")
    there = painted_there(pipeline(told["path"]), f"a {told['trigger']} dog")
    assert len(told["trigger"].split()) == (2 if word == "tin" else 1)
    assert apart(painted(tiny, library, f"a {word} dog"), there) <= 0.03


def test_what_cannot_be_exported(tiny, library, tmp_path):
    with pytest.raises(Wrong, match="--to embedding"):
        written("lora", tiny, library, "tin", tmp_path)
    bare = export.Wanted(tiny, Library([], tiny.digest), None, tmp_path)
    for to in ("lora", "embedding"):
        with pytest.raises(Wrong, match="no adapter"):
            export.export(to, bare, {})
    assert not list(tmp_path.iterdir())


def test_import(tiny, tmp_path):
    file, folder = tmp_path / "Ink style (v2).safetensors", tmp_path / "loras"
    save_file(keys.kohya(low_rank(tiny.unet)) | {"lora_te2_x.alpha": torch.ones(())}, file, {"license": "cc0"})
    told = imports.lora(file, tiny, folder)
    assert told["prompt"] == "<lora:Ink-style-v2:1>" and told["ranks"] == [4] and told["licence"] == "cc0"
    assert "lora_te2_x" in told["warnings"][0] and not told["text_encoder"]
    called = Library([], tiny.digest, loras=folder).call_up("a dog <lora:ink-style-v2:0.5>")
    assert called.prompt == "a dog" and called.wears[0].strength == 0.5
    for name, said in (("ink-STYLE-v2", "already"), ("a/b", "letters"), ("fine", "is zero")):
        if name == "fine":
            save_file({k: t * 0 for k, t in keys.kohya(low_rank(tiny.unet)).items() if "alpha" not in k}, file)
        with pytest.raises(Wrong, match=said):
            imports.lora(file, tiny, folder, name)
    assert [p.name for p in folder.iterdir()] == ["Ink-style-v2"]

