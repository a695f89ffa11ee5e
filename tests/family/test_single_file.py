"""Checkpoints of one file: published names, both layouts, both ways."""

import copy
from functools import partial

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from remembrandt.conditions import text
from remembrandt.family import load as families
from remembrandt.family import single_file, weights
from remembrandt.family.load import _predicts, save_single_file
from remembrandt.family.parts import blank
from remembrandt.settings import Wrong
from tests import conftest
from tests.family import published

load = partial(families.load, device="cpu")
COUNTS = {"unet": 686, "vae": 248, "text_encoder": 196}


def layout(root: str) -> dict[str, dict]:
    return single_file.LAYOUTS[root][1]


@pytest.mark.parametrize("name", COUNTS)
def test_sd1_has_the_published_names_and_shapes(name, tiny):
    tables = {"unet": published.unet, "vae": published.vae, "text_encoder": published.text}
    table = tables[name]()
    config = layout("cond_stage_model.transformer.")[name]
    state = blank(name, config, tiny.tokenizer).state_dict()
    pairs = single_file._theirs(name, state, config, "sd1")
    ours = {
        theirs: (*state[key].shape, *((1, 1) if single_file._is_flat(name, key) else ()))
        for key, (theirs, _) in pairs.items()
    }
    assert ours == table
    assert len(table) == COUNTS[name]


def test_a_published_file_takes_the_tokenizer_beside_it(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(Wrong, match=r"holds no tokenizer.*families pull openai/clip"):
        single_file.clip_tokenizer(tmp_path / "it.safetensors", "sd1")
    tiny.tokenizer.save_pretrained(tmp_path / "tokenizer")
    found = single_file.clip_tokenizer(tmp_path / "it.safetensors", "sd2")
    assert found("a red dog").input_ids == tiny.tokenizer("a red dog").input_ids
    assert found.pad_token == "!"


@pytest.fixture(scope="module")
def openclip():
    """A tiny family whose text encoder and linear projections are those of 2.x."""
    family = conftest.tiny_family(prediction="v_prediction")
    torch.manual_seed(1)
    family.text_encoder = conftest.text_encoder(family.tokenizer, hidden_act="gelu")
    family.unet = conftest.painter(use_linear_projection=True)
    for network in (family.text_encoder, family.unet):
        conftest.represent(network)
    return family


def same(a, b) -> bool:
    networks = ("unet", "vae", "text_encoder")
    states = [(getattr(a, n).state_dict(), getattr(b, n).state_dict()) for n in networks]
    return all(x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x) for x, y in states)


@pytest.mark.parametrize("kind", ["tiny", "openclip"])
def test_a_family_comes_back(kind, request, tmp_path):
    family = request.getfixturevalue(kind)
    back = load(save_single_file(family, tmp_path / "it.safetensors"), precision="fp32")
    assert same(family, back)
    assert back.digest == family.digest
    assert (back.name, back.revision, back.record) == ("tiny", "1", family.record)
    assert back.schedule.prediction == family.schedule.prediction
    assert torch.equal(back.schedule.alphas_cumprod, family.schedule.alphas_cumprod)
    prompts = ["a red dog, zyx!", "ink" * 40]
    assert torch.equal(text.encode(back, prompts), text.encode(family, prompts))
    assert list(tmp_path.iterdir()) == [tmp_path / "it.safetensors"]
    assert load(tmp_path).digest == family.digest


def test_the_names_of_2x(openclip, tmp_path):
    path = save_single_file(openclip, tmp_path / "it.safetensors")
    found = load_file(path)
    block = "cond_stage_model.model.transformer.resblocks.1."
    assert found[block + "attn.in_proj_weight"].shape == (96, 32)
    assert found[block + "mlp.c_proj.weight"].shape == (32, 64)
    assert "cond_stage_model.model.positional_embedding" in found
    q = openclip.text_encoder.encoder.layers[1].self_attn.q_proj.weight
    assert torch.equal(found[block + "attn.in_proj_weight"][:32].float(), q)
    assert all(t.dtype == torch.float16 for t in found.values())
    with safe_open(path, "pt") as file:
        assert file.metadata()["modelspec.prediction_type"] == "v"


@pytest.mark.parametrize("old", ["without text_model", "with position_ids and ema"])
def test_variants_in_the_wild(old, tiny, tmp_path):
    path = save_single_file(tiny, tmp_path / "it.safetensors")
    found, metadata = load_file(path), weights.opened(path)[1]
    if old == "without text_model":
        found = {k.replace("transformer.text_model.", "transformer."): t for k, t in found.items()}
    else:
        place = "cond_stage_model.transformer.text_model.embeddings.position_ids"
        found |= {place: torch.arange(77)[None], "model_ema.decay": torch.tensor(0.9)}
    save_file(found, path, metadata)
    assert same(load(path, precision="fp32"), tiny)


def test_what_2x_predicts_is_asked_of_the_network(openclip):
    unet = copy.deepcopy(openclip.unet)
    unet.conv_out.weight.zero_()
    unet.conv_out.bias.fill_(-3.0)
    assert _predicts(unet) == "v_prediction"
    unet.conv_out.bias.fill_(0.5)
    assert _predicts(unet) == "epsilon"


def test_what_is_no_checkpoint_is_refused(tiny, tmp_path):
    path = tmp_path / "it.safetensors"
    save_file({"lora_unet.down.weight": torch.zeros(2)}, path)
    with pytest.raises(Wrong, match="no checkpoint of Stable Diffusion"):
        load(path)
    found = load_file(save_single_file(tiny, path))
    metadata = weights.opened(path)[1]
    del found["model.diffusion_model.out.2.bias"]
    save_file(found, path, metadata)
    with pytest.raises(Wrong, match=r"lacks 'conv_out.bias'"):
        load(path)


def test_the_text_encoder_of_2x_is_one(openclip):
    assert isinstance(openclip.text_encoder, CLIPTextModel)
    config = layout("cond_stage_model.model.")["text_encoder"]
    state = blank("text_encoder", config, openclip.tokenizer).state_dict()
    theirs = {t for t, _ in single_file._theirs("text_encoder", state, config, "sd2").values()}
    assert len(theirs) == 2 + 23 * 12 + 2  # q, k and v are one tensor there
