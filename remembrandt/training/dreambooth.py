"""The method `dreambooth`: all weights of the UNet move, priors beside the photos hold in place what was there.

Ruiz et al. 2022 (arXiv 2208.12242), eq. 2. The priors are class images and, in a model that replays, photos of its
past.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from remembrandt.family.family import Family
from remembrandt.training.loop import Plan
from remembrandt.training.method import Lesson, Stage, denoising, encoder, freeze
from remembrandt.training.options import ACCUMULATION, CHECKPOINTING, option


@dataclass(frozen=True)
class DreamBooth:
    """All UNet weights, with prior preservation: the default of replay models."""

    steps: int = option(400, "steps of the lesson", low=1, high=1_000_000)
    learning_rate: float = option(5e-5, "of all weights of the UNet", low=1e-9, high=1)
    text_rate: float = option(0.0, "learning rate of the text encoder; 0 keeps it", low=0, high=1)
    batch: int = option(8, "examples a step, half photos and half priors", low=1, high=4096)
    num_class_images: int = option(64, "pictures of a category that hold it in place; 0: none", low=0, high=100_000)
    prior_weight: float = option(1.0, "weight of the priors' loss beside that of the photos", low=0, high=100)
    warmup: int = option(10, "steps over which the learning rate rises", low=0)
    weight_decay: float = option(0.01, "of AdamW", low=0, high=1)
    dropout: float = option(0.1, "share of examples whose prompt is dropped, for guidance", low=0, high=1)
    clip: float = option(1.0, "largest norm of the gradient", low=0)
    checkpoint_every: int = option(200, "steps between checkpoints", low=0)
    gradient_accumulation: int = ACCUMULATION()
    gradient_checkpointing: bool = CHECKPOINTING()

    @property
    def added(self) -> bool:
        return False

    @property
    def memories(self) -> tuple[str, ...]:
        return ("replay",)

    def stages(self, family: Family, lesson: Lesson) -> list[Stage]:
        """One stage: the UNet, and the text encoder if it has a rate, in fp32 however the family runs."""
        freeze(family)
        parts = ("unet", "text_encoder") if self.text_rate else ("unet",)
        tokens = encoder(family, lesson, lambda: lesson.words, moves=bool(self.text_rate))
        plan = Plan(
            self.steps,
            self.learning_rate,
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            clip=self.clip,
            checkpoint_every=self.checkpoint_every,
        )
        return [
            Stage(
                "teaching",
                {_named(part, n): p for part in parts for n, p in getattr(family, part).named_parameters()},
                plan,
                denoising(family, lesson, tokens, self.batch, self.dropout, self.prior_weight),
                lambda: None,
                scale=lambda name: self.text_rate / self.learning_rate if name.startswith(TEXT) else 1.0,
                around=lambda: moving(family, parts),
            )
        ]


TEXT = "text_encoder."


def _named(part: str, name: str) -> str:
    return name if part == "unet" else f"{part}.{name}"


@contextmanager
def moving(family: Family, parts: Sequence[str] = ("unet",)) -> Iterator[None]:
    """The parts with gradients, in fp32, as they remain: what was learned is not rounded."""
    for part in parts:
        exact(family, part)
        getattr(family, part).requires_grad_(True)
    try:
        yield
    finally:
        for part in parts:
            getattr(family, part).requires_grad_(False)


def exact(family: Family, part: str = "unet") -> None:
    """A part in fp32: one that ran in half precision gets the digits back that its files have and it has not."""
    network = getattr(family, part)
    if network.dtype == torch.float32:
        return
    network.float()
    stored = (family.stored or {}).get(part, {})
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name in stored:
                parameter.copy_(stored[name]())
