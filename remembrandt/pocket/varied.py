"""The embedded variations model: the recipe `variations` on the world, from the painter that is shipped.

It is kept as what its UNet differs by from the painter's, and made anew when the painter is another. The image encoder
is shown renders of 256 pixels, so that there is a resize to get wrong.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache, partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from remembrandt.conditions.image import preprocessed
from remembrandt.family.family import VARIATIONS, Family
from remembrandt.pocket import networks, paint, pictures
from remembrandt.pocket.stage import Sizes, Work, ship, standing, train
from remembrandt.training.variations import GUIDANCE, Variations

VIEW = 256  # pixels a side of the renders that the image encoder is shown


class Scenes:
    """The world's scenes as the recipe reads them: latents, and embeddings of larger renders, made once a shard."""

    def __init__(self, family: Family, out: Path, folder: Path, shards: int) -> None:
        self._shards = shards
        self._latents = lru_cache(maxsize=shards)(partial(paint.latents, family.vae, folder))
        self._seen = lru_cache(maxsize=shards)(partial(seen, out, folder))

    def __len__(self) -> int:
        return self._shards * pictures.SHARD

    def __getitem__(self, number: int) -> Mapping[str, Tensor]:
        index, place = divmod(number, pictures.SHARD)
        mean, std = torch.from_numpy(np.array(self._latents(index)[place])).chunk(2)
        return {"mean": mean, "std": std, "embedding": torch.from_numpy(np.array(self._seen(index)[place]))}


def seen(out: Path, folder: Path, index: int) -> np.ndarray:
    """Embeddings of shard `index` by the image encoder of the family in `out`, fp32 (SHARD, D), made once."""
    return pictures.once(folder / f"embeddings-{index:04d}.npy", lambda: _embedded(out, index))


@torch.no_grad()
def _embedded(out: Path, index: int) -> np.ndarray:
    from transformers import CLIPVisionModelWithProjection

    tower, made = CLIPVisionModelWithProjection.from_pretrained(out / "image_encoder").float().eval(), []
    first = pictures.SHARD * index
    for start in range(first, first + pictures.SHARD, 50):
        numbers = range(start, min(start + 50, first + pictures.SHARD))
        shown = np.stack([pictures.picture(n, VIEW) for n in numbers])
        made.append(tower(preprocessed(shown, networks.PREPROCESSING, networks.EYE)).image_embeds.numpy())
    return np.concatenate(made)


def recipe(sizes: Sizes) -> Variations:
    """What it was trained with."""
    return Variations(
        attention_steps=sizes.attention, attention_rate=6e-4, attention_warmup=200, attention_batch=sizes.batch,
        steps=sizes.variations, learning_rate=3e-4, warmup=200, batch=sizes.batch,
        ema=0.999, gamma=5.0, view=VIEW,
    )  # fmt: skip


def make(work: Work) -> None:
    """Both stages from the family in `out`, into the folder beside it; nothing where that is of this family already."""
    found = standing(work, "variations")
    if found is None:
        return
    (family, begun), asked = found, recipe(work.sizes)
    taught = asked.begun(family)  # the family's own UNet, now another; what it was is still in its files
    pictures.render(partial(seen, work.out), work / "pictures", work.sizes.shards)
    rows = Scenes(family, work.out, work / "pictures", work.sizes.shards)
    for stage in asked.stages(taught, rows, 31):
        kept = work / begun / f"{stage.name}.safetensors"
        if not kept.is_file():
            for parameter in stage.parameters.values():
                parameter.requires_grad_(True)
            train(
                work, f"{begun}/{stage.name}", {"unet": taught.unet},
                lambda step, stage=stage: stage.loss(step, range(stage.batch)), stage.plan,
            )  # fmt: skip
            nn.Module.to(taught.unet.requires_grad_(False), work.device)
            save_file({n: p.detach().cpu().contiguous() for n, p in stage.parameters.items()}, kept)
        with torch.no_grad():
            for name, value in load_file(kept).items():
                stage.parameters[name].copy_(value)
    ship(work, begun, family, taught.unet, "variations", kind=VARIATIONS, facts={"guidance": GUIDANCE})
