"""The method `lora`: a frozen UNet's attentions get a low-rank addition, the identifier its own row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import Parameter

from remembrandt.adapters import lora
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.lora import DOWN, UP
from remembrandt.family.family import Family
from remembrandt.training.adapting import Parts, stage
from remembrandt.training.method import Lesson, Stage
from remembrandt.training.options import ACCUMULATION, CHECKPOINTING, option


@dataclass(frozen=True)
class Lora:
    """Low-rank adaptation of every attention: what other tools can load."""

    steps: int = option(300, "steps of the lesson", low=1, high=1_000_000)
    learning_rate: float = option(2e-3, "of the low-rank pairs", low=1e-9, high=1)
    token_rate: float = option(5e-3, "learning rate of the identifier's embedding; 0 keeps it", low=0, high=1)
    batch: int = option(8, "examples a step", low=1, high=4096)
    rank: int = option(16, "of what is added to a weight; larger holds more", low=1, high=1280)
    alpha: float = option(16.0, "what is added is scaled by alpha / rank", low=1e-3, high=10_000)
    feed_forward: bool = option(False, "teach the layers after each attention too: holds more, bleeds more")
    vectors: int = option(1, "embedding rows of the identifier", low=1, high=16)
    warmup: int = option(10, "steps over which the learning rate rises", low=0)
    dropout: float = option(0.0, "share of examples whose prompt is dropped, for wear without it", low=0, high=1)
    clip: float = option(1.0, "largest norm of the gradient", low=0)
    checkpoint_every: int = option(100, "steps between checkpoints", low=0)
    gradient_accumulation: int = ACCUMULATION()
    gradient_checkpointing: bool = CHECKPOINTING()

    @property
    def added(self) -> bool:
        return True

    @property
    def memories(self) -> tuple[str, ...]:
        return ("gated", "replay")

    def stages(self, family: Family, lesson: Lesson) -> list[Stage]:
        """One stage: the pairs, and the identifier's rows at their own rate."""
        linears = lora.layers(family.unet, feed_forward=self.feed_forward)
        free = lora.start(linears, self.rank, lesson.seed)
        flat = {f"{layer}.{name}": t for layer, pair in free.items() for name, t in pair.items()}

        def worn(moving: Mapping[str, Parameter]) -> Parts:
            scale = self.alpha / self.rank
            return {n: (moving[f"{n}.{DOWN}"], moving[f"{n}.{UP}"] * scale) for n in free}

        def saved(moving: Mapping[str, Parameter], rows: Tensor | None) -> Adapter:
            pairs = {n: [t.detach().cpu().clone() for t in pair] for n, pair in worn(moving).items()}
            tensors = {n: {DOWN: down, UP: up} for n, (down, up) in pairs.items()}
            return Adapter("lora", tensors, {"rank": self.rank, "alpha": self.alpha}, rows)

        return [stage(self, family, lesson, "lora", flat, worn, saved)]
