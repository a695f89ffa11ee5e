"""A tiny family that reads and sees: what `variations` begins with."""

from dataclasses import replace

import torch
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from remembrandt.family.family import Family
from tests.conftest import represent


def see(tiny: Family) -> Family:
    """`tiny` with an image tower whose embeddings are narrower than its texts. Copy it before you change it."""
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        tower = CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes, image_size=32, patch_size=8, projection_dim=24))
        torch.nn.init.normal_(tower.visual_projection.weight, std=1.0)
    represent(tower)
    return replace(tiny, image_encoder=tower, record=replace(tiny.record, steps=2))
