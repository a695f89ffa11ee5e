"""Checkpoints of one safetensors file, as CompVis (1.x) and Stability (2.x) publish them."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import hf_hub_download
from safetensors.torch import save_file
from torch import Tensor
from transformers import AddedToken, CLIPTokenizer

from remembrandt.family import names, weights
from remembrandt.family.folder import VARIATIONS
from remembrandt.family.parts import SCHEDULER, Parts, blank, config_of, spelling
from remembrandt.family.weights import Lazy
from remembrandt.settings import Wrong

if TYPE_CHECKING:
    from remembrandt.family.family import Family

DOWN = ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",)
UP = ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3
UNET = {
    "sample_size": 64,
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": DOWN,
    "up_block_types": UP,
}
VAE = {
    "sample_size": 512,
    "latent_channels": 4,
    "layers_per_block": 2,
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "scaling_factor": 0.18215,
}
CLIP_TEXT = {"vocab_size": 49408, "max_position_embeddings": 77}
SD1_UNET = UNET | {"cross_attention_dim": 768, "attention_head_dim": 8}

#: The published configurations, by the key that tells them apart.
LAYOUTS: dict[str, tuple[str, dict[str, dict[str, Any]]]] = {
    "cond_stage_model.model.visual.": (
        VARIATIONS,
        {
            "unet": SD1_UNET,
            "vae": VAE,
            "image_encoder": {
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 24,
                "num_attention_heads": 16,
                "image_size": 224,
                "patch_size": 14,
                "hidden_act": "quick_gelu",
                "projection_dim": 768,
            },
        },
    ),
    "cond_stage_model.transformer.": (
        "sd1",
        {
            "unet": SD1_UNET,
            "vae": VAE,
            "text_encoder": CLIP_TEXT
            | {
                "hidden_size": 768,
                "intermediate_size": 3072,
                "num_hidden_layers": 12,
                "num_attention_heads": 12,
                "hidden_act": "quick_gelu",
                "projection_dim": 768,
            },
        },
    ),
    "cond_stage_model.model.": (
        "sd2",
        {
            "unet": UNET
            | {
                "cross_attention_dim": 1024,
                "attention_head_dim": (5, 10, 20, 20),
                "use_linear_projection": True,
            },
            "vae": VAE,
            # The last of OpenCLIP's 24 layers is in the file, but 2.x does not use it.
            "text_encoder": CLIP_TEXT
            | {
                "hidden_size": 1024,
                "intermediate_size": 4096,
                "num_hidden_layers": 23,
                "num_attention_heads": 16,
                "hidden_act": "gelu",
                "projection_dim": 512,
            },
        },
    ),
}
CLIP = "openai/clip-vit-large-patch14"  # the hub id whose tokenizer all of 1.x and 2.x use
ABOUT = "remembrandt"  # the metadata entry in which a file of ours describes itself


def read(path: Path) -> Parts:
    """What a checkpoint says and holds, under diffusers' names; what else it holds is left out."""
    lazy, metadata = weights.opened(path)
    layout, configs = next((v for k, v in LAYOUTS.items() if any(n.startswith(k) for n in lazy)), ("", {}))
    if not layout:
        raise Wrong(f"{path} is no checkpoint of Stable Diffusion 1.x or 2.x: it has no encoder of text or pictures")
    about = _about(metadata)
    known = "configs" in about
    configs = {k: dict(v) for k, v in (about["configs"] if known else configs).items()}
    tokenizer = _tokenizer(about, path, layout) if "text_encoder" in configs else None
    first = lazy.get("model.diffusion_model.input_blocks.0.0.weight")
    if first is not None and not known:
        configs["unet"]["in_channels"] = first().shape[1]
    found = {name: _taken(name, config, lazy, tokenizer, layout) for name, config in configs.items()}
    facts = {"name": path.stem} | ({"kind": VARIATIONS} if layout == VARIATIONS else {})
    facts |= {k: v for k, v in about.get("facts", {}).items() if v is not None}
    return Parts(path, configs, found, tokenizer, _scheduler(about, metadata, layout), facts)


def _tokenizer(about: Mapping[str, Any], path: Path, layout: str) -> CLIPTokenizer:
    return own_tokenizer(**about["tokenizer"]) if "tokenizer" in about else clip_tokenizer(path, layout)


def _about(metadata: Mapping[str, str]) -> dict[str, Any]:
    try:
        found = json.loads(metadata.get(ABOUT, "{}"))
    except json.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _scheduler(about: Mapping[str, Any], metadata: Mapping[str, str], layout: str) -> dict | None:
    """What the network predicts, as the file says; 1.x predicts noise, 2.x may do either."""
    if "scheduler" in about:
        return about["scheduler"]
    said = metadata.get("modelspec.prediction_type", "" if layout == "sd2" else "epsilon")
    kind = {"epsilon": "epsilon", "v": "v_prediction", "v_prediction": "v_prediction"}.get(said)
    return SCHEDULER | {"prediction_type": kind} if kind else None


