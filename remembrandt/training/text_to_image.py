"""The method `text-to-image`: all weights of the UNet move towards captioned pictures."""

from __future__ import annotations

from dataclasses import dataclass

from remembrandt.family.family import Family
from remembrandt.training.dreambooth import DreamBooth
from remembrandt.training.method import Lesson, Stage
from remembrandt.training.options import ACCUMULATION, CHECKPOINTING, option


@dataclass(frozen=True)
class TextToImage:
    """All UNet weights, each picture under its own caption as it stands: plain tuning."""

    steps: int = option(400, "steps of the lesson", low=1, high=1_000_000)
    learning_rate: float = option(5e-5, "of all weights of the UNet", low=1e-9, high=1)
    batch: int = option(8, "examples a step, half of them priors where there are any", low=1, high=4096)
    num_class_images: int = option(0, "pictures of a category that hold it in place; 0: none", low=0, high=100_000)
    prior_weight: float = option(1.0, "weight of the priors' loss beside that of the photos", low=0, high=100)
    warmup: int = option(10, "steps over which the learning rate rises", low=0)
    weight_decay: float = option(0.01, "of AdamW", low=0, high=1)
    dropout: float = option(0.1, "share of pictures whose caption is dropped, for guidance", low=0, high=1)
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
        """One stage: the UNet, as `dreambooth` moves it; the captions come with the examples."""
        return DreamBooth(**vars(self)).stages(family, lesson)
