"""The pocket's networks: real diffusers and transformers classes, small. Sizes stand here and nowhere else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from transformers import (
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
)

SIZE = 128  # pixels a side of a picture
EYE = 96  # pixels a side of what the image tower sees
WIDTH = 192  # of the text tower, hence of the painter's cross-attention
SHARED = 128  # of the space that pictures and captions share

#: What makes the image encoder see what it was trained to see (details 28).
PREPROCESSING = {"resize": "bicubic", "antialias": False, "align_corners": False, "fit": "squash", "clamp": False}


def tokenizer(words: Iterable[str], folder: Path) -> CLIPTokenizer:
    """A byte-level CLIP tokenizer in which each of `words` is one token and any other text still is some tokens."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trained = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    trained.pre_tokenizer = pre_tokenizers.Whitespace()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=20_000, min_frequency=1, end_of_word_suffix="</w>", initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator(sorted(set(words)), trainer)
    merges = [tuple(pair) for pair in json.loads(trained.to_str())["model"]["merges"]]
    entries = alphabet + [c + "</w>" for c in alphabet] + ["".join(pair) for pair in merges]
    entries = [*list(dict.fromkeys(entries)), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps({entry: i for i, entry in enumerate(entries)}))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    made = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=77)
    made.save_pretrained(folder)
    return made


def text_tower(tokens: CLIPTokenizer) -> CLIPTextModelWithProjection:
    tower = CLIPTextModelWithProjection(
        CLIPTextConfig(
            vocab_size=len(tokens),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=4,
            num_attention_heads=4,
            projection_dim=SHARED,
            **{end: getattr(tokens, end) for end in ("bos_token_id", "eos_token_id", "pad_token_id")},
        )
    )
    # CLIP's 0.02 is drowned by the layers above it: states then hardly differ between captions.
    torch.nn.init.normal_(tower.text_model.embeddings.token_embedding.weight, std=0.5)
    return tower


def image_tower() -> CLIPVisionModelWithProjection:
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=4,
            num_attention_heads=4,
            image_size=EYE,
            patch_size=12,
            projection_dim=SHARED,
        )
    )


def image_processor() -> CLIPImageProcessor:
    return CLIPImageProcessor(
        size={"height": EYE, "width": EYE}, crop_size={"height": EYE, "width": EYE}, do_center_crop=False
    )


def autoencoder() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,  # type: ignore[arg-type]
        up_block_types=("UpDecoderBlock2D",) * 4,  # type: ignore[arg-type]
        block_out_channels=(16, 32, 64, 128),  # type: ignore[arg-type]
        layers_per_block=1,
        norm_num_groups=8,
        mid_block_add_attention=False,
        latent_channels=4,
        sample_size=SIZE,
    )


def painter() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=SIZE // 8,
        block_out_channels=(64, 128, 160),
        layers_per_block=1,
        # No attention on the way down at full latent size: a third of the time for what the way up does as well.
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=WIDTH,
        attention_head_dim=(2, 4, 5),  # type: ignore[arg-type]  # diffusers means the number of heads
        norm_num_groups=16,
    )


def scheduler() -> DDIMScheduler:
    """SD 1's betas, complete, so that the folder paints in diffusers without arguments (details 27)."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        timestep_spacing="leading",
    )
