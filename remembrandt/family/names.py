"""What diffusers and CompVis call the same tensors, from a network's configuration.

After `ldm/modules/diffusionmodules/openaimodel.py` and `model.py` of CompVis/stable-diffusion, and
`open_clip/transformer.py` for the text encoder of 2.x.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Pair = tuple[str, str]

RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "time_emb_proj": "emb_layers.1",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "conv_shortcut": "skip_connection",
}
ATTENTION = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}
OPENCLIP = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}
VISUAL = {
    "vision_model.embeddings.class_embedding": "class_embedding",
    "vision_model.embeddings.patch_embedding.": "conv1.",
    "vision_model.embeddings.position_embedding.weight": "positional_embedding",
    "vision_model.pre_layrnorm.": "ln_pre.",
    "vision_model.post_layernorm.": "ln_post.",
    "visual_projection.weight": "proj",
    "vision_model.encoder.layers.": "transformer.resblocks.",
}
TURNED = {"visual_projection.weight"}  # transposed there
QKV = re.compile(r"(.*)self_attn\.([qkv])_proj\.(weight|bias)")


def unet(keys: Iterable[str], config: Mapping[str, Any]) -> dict[str, str]:
    """Our names to `model.diffusion_model` ones."""
    places = dict(_unet(config))
    return {key: "model.diffusion_model." + _moved(key, places, RESNET) for key in keys}


def vae(keys: Iterable[str], config: Mapping[str, Any]) -> dict[str, str]:
    """Our names to `first_stage_model` ones."""
    places, inner = dict(_vae(config)), ATTENTION | {"conv_shortcut": "nin_shortcut"}
    return {key: "first_stage_model." + _moved(key, places, inner) for key in keys}


def clip(keys: Iterable[str]) -> dict[str, str]:
    """Our names of the text encoder to those of SD 1.x."""
    return {key: f"cond_stage_model.transformer.text_model.{key}" for key in keys}


def openclip(keys: Iterable[str]) -> dict[str, tuple[str, int | None]]:
    """Our names of the text encoder to those of SD 2.x, and which third of a joint tensor it is."""
    return {key: _openclip(key) for key in keys}


def visual(keys: Iterable[str]) -> dict[str, tuple[str, int | None]]:
    """Our names of an image encoder to OpenAI's, as the checkpoints of SD Image Variations hold it."""
    found = {}
    for key in keys:
        mine = next(m for m in VISUAL if key.startswith(m))
        found[key] = _joined("cond_stage_model.model.visual.", VISUAL[mine] + key.removeprefix(mine))
    return found


def _openclip(key: str) -> tuple[str, int | None]:
    root = "cond_stage_model.model."
    if key.startswith("embeddings."):
        names = {"token_embedding.weight": "token_embedding.weight"}
        names["position_embedding.weight"] = "positional_embedding"
        return root + names[key.removeprefix("embeddings.")], None
    if key.startswith("final_layer_norm."):
        return root + key.replace("final_layer_norm", "ln_final"), None
    return _joined(root, key.replace("encoder.layers.", "transformer.resblocks."))


def _joined(root: str, key: str) -> tuple[str, int | None]:
    """CLIP keeps queries, keys and values in one tensor."""
    if joint := QKV.fullmatch(key):
        return f"{root}{joint[1]}attn.in_proj_{joint[3]}", "qkv".index(joint[2])
    for mine, theirs in OPENCLIP.items():
        key = key.replace(mine, theirs)
    return root + key, None


def _moved(key: str, places: Mapping[str, str], inner: Mapping[str, str]) -> str:
    """`key` with its module's place, and inside resnets and the VAE's attentions its own name."""
    place = max((p for p in places if key.startswith(p)), key=len, default="")
    rest = key[len(place) :]
    if "resnets." in place or "attentions." in place:
        name, _, kind = rest.rpartition(".")
        rest = f"{inner.get(name, name)}.{kind}"
    return places.get(place, "") + rest


def _unet(config: Mapping[str, Any]) -> Iterator[Pair]:
    layers, downs, ups = (config[k] for k in ("layers_per_block", "down_block_types", "up_block_types"))
    yield "conv_in.", "input_blocks.0.0."
    yield "time_embedding.linear_1.", "time_embed.0."
    yield "time_embedding.linear_2.", "time_embed.2."
    n = 1
    for i, kind in enumerate(downs):
        for j in range(layers):
            yield f"down_blocks.{i}.resnets.{j}.", f"input_blocks.{n}.0."
            if "CrossAttn" in kind:
                yield f"down_blocks.{i}.attentions.{j}.", f"input_blocks.{n}.1."
            n += 1
        yield f"down_blocks.{i}.downsamplers.0.conv.", f"input_blocks.{n}.0.op."
        n += 1
    for mine, theirs in (("resnets.0", 0), ("attentions.0", 1), ("resnets.1", 2)):
        yield f"mid_block.{mine}.", f"middle_block.{theirs}."
    n = 0
    for i, kind in enumerate(ups):
        cross = "CrossAttn" in kind
        for j in range(layers + 1):
            yield f"up_blocks.{i}.resnets.{j}.", f"output_blocks.{n + j}.0."
            if cross:
                yield f"up_blocks.{i}.attentions.{j}.", f"output_blocks.{n + j}.1."
        n += layers + 1
        yield f"up_blocks.{i}.upsamplers.0.conv.", f"output_blocks.{n - 1}.{1 + cross}.conv."
    yield "conv_norm_out.", "out.0."
    yield "conv_out.", "out.2."


def _vae(config: Mapping[str, Any]) -> Iterator[Pair]:
    levels, layers = len(config["block_out_channels"]), config["layers_per_block"]
    for side, way, count in (("encoder", "down", layers), ("decoder", "up", layers + 1)):
        yield f"{side}.conv_norm_out.", f"{side}.norm_out."
        for mine, theirs in (
            ("resnets.0", "block_1"),
            ("attentions.0", "attn_1"),
            ("resnets.1", "block_2"),
        ):
            yield f"{side}.mid_block.{mine}.", f"{side}.mid.{theirs}."
        for i in range(levels):
            level = i if way == "down" else levels - 1 - i  # CompVis counts by size, both ways
            place = f"{side}.{way}_blocks.{i}."
            for j in range(count):
                yield f"{place}resnets.{j}.", f"{side}.{way}.{level}.block.{j}."
            yield f"{place}{way}samplers.0.conv.", f"{side}.{way}.{level}.{way}sample.conv."
