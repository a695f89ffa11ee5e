"""LoRA files of other tools, in both directions. Every parity test first shows that its LoRA bites."""

import copy
import json

import diffusers
import pytest
import torch
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file

from remembrandt.adapters import keys
from remembrandt.adapters.wear import Worn, stem
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.settings import Wrong
from tests.adapters.helpers import low_rank

PROMPT, RANK, ALPHA = "a red dog", 4, 2.0
STEPS = {"num_inference_steps": 4, "guidance_scale": 4.0, "output_type": "latent"}
UNET = ["to_q", "to_k", "to_v", "to_out.0", "ff.net.0.proj", "proj_in", "conv1"]
TEXT = ["q_proj", "v_proj", "fc1"]


def pipeline(folder):
    made = diffusers.StableDiffusionPipeline.from_pretrained(folder)
    made.set_progress_bar_config(disable=True)
    return made


def latents(pipe, prompt=PROMPT) -> torch.Tensor:
    return pipe(prompt, generator=torch.Generator().manual_seed(3), **STEPS).images


def ours(family, *wears, prompt=PROMPT, **rest) -> torch.Tensor:
    """The latents that the engine would decode."""
    kept, family = [], copy.copy(family)
    decode = type(family).decode

    class Told(type(family)):
        def decode(self, x):
            kept.append(x)
            return decode(self, x)

    family.__class__ = Told
    asked = Request(prompt, seed=3, steps=4, guidance=4.0, sampler="ddim", wears=tuple(wears), **rest)
    Engine(family).paint([asked])
    return kept[0]


def apart(a, b) -> float:
    return float((a - b).norm() / b.norm())


@pytest.fixture(scope="module")
def injected(tiny_folder):
    """A diffusers pipeline with peft layers in UNet (convolutions too) and text encoder, and its latents."""
    pipe = pipeline(tiny_folder)
    plain = latents(pipe)
    with torch.random.fork_rng():
        torch.manual_seed(5)
        settings = {"r": RANK, "lora_alpha": ALPHA, "init_lora_weights": False}
        pipe.unet.add_adapter(LoraConfig(target_modules=UNET, **settings))
        pipe.text_encoder.add_adapter(LoraConfig(target_modules=TEXT, **settings))
    made = latents(pipe)
    assert apart(made, plain) >= 0.1
    return pipe, made


def kohya_file(pipe, path):
    """As sd-scripts writes it: underscores, `text_model`, an alpha for each layer."""
    flat = {}
    for prefix, network in (("lora_unet_", pipe.unet), ("lora_te_text_model_", stem(pipe.text_encoder))):
        for name, tensor in get_peft_model_state_dict(network).items():
            layer, _, half = name.removesuffix(".weight").rpartition(".")
            key = prefix + layer.replace(".", "_")
            flat[f"{key}.lora_{'down' if half == 'lora_A' else 'up'}.weight"] = tensor.clone()
            flat[f"{key}.alpha"] = torch.tensor(ALPHA)
    save_file(flat, path, metadata={"ss_network_dim": str(RANK)})
    return path


def diffusers_file(pipe, path, *, nested):
    """As diffusers saves it; `nested` as on transformers before 5.6, with `text_model.` in its keys."""
    from peft.utils import get_peft_model_state_dict as state

    between = "text_model." if nested else ""
    flat = {f"unet.{k}": t.clone() for k, t in state(pipe.unet).items()}
    flat |= {f"text_encoder.{between}{k}": t.clone() for k, t in state(stem(pipe.text_encoder)).items()}
    said = {f"{n}.{k}": v for n in ("unet", "text_encoder") for k, v in (("r", RANK), ("lora_alpha", ALPHA))}
    save_file(flat, path, metadata={"lora_adapter_metadata": json.dumps(said)})
    return path


@pytest.mark.parametrize("tool", ["kohya", "diffusers", "diffusers, nested text encoder"])
def test_imported_from_other_tools(tool, injected, tiny, tmp_path):
    pipe, theirs = injected
    path = tmp_path / "their.safetensors"
    if tool == "kohya":
        kohya_file(pipe, path)
    else:
        diffusers_file(pipe, path, nested="nested" in tool)
    found = keys.read(path, tiny)
    assert not found.strangers and found.adapter.part(text=True)
    assert apart(ours(tiny, Worn(found.adapter)), theirs) <= 1e-3
    assert apart(ours(tiny, Worn(found.adapter, 0.3)), theirs) >= 0.03


