"""One tiny family of real classes for the whole session, whose conditions bite."""

from __future__ import annotations

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)
from transformers.utils import logging

from remembrandt.diffusion import schedule
from remembrandt.family.family import Family, Record
from remembrandt.family.folder import VARIATIONS
from remembrandt.family.load import save
from remembrandt.family.parts import PUBLISHED, SCHEDULER

WORDS = (
    "a an the of in on and at with near beside behind photo painting picture watercolour ink"
    " dog cat bird car house red green blue yellow small big beach forest snow city room night"
)


@pytest.fixture(scope="session", autouse=True)
def calm():
    logging.set_verbosity_error()
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def tiny() -> Family:
    """16 x 16 latents, cross-attention 32 wide, fp32 on the CPU. Copy it before you change it."""
    return tiny_family()


@pytest.fixture(scope="session")
def tiny_folder(tiny, tmp_path_factory) -> Path:
    """`tiny` on disk. Nobody writes here."""
    return save(tiny, tmp_path_factory.mktemp("families") / "tiny")


@pytest.fixture(scope="session")
def pictured(tiny) -> Family:
    """`tiny` with an image encoder of 32 x 32 pixels in place of its text encoder: kind `variations`."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
        tower = CLIPVisionModelWithProjection(CLIPVisionConfig(image_size=32, patch_size=8, projection_dim=32, **sizes))
        for name, parameter in tower.named_parameters():
            if name.endswith(("patch_embedding.weight", "v_proj.weight", "out_proj.weight")):  # else all look alike
                torch.nn.init.normal_(parameter, std=2 / parameter[0].numel() ** 0.5)
        represent(tower)
    none: Any = None
    record = replace(tiny.record, guidance=3.0, resize=PUBLISHED)
    return replace(
        tiny, name="pictured", kind=VARIATIONS, tokenizer=none, text_encoder=none, image_encoder=tower, record=record
    )


@pytest.fixture(scope="session")
def pictured_folder(pictured, tmp_path_factory) -> Path:
    """`pictured` on disk. Nobody writes here."""
    return save(pictured, tmp_path_factory.mktemp("families") / "pictured")


def tiny_family(seed: int = 0, prediction: str = "epsilon") -> Family:
    tokens = tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        networks = text_encoder(tokens), autoencoder(), painter()
        for network in networks:
            represent(network)
    scheduler = SCHEDULER | {"prediction_type": prediction}
    return Family(
        name="tiny",
        revision="1",
        folder=None,
        tokenizer=tokens,
        text_encoder=networks[0],
        vae=networks[1],
        unet=networks[2],
        image_encoder=None,
        schedule=schedule.from_config(scheduler),
        scheduler=scheduler,
        record=Record(size=128, guidance=4.0, steps=6, sampler="ddim"),
        device=torch.device("cpu"),
        dtype=torch.float32,
    )


def tokenizer() -> CLIPTokenizer:
    """Byte-level, so that any text is some tokens; each of `WORDS` is one."""
    alphabet = [chr(n) for n in (*range(33, 127), *range(161, 173), *range(174, 256))]
    alphabet += [chr(256 + n) for n in range(256 - len(alphabet))]
    merges: dict[tuple[str, str], None] = {}
    for word in WORDS.split():
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges[parts[0], parts[1]] = None
            parts = [parts[0] + parts[1], *parts[2:]]
    entries = [*alphabet, *(c + "</w>" for c in alphabet), *(a + b for a, b in merges)]
    entries = [*dict.fromkeys(entries), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {entry: number for number, entry in enumerate(entries)}
    return CLIPTokenizer(vocabulary, list(merges), model_max_length=77)


def text_encoder(tokens: CLIPTokenizer, **settings: Any) -> CLIPTextModel:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    ends = {"bos_token_id": tokens.bos_token_id, "eos_token_id": tokens.eos_token_id}
    encoder = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokens),
            num_attention_heads=2,
            pad_token_id=tokens.pad_token_id,
            **sizes | ends | settings,
        )
    )
    torch.nn.init.normal_(encoder.get_input_embeddings().weight, std=0.2)  # words, not places
    return encoder


def autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=1,
        norm_num_groups=4,
        latent_channels=4,
        sample_size=128,
    )


def painter(**settings: Any) -> UNet2DConditionModel:
    """Cross-attention is drawn anew, sharp and strong: else two prompts paint the same picture."""
    sizes = {"sample_size": 16, "block_out_channels": (32, 64), "layers_per_block": 1}
    unet = UNet2DConditionModel(
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
        **sizes | settings,
    )
    strengths = {"to_q": 3.0, "to_k": 3.0, "to_v": 1.0, "to_out.0": 0.5}
    for name, parameter in unet.named_parameters():
        _, of_attention, layer = name.removesuffix(".weight").partition("attn2.")
        if of_attention and layer in strengths:
            torch.nn.init.normal_(parameter, std=strengths[layer] / parameter.shape[1] ** 0.5)
    return unet


def biting(unet: UNet2DConditionModel, seed: int = 0) -> ControlNetModel:
    """A control of a UNet whose zero convolutions are drawn anew: else every hint paints the same picture."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(8, 8, 8, 8))
        for layer in (network.controlnet_mid_block, *network.controlnet_down_blocks):
            torch.nn.init.normal_(layer.weight, std=0.5 / layer.weight[0].numel() ** 0.5)
        for layer in network.controlnet_cond_embedding.modules():  # a hint weighs as much as latents do
            if isinstance(layer, torch.nn.Conv2d):
                torch.nn.init.normal_(layer.weight, std=3.0 / layer.weight[0].numel() ** 0.5)
    represent(network)
    return network


def represent(network: torch.nn.Module) -> None:
    """Frozen, and rounded to what half precision holds: on disk it is the same."""
    network.eval().requires_grad_(False)
    for tensor in network.state_dict().values():
        if tensor.is_floating_point():
            tensor.copy_(tensor.half())
