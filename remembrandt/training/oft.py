"""The method `oft`: a frozen UNet's attentions are rotated, the identifier gets its own row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn import Parameter

from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.family.family import Family
from remembrandt.training.adapting import Parts, stage
from remembrandt.training.method import Lesson, Stage
from remembrandt.training.options import ACCUMULATION, CHECKPOINTING, option


@dataclass(frozen=True)
class Oft:
    """Orthogonal fine-tuning of every attention: the default of gated models."""

    steps: int = option(300, "steps of the lesson", low=1, high=1_000_000)
    learning_rate: float = option(2e-3, "of the rotations", low=1e-9, high=1)
    token_rate: float = option(
        5e-3, "learning rate of the identifier's embedding; 0 keeps it", low=0, high=1
    )
    batch: int = option(8, "examples a step", low=1, high=4096)
    block: int = option(
        32, "size of the blocks that are rotated; larger holds more", low=2, high=1280
    )
    angle: float = option(60.0, "degrees that no plane is turned beyond", low=0.1, high=179)
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
        return ("gated",)

    def stages(self, family: Family, lesson: Lesson) -> list[Stage]:
        """One stage: the rotations, and the identifier's rows at their own rate."""
        free = oft.start(family.unet, self.block)

        def bounded(moving: Mapping[str, Parameter]) -> dict[str, dict[str, Tensor]]:
            return {layer: {oft.NAME: oft.bound(moving[layer], self.angle)} for layer in free}

        def worn(moving: Mapping[str, Parameter]) -> Parts:
            return {layer: (turn,) for layer, turn in oft.prepare([(bounded(moving), 1.0)]).items()}

        def saved(moving: Mapping[str, Parameter], rows: Tensor | None) -> Adapter:
            tensors = {n: {k: t.detach().cpu() for k, t in named.items()} for n, named in bounded(moving).items()}
            return Adapter("oft", tensors, {"block": self.block, "angle": self.angle}, rows)

        return [stage(self, family, lesson, "oft", free, worn, saved)]
