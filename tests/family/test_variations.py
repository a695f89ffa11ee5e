"""Families that pictures steer: Lambda's folders, old and new, CompVis' file, revisions, preprocessing as recorded."""

import json
import re
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from diffusers import DiffusionPipeline
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPConfig, CLIPModel

from remembrandt.conditions import image
from remembrandt.family import load as families
from remembrandt.family import single_file, weights
from remembrandt.family.load import save, save_single_file
from remembrandt.family.parts import PUBLISHED, blank
from remembrandt.settings import Wrong
from tests.engine.test_tasks import SCENE, apart, latents
from tests.engine.test_variations import asked

load = partial(families.load, device="cpu", precision="fp32")


def same(a, b) -> bool:
    states = [(getattr(a, n).state_dict(), getattr(b, n).state_dict()) for n in ("unet", "vae", "image_encoder")]
    return a.digest == b.digest and all(all(torch.equal(x[k], y[k]) for k in x | y) for x, y in states)


def test_a_folder_comes_back(pictured, pictured_folder):
    back = load(pictured_folder)
    assert same(back, pictured) and not back.reads and back.notices == ()
    assert (back.kind, back.record) == ("variations", pictured.record)
    assert {p.name for p in pictured_folder.iterdir() if p.is_dir()} == {
        "vae", "image_encoder", "unet", "scheduler", "feature_extractor",
    }  # fmt: skip


@pytest.mark.parametrize("fit", ["squash", "crop"])
def test_its_card_holds_the_transform_and_diffusers_paints_the_same(fit, pictured, tmp_path):
    how = {**PUBLISHED, "fit": fit, "clamp": fit == "crop", "align_corners": fit == "crop"}
    family = replace(pictured, record=replace(pictured.record, resize=how))
    place = save(family, tmp_path / "it")
    kept = json.loads((place / "feature_extractor/preprocessor_config.json").read_text())
    assert kept["remembrandt"] == how and kept["crop_size"] == {"height": 32, "width": 32}
    [snippet] = re.findall(r"```python\n(.*?)\npipeline = ", (place / "README.md").read_text(), re.DOTALL)
    names: dict = {}
    exec(snippet, names)
    given = np.ascontiguousarray(SCENE[:, :96])
    mine = image.preprocessed([given], how, 32)
    assert torch.allclose(names["seen"](Image.fromarray(given)), mine, atol=1e-6)
    pipeline = DiffusionPipeline.from_pretrained(place)  # without arguments: details 27
    pipeline.set_progress_bar_config(disable=True)
    theirs = pipeline(
        mine, num_inference_steps=4, guidance_scale=3.0, output_type="latent",
        generator=torch.Generator().manual_seed(3),
    )  # fmt: skip
    assert apart(latents(load(place), asked(family, given, seed=3, steps=4)), theirs.images) <= 1e-3


def test_an_older_folder(pictured, pictured_folder, tmp_path):
    """`StableDiffusionImageEmbedPipeline`: a whole CLIP and no record, so that the published one stands in."""
    place = shutil.copytree(pictured_folder, tmp_path / "old")
    shutil.rmtree(place / "image_encoder")
    (place / "remembrandt.json").unlink()
    for name, change in (("model_index.json", {"_class_name": "StableDiffusionImageEmbedPipeline"}),
                         ("feature_extractor/preprocessor_config.json", {"remembrandt": None})):  # fmt: skip
        (place / name).write_text(json.dumps(json.loads((place / name).read_text()) | change))
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50, "eos_token_id": 2}
    seen = pictured.image_encoder.config.to_dict() | {"projection_dim": 512}  # the whole one's counts
    clip = CLIPModel(CLIPConfig(text_config=text, vision_config=seen, projection_dim=32))
    clip.vision_model.load_state_dict(pictured.image_encoder.vision_model.state_dict())
    clip.visual_projection.load_state_dict(pictured.image_encoder.visual_projection.state_dict())
    clip.save_pretrained(place / "image_encoder")
    back = load(place)
    assert same(back, pictured) and back.kind == "variations" and back.name == "old"
    assert back.record.resize == PUBLISHED and back.record.guidance == 3.0
    [notice] = back.notices
    assert "does not say how it is shown pictures" in notice and "antialias false" in notice
    assert load(save(back, tmp_path / "new")).notices == ()  # from now on it says