def _taken(name: str, config: dict, lazy: Lazy, tokenizer: CLIPTokenizer | None, layout: str) -> Lazy:
    """The tensors of one network under our names, as many of them as the file has."""
    keys = blank(name, config, tokenizer).state_dict().keys()
    found = {}
    for key, (theirs, third) in _theirs(name, keys, config, layout).items():
        theirs = theirs if theirs in lazy else theirs.replace(".text_model.", ".")
        if theirs in lazy:
            found[key] = partial(_ours, lazy[theirs], third, _is_flat(name, key), key in names.TURNED)
    return found


def _theirs(name: str, keys, config: dict, layout: str) -> dict[str, tuple[str, int | None]]:
    if name == "text_encoder" and layout == "sd2":
        return names.openclip(keys)
    if name == "image_encoder":
        return names.visual(keys)
    if name == "text_encoder":
        return {mine: (theirs, None) for mine, theirs in names.clip(keys).items()}
    table = names.unet(keys, config) if name == "unet" else names.vae(keys, config)
    return {mine: (theirs, None) for mine, theirs in table.items()}


def _is_flat(name: str, key: str) -> bool:
    """The VAE's attention is of 1 x 1 convolutions there, of linears here."""
    return name == "vae" and ".attentions." in key and key.endswith("weight") and "norm" not in key


def _ours(read: Callable[[], Tensor], third: int | None, flat: bool, turned: bool) -> Tensor:
    tensor = read() if third is None else read().chunk(3)[third]
    tensor = tensor.T if turned else tensor
    return tensor.flatten(1) if flat and tensor.ndim == 4 and tensor.shape[2:] == (1, 1) else tensor


def write(family: Family, path: Path) -> Path:
    """Save a family in half precision under CompVis' names: SD 2's for a text encoder like its own, OpenAI's for the
    image encoder of a family of kind `variations`.

    The metadata describes the networks, so that any family comes back; other tools read the
    checkpoints whose sizes are SD's.
    """
    networks = {"unet": family.unet, "vae": family.vae}
    if family.kind == VARIATIONS:
        layout = VARIATIONS
        networks["image_encoder"] = family.image_encoder
    else:
        layout = "sd2" if family.text_encoder.config.hidden_act == "gelu" else "sd1"
        networks["text_encoder"] = family.text_encoder
    tensors: dict[str, Tensor] = {}
    configs = {}
    for name, network in networks.items():
        configs[name] = config_of(network)
        lazy = weights.halved(weights.held(network))
        thirds: dict[str, list[Tensor]] = {}
        for key, (theirs, third) in _theirs(name, lazy, configs[name], layout).items():
            tensor = lazy[key]().T.contiguous() if key in names.TURNED else lazy[key]()
            if third is not None:
                thirds.setdefault(theirs, [tensor] * 3)[third] = tensor
            else:
                tensors[theirs] = tensor[..., None, None] if _is_flat(name, key) else tensor
        tensors |= {theirs: torch.cat(three) for theirs, three in thirds.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_file(dict(sorted(tensors.items())), part, _metadata(family, configs, layout))
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _metadata(family: Family, configs: dict[str, dict], layout: str) -> dict[str, str]:
    record = family.record
    facts = {"name": family.name, "revision": family.revision, "kind": family.kind, "resize": dict(record.resize)}
    facts |= {k: getattr(record, k) for k in ("size", "guidance", "steps", "sampler")}
    about: dict[str, Any] = {"configs": configs, "scheduler": dict(family.scheduler), "facts": facts}
    if "text_encoder" in configs:
        about["tokenizer"] = spelling(family.tokenizer)
    kind = "v" if family.schedule.prediction == "v" else "epsilon"
    return {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "stable-diffusion-v2" if layout == "sd2" else "stable-diffusion-v1",
        "modelspec.title": family.name,
        "modelspec.prediction_type": kind,
        "modelspec.resolution": f"{record.size}x{record.size}",
        ABOUT: json.dumps(about, sort_keys=True),
    }


def own_tokenizer(vocab: dict[str, int], merges: list[str], pad: str, added: Sequence[str] = ()) -> CLIPTokenizer:
    """The tokenizer of a `spelling`."""
    pairs = [tuple(pair.split(" ")) for pair in merges]
    made = CLIPTokenizer(vocab, pairs, pad_token=pad, model_max_length=77)  # type: ignore[arg-type]
    made.add_tokens([AddedToken(word, single_word=True, normalized=True) for word in added])  # type: ignore[arg-type]
    return made


def clip_tokenizer(path: Path, layout: str) -> CLIPTokenizer:
    """CLIP's own, which published checkpoints do not hold: from `tokenizer/` beside the file, or the hub's cache."""
    beside = path.parent / "tokenizer"
    pad = "<|endoftext|>" if layout == "sd1" else "!"
    try:  # without its files, `from_pretrained` would make up an empty tokenizer
        cached = beside.is_dir() or hf_hub_download(CLIP, "merges.txt", local_files_only=True)
        source = beside if beside.is_dir() else Path(str(cached)).parent
        return CLIPTokenizer.from_pretrained(source, local_files_only=True, pad_token=pad)
    except (OSError, ValueError):
        raise Wrong(
            f"{path} holds no tokenizer and CLIP's is not here: put the folder `tokenizer` of any Stable Diffusion"
            f" beside it, or fetch it with `remembrandt families pull {CLIP}`"
        ) from None
