"""The recipe `prior`: a small transformer that turns a caption into the embedding that its picture has.

After unCLIP (Ramesh et al. 2022, section 2.2): the embedding, less its mean and over its deviation, is noised, and the
network says what it was. What is kept is a folder that `imagine --prior` takes; the family itself stays as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import torch
from diffusers import PriorTransformer, UnCLIPScheduler
from torch import Tensor, nn
from transformers import CLIPVisionModelWithProjection

from remembrandt.conditions import image, prior
from remembrandt.conditions.condition import Condition
from remembrandt.family import folder
from remembrandt.family.family import Family
from remembrandt.family.parts import PUBLISHED
from remembrandt.settings import Wrong
from remembrandt.training.corpus import Picture
from remembrandt.training.encoded import Row, Rows
from remembrandt.training.examples import chance, uniform
from remembrandt.training.options import option
from remembrandt.training.recipe import Common, Loss, Stage, order

HEAD = 32  # numbers of an attention's head
RANGE = 6.0  # deviations beyond which no embedding is thought to lie


@dataclass(frozen=True)
class Prior(Common):
    """From text to what a picture of it is seen as: a diffusion prior for `imagine`."""

    captions: ClassVar[bool] = True
    layers: int = option(6, "blocks of the transformer", low=1, high=64)
    heads: int = option(8, f"attention heads, of {HEAD} numbers each", low=1, high=128)
    guidance: float = option(2.0, "what it is sampled with", low=0, high=100)
    preview_every: int = option(0, "it paints none", low=0, high=0)

    def begun(self, family: Family) -> Family:
        if family.image_encoder is None:
            raise Wrong(f"{family.name} has no image encoder, whose embeddings a prior gives: pocket has one")
        prior.heard(family, [""])  # `Wrong` if it has no text tower
        return family

    def seen_at(self, family: Family) -> int:
        return family.record.size

    def adds(self, family: Family, some: Sequence[Picture]) -> Mapping[str, Tensor]:
        """The pictures' embeddings (n, D)."""
        how = {**PUBLISHED, **family.record.resize}
        return {"embedding": image.embedded(family, image.preprocessed([p.wide for p in some], how, family.eye))}

    def given(
        self, family: Family, rows: Sequence[Row], chances: Sequence[torch.Generator], dropped: Sequence[bool]
    ) -> Condition:
        raise NotImplementedError("a prior steers no UNet")

    def stages(self, family: Family, rows: Rows, seed: int) -> list[Stage]:
        """All of the prior, which begins the same whenever it begins; nothing of the family."""
        network = fresh(family.image_encoder, self.layers, self.heads)
        if len(rows):
            measured(network, rows)
        moved = {name: p for name, p in network.named_parameters() if not name.startswith("clip_")}
        return [Stage("prior", moved, self.plan(), self.batch, self._loss(family, network, rows, seed))]

    def _loss(self, family: Family, network: PriorTransformer, rows: Rows, seed: int) -> Loss:
        bars = scheduler().alphas_cumprod

        def loss(step: int, part: Sequence[int]) -> Tensor:
            count, offset = len(rows), uniform(chance(seed, step))
            chances = [chance(seed, step, index) for index in part]
            places = [divmod(step * self.batch + index, count) for index in part]
            some = [rows[int(order(seed, epoch, count)[place])] for epoch, place in places]
            x0 = torch.stack([row["embedding"].float() for row in some])
            x0 = (x0 - network.clip_mean.cpu()) / network.clip_std.cpu()
            eps = torch.stack([torch.randn(x0.shape[1], generator=drawn) for drawn in chances])
            times = torch.tensor([int((offset + index / self.batch) % 1.0 * len(bars)) for index in part])
            bar = bars[times][:, None]
            noisy = (bar.sqrt() * x0 + (1 - bar).sqrt() * eps).to(family.device)
            blind = [uniform(drawn) < self.dropout for drawn in chances]
            said = prior.heard(family, ["" if no else r["caption"] for r, no in zip(some, blind, strict=True)])
            found = network(
                noisy, times.to(family.device), said.embedding, said.states, said.mask
            ).predicted_image_embedding  # fmt: skip
            return (found - x0.to(family.device)).square().mean()

        return loss

    def write(self, family: Family, place: Path) -> None:
        """`prior/`, `scheduler/` and the record: the space it is for, how long an embedding is there."""
        network = fresh(family.image_encoder, self.layers, self.heads)
        about = {"name": family.name, "task": "prior", "space": prior.space(family), "guidance": self.guidance}
        norm = (network.clip_std.square().sum() + network.clip_mean.square().sum()).sqrt()  # root of the mean square
        with folder.new(place) as part:
            network.half().save_pretrained(part / "prior")
            network.float()
            scheduler().save_pretrained(part / "scheduler")
            folder.write_json(part / folder.RECORD, {**about, "norm": float(norm)})


@lru_cache(maxsize=1)
def fresh(tower: CLIPVisionModelWithProjection, layers: int, heads: int) -> PriorTransformer:
    """The network of a training for that space, one and the same for all that ask in it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = PriorTransformer(heads, HEAD, layers, embedding_dim=tower.config.projection_dim)
    nn.Module.to(made, tower.device)
    return made.requires_grad_(False).train()


@torch.no_grad()
def measured(network: PriorTransformer, rows: Rows) -> None:
    """Mean and deviation of the pictures' embeddings: what the network works in is neither long nor short."""
    every = torch.stack([rows[k]["embedding"].double() for k in range(len(rows))])
    network.clip_mean.copy_(every.mean(0)[None])
    network.clip_std.copy_(every.std(0, unbiased=False).clamp(min=1e-6)[None])


def scheduler() -> UnCLIPScheduler:
    """The noise that it is trained and sampled with."""
    return UnCLIPScheduler(clip_sample_range=RANGE, prediction_type="sample")
