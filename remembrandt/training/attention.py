"""Attention as two matrix products while the CPU trains small latents.

torch's fused attention is quick on the way forward and slow on the way back: a training step of the pocket's painter
takes 0.59 s with it and 0.33 s without (32 rows, bf16, two cores). It keeps the scores, so large latents stay fused.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

LARGEST = 32  # latents a side


@contextmanager
def plain_attention(unet: UNet2DConditionModel) -> Iterator[None]:
    """Inside, `unet` attends plainly where that is the faster way to train it."""
    fused = unet.attn_processors
    sparing = unet.is_gradient_checkpointing  # scores are what it saves; and it runs again outside of this block
    if unet.device.type != "cpu" or unet.config["sample_size"] > LARGEST or sparing:
        yield
        return
    unet.set_attn_processor(AttnProcessor())
    try:
        yield
    finally:
        unet.set_attn_processor(fused)
