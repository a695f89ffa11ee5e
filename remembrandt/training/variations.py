"""The recipe `variations`: a picture's own embedding steers the UNet, in one token where the prompt's were.

After Justin Pinkney's Stable Diffusion Image Variations: cross-attention first, until it has learned to read the new
token, then everything. With one token a softmax is 1, so of cross-attention only `to_v` and `to_out` learn; `to_q` and
`to_k` have no gradient, and are worn off by weight decay alone.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn

from remembrandt.conditions import image
from remembrandt.conditions.condition import Condition
from remembrandt.family.family import VARIATIONS, Family
from remembrandt.family.parts import PUBLISHED
from remembrandt.settings import Wrong
from remembrandt.training.corpus import Picture
from remembrandt.training.encoded import Row, Rows
from remembrandt.training.examples import chance
from remembrandt.training.options import option
from remembrandt.training.recipe import Common, Stage, denoising

ATTENTION = re.compile(r"\.attn2\.to_")  # of cross-attention all but its norm, as published
GUIDANCE = 3.0  # what variations are painted with


@dataclass(frozen=True)
class Variations(Common):
    """Pictures like a picture: cross-attention learns to read its embedding, then the whole UNet."""

    attention_steps: int = option(1000, "steps of the first stage; 0: none", low=0, high=10_000_000)
    attention_rate: float = option(1e-4, "learning rate of the first stage", low=1e-9, high=1)
    attention_warmup: int = option(200, "steps over which it rises", low=0)
    attention_batch: int = option(32, "pictures a step of the first stage", low=1, high=100_000)
    view: int = option(0, "pixels at which the image encoder's resize begins; 0: the family's", low=0, high=2048)

    def begun(self, family: Family) -> Family:
        """The family as one of variations: its UNet reads tokens as wide as its image encoder's embeddings."""
        if family.image_encoder is None:
            raise Wrong(f"{family.name} has no image encoder, which variations need: pocket has one")
        if family.unet.config["in_channels"] != family.channels:
            raise Wrong(f"{family.name} takes more than latents, as for inpainting: give a text-to-image model")
        if family.kind == VARIATIONS:
            return family
        place = family.folder / image.PROJECTION if family.folder else None
        widened(family.unet, family.image_encoder.config.projection_dim, place)
        how = {**PUBLISHED, **family.record.resize}
        return replace(family, kind=VARIATIONS, record=replace(family.record, guidance=GUIDANCE, resize=how))

    def seen_at(self, family: Family) -> int:
        return self.view or family.record.size

    def adds(self, family: Family, some: Sequence[Picture]) -> Mapping[str, Tensor]:
        assert family.image_encoder is not None
        side: int = family.image_encoder.config.image_size  # type: ignore[assignment]
        seen = image.preprocessed([p.wide for p in some], family.record.resize, side)
        return {"embedding": image.embedded(family, seen)}

    def given(
        self, family: Family, rows: Sequence[Row], chances: Sequence[torch.Generator], dropped: Sequence[bool]
    ) -> Condition:
        tokens = torch.stack([row["embedding"] for row in rows])
        tokens[torch.tensor(dropped)] = 0
        return Condition(tokens[:, None].to(family.device))

    def stages(self, family: Family, rows: Rows, seed: int) -> list[Stage]:
        """Cross-attention, and then the whole UNet."""
        every = dict(family.unet.named_parameters())
        first = self.plan(
            steps=self.attention_steps, learning_rate=self.attention_rate, warmup=self.attention_warmup
        )
        attention = {name: p for name, p in every.items() if ATTENTION.search(name)}
        made = [("attention", attention, first, self.attention_batch), ("whole", every, self.plan(), self.batch)]
        return [
            Stage(name, moved, plan, batch, denoising(self, family, rows, seed + k, batch))
            for k, (name, moved, plan, batch) in enumerate(made)
            if plan.steps
        ]


@torch.no_grad()
def widened(unet: UNet2DConditionModel, width: int, projection: Path | None) -> None:
    """Let cross-attention read tokens `width` wide.

    Where that is another width than its texts', it begins by reading a picture's embedding as the shortest text state
    that the family's own projection would bring there; by chance, if it has none.
    """
    if unet.config["cross_attention_dim"] == width:
        return
    lift = None
    if projection and projection.is_file():
        lift = torch.linalg.pinv(load_file(projection)["weight"].float())  # (text, width)
    for name, layer in unet.named_modules():
        if re.search(r"\.attn2\.to_[kv]$", name) and isinstance(layer, nn.Linear):
            if lift is None:  # always the same, as all that is random here
                new = torch.randn(layer.out_features, width, generator=chance("widened", name)) / width**0.5
            else:
                new = layer.weight.float().cpu() @ lift
            layer.in_features, layer.weight = width, nn.Parameter(new.to(layer.weight))
    unet.register_to_config(cross_attention_dim=width)
