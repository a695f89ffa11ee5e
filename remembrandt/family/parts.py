"""What files say before a network is filled: configurations, unread tensors, tokenizer, facts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from torch import nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

from remembrandt.family.weights import Lazy
from remembrandt.settings import Wrong

#: SD 1's noise, and the sampler whose folder paints in diffusers without arguments, complete.
SCHEDULER: dict[str, Any] = {
    "_class_name": "DDIMScheduler",
    "num_train_timesteps": 1000,
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "trained_betas": None,
    "prediction_type": "epsilon",
    "rescale_betas_zero_snr": False,
    "timestep_spacing": "leading",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "thresholding": False,
}
#: How SD Image Variations sees pictures by its card's transform: for models of its kind without a record of their own.
PUBLISHED: dict[str, Any] = {
    "resize": "bicubic",
    "antialias": False,
    "align_corners": False,
    "fit": "squash",
    "clamp": False,
}
NOISE = ("num_train_timesteps", "beta_start", "beta_end", "beta_schedule", "trained_betas")
NOISE += ("prediction_type", "rescale_betas_zero_snr")


@dataclass(frozen=True, eq=False)
class Parts:
    """`configs` and `weights` by network: `unet`, `vae`, `text_encoder`, `image_encoder`; not all have both towers.

    `tokenizer` is None where there is no text encoder. `facts` may hold name, revision, kind, size, guidance, steps,
    sampler, resize. `scheduler` is None
    where the files do not say what the network predicts.
    """

    place: Path
    configs: Mapping[str, dict[str, Any]]
    weights: Mapping[str, Lazy]
    tokenizer: CLIPTokenizer | None
    scheduler: dict[str, Any] | None
    facts: dict[str, Any] = field(default_factory=dict)


def blank(name: str, config: Mapping[str, Any], tokenizer: CLIPTokenizer | None) -> nn.Module:
    """The network of a configuration, on torch's meta device: shapes and no memory."""
    with torch.device("meta"):
        try:
            if name == "unet":
                return UNet2DConditionModel.from_config(dict(config))  # type: ignore[return-value]
            if name == "controlnet":
                return ControlNetModel.from_config(dict(config))  # type: ignore[return-value]
            if name == "vae":
                return AutoencoderKL.from_config(dict(config))  # type: ignore[return-value]
            if name == "image_encoder":
                return CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(_vision(config)))
            assert tokenizer is not None
            # Old configurations say 2, and CLIP then pools at the largest token: an added one.
            ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
            return CLIPTextModel(CLIPTextConfig.from_dict(dict(config) | ends))
        except (TypeError, ValueError, KeyError) as fault:
            raise Wrong(f"the configuration of {name} makes no network: {fault}") from None


def _vision(config: Mapping[str, Any]) -> dict[str, Any]:
    """Of an image tower alone, or of a whole CLIP, as the folders of StableDiffusionImageEmbedPipeline hold."""
    width = {"projection_dim": config["projection_dim"]} if "projection_dim" in config else {}
    return {**config.get("vision_config", config), **width}


def noise(config: Mapping[str, Any]) -> dict[str, Any]:
    """Any diffusers scheduler's configuration to that of `SCHEDULER` with the same noise."""
    return SCHEDULER | {key: config[key] for key in NOISE if key in config}


def config_of(network) -> dict[str, Any]:
    """A network's configuration as JSON holds it."""
    holder = network.config if hasattr(network.config, "to_json_string") else network
    return json.loads(holder.to_json_string())


def spelling(tokenizer: CLIPTokenizer) -> dict[str, Any]:
    """Vocabulary and merges of a tokenizer, and the words that were added to it, in their order."""
    told = json.loads(tokenizer.backend_tokenizer.to_str())
    model, added = told["model"], [t["content"] for t in told["added_tokens"] if not t["special"]]
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    return {"vocab": model["vocab"], "merges": merges, "pad": tokenizer.pad_token} | ({"added": added} if added else {})