def test_imported_from_peft(tiny, tmp_path):
    """A folder as `save_pretrained` writes it, with an alpha of its own for some layers."""
    network = copy.deepcopy(tiny.unet)
    config = LoraConfig(
        r=RANK, lora_alpha=ALPHA, target_modules=["to_q", "to_v"], init_lora_weights=False,
        alpha_pattern={"attn2.to_v": 12.0}, use_rslora=True,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(7)
        get_peft_model(network, config).save_pretrained(tmp_path)
    found = keys.read(tmp_path, tiny)
    changed = copy.copy(tiny)
    changed.unet = network
    theirs, plain = ours(changed), ours(tiny)
    assert apart(theirs, plain) >= 0.1 and not found.strangers
    assert apart(ours(tiny, Worn(found.adapter)), theirs) <= 1e-3


def test_exported_to_diffusers(tiny, tiny_folder, tmp_path):
    adapter = low_rank(tiny.unet, size=0.5)
    save_file(keys.kohya(adapter), tmp_path / "ours.safetensors")
    pipe, plain = pipeline(tiny_folder), ours(tiny)
    pipe.load_lora_weights(tmp_path, weight_name="ours.safetensors")
    theirs = latents(pipe)
    assert apart(theirs, plain) >= 0.1
    assert apart(ours(tiny, Worn(adapter)), theirs) <= 1e-3
    again = keys.read(tmp_path / "ours.safetensors", tiny).adapter
    assert all(torch.equal(again.tensors[n][k], t) for n, pair in adapter.tensors.items() for k, t in pair.items())


def test_both_layouts_of_the_text_encoder(tiny):
    """Before transformers 5.6 the layers lay under `text_model`."""

    class Nested(torch.nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.text_model = inner

    nested = copy.copy(tiny)
    nested.text_encoder = Nested(stem(tiny.text_encoder))
    assert keys._places(nested) == keys._places(tiny)


def test_older_spellings(tiny, tmp_path):
    layer = "down_blocks.0.attentions.0.transformer_blocks.0.attn1"
    width = tiny.unet.get_submodule(layer).to_q.in_features
    down, up = torch.randn(2, width), torch.randn(width, 2)
    for key, wanted in {
        f"unet.{layer}.processor.to_q_lora.{{}}.weight": "to_q",
        f"unet.{layer}.processor.to_out_lora.{{}}.weight": "to_out.0",
        f"{layer}.to_v.lora.{{}}.weight": "to_v",
        "lora_unet_input_blocks_1_1_transformer_blocks_0_attn1_to_k.lora_{}.weight": "to_k",
    }.items():
        save_file({key.format("down"): down, key.format("up"): up}, tmp_path / "old.safetensors")
        found = keys.read(tmp_path / "old.safetensors", tiny).adapter
        assert list(found.tensors) == [f"{layer}.{wanted}"]


def test_a_file_without_effect_is_an_error(tiny, tmp_path):
    path = tmp_path / "odd.safetensors"
    pair = low_rank(tiny.unet)
    good = keys.kohya(pair)
    first = next(iter(good)).split(".")[0]
    cases = {
        "none of its": {"lora_te2_text_model_x.lora_down.weight": torch.ones(2, 2)},
        "is zero": {k: t * 0 if "up" in k else t for k, t in good.items()},
        "other sizes": {**good, f"{first}.lora_down.weight": torch.ones(4, 7)},
        "only a half": {f"{first}.lora_down.weight": good[f"{first}.lora_down.weight"]},
        "no plain LoRA": {**good, f"{first}.dora_scale": torch.ones(3)},
    }
    for said, flat in cases.items():
        save_file(flat, path)
        with pytest.raises(Wrong, match=said):
            keys.read(path, tiny)
    save_file(good | {"lora_te2_far.alpha": torch.tensor(1.0)}, path)
    assert keys.read(path, tiny).strangers == ["lora_te2_far.alpha"]


def test_pickles_are_refused(tiny, tmp_path):
    torch.save({"a": torch.ones(1)}, tmp_path / "x.bin")
    torch.save({"a": torch.ones(1)}, tmp_path / "x.safetensors")
    for name, said in (("x.bin", "pickle"), ("x.safetensors", "no .safetensors"), ("gone", "no file")):
        with pytest.raises(Wrong, match=said):
            keys.read(tmp_path / name, tiny)