def test_a_single_file_comes_back(pictured, tmp_path):
    path = save_single_file(pictured, tmp_path / "it.safetensors")
    held, metadata = load_file(path), weights.opened(path)[1]
    held |= {f"cond_stage_model.model.{left}": torch.zeros(2) for left in ("ln_final.weight", "positional_embedding")}
    save_file(held | {"cond_stage_model.model.token_embedding.weight": torch.zeros(2, 2)}, path, metadata)
    back = load(path)  # what CompVis' file holds of the text tower is left out, and it is not taken for a 2.x
    assert same(back, pictured) and (back.kind, back.record, back.notices) == ("variations", pictured.record, ())
    proj = held["cond_stage_model.model.visual.proj"].float()
    assert torch.equal(proj, pictured.image_encoder.visual_projection.weight.T)
    assert held["cond_stage_model.model.visual.transformer.resblocks.1.attn.in_proj_weight"].shape == (96, 32)


def test_the_single_file_has_the_published_names_and_shapes():
    """ViT-L/14 as `clip/model.py` of OpenAI names it."""
    root, block = "cond_stage_model.model.visual.", {
        "attn.in_proj_weight": (3072, 1024), "attn.in_proj_bias": (3072,),
        "attn.out_proj.weight": (1024, 1024), "attn.out_proj.bias": (1024,),
        "ln_1.weight": (1024,), "ln_1.bias": (1024,), "ln_2.weight": (1024,), "ln_2.bias": (1024,),
        "mlp.c_fc.weight": (4096, 1024), "mlp.c_fc.bias": (4096,),
        "mlp.c_proj.weight": (1024, 4096), "mlp.c_proj.bias": (1024,),
    }  # fmt: skip
    table = {"class_embedding": (1024,), "positional_embedding": (257, 1024), "proj": (1024, 768)}
    table |= {"conv1.weight": (1024, 3, 14, 14)}
    table |= {f"ln_{when}.{part}": (1024,) for when in ("pre", "post") for part in ("weight", "bias")}
    table |= {f"transformer.resblocks.{k}.{name}": shape for k in range(24) for name, shape in block.items()}
    config = single_file.LAYOUTS[root][1]["image_encoder"]
    state = blank("image_encoder", config, None).state_dict()
    ours: dict = {}
    for key, (theirs, third) in single_file._theirs("image_encoder", state, config, "variations").items():
        shape = tuple(state[key].shape)
        shape = shape[::-1] if key == "visual_projection.weight" else shape
        ours[theirs] = shape if third is None else (3 * shape[0], *shape[1:])
    assert ours == {root + name: shape for name, shape in table.items()} and len(ours) == 296


def test_revisions_side_by_side(pictured, pictured_folder, tmp_path, monkeypatch):
    other = replace(pictured, record=replace(pictured.record, guidance=4.5))
    hub = tmp_path / "hub" / "models--lambda--it"
    (hub / "refs").mkdir(parents=True)
    for revision, family, mark in (("v1.0", pictured, "a" * 40), ("v2.0", other, "b" * 40)):
        save(family, tmp_path / "it" / revision)
        shutil.copytree(tmp_path / "it" / revision, hub / "snapshots" / mark)
        (hub / "refs" / revision).write_text(mark)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    for base in (tmp_path / "it", "lambda/it"):
        old, new = load(f"{base}@v1.0"), load(f"{base}@v2.0")
        assert (old.record.guidance, new.record.guidance) == (3.0, 4.5)
        assert old.name == new.name == str(base).removeprefix(f"{tmp_path}/") and old.revision != new.revision
    assert load(f"{tmp_path / 'it'}@v2.0").revision == "v2.0"
    with pytest.raises(Wrong, match="there is no family"):
        load(f"{tmp_path / 'it'}@v3.0")


def test_what_is_not_whole_is_refused(pictured_folder, tmp_path):
    place = shutil.copytree(pictured_folder, tmp_path / "copy")
    shutil.rmtree(place / "image_encoder")
    with pytest.raises(Wrong, match="has no folder 'image_encoder'"):
        load(place)
