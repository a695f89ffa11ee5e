"""The method `oft`: a frozen UNet's attentions are rotated, the identifier gets its own row."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import Parameter

from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import KINDS, Fit, hooked
from remembrandt.family.family import Family
from remembrandt.training.loop import Plan
from remembrandt.training.method import Lesson, Stage, denoising, encoder, freeze
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
    dropout: float = option(
        0.1, "share of examples whose prompt is dropped, for guidance", low=0, high=1
    )
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
        freeze(family)
        free = {
            n: Parameter(t.to(family.device)) for n, t in oft.start(family.unet, self.block).items()
        }
        rows = {word: Parameter(t.float().to(family.device)) for word, t in lesson.words.items()}
        tokens = encoder(family, lesson, lambda: rows)
        denoise = denoising(family, lesson, tokens, self.batch, self.dropout)
        fits: dict[str, list[Fit]] = {layer: [] for layer in free}

        def bounded() -> dict[str, dict[str, Tensor]]:
            return {layer: {oft.NAME: oft.bound(p, self.angle)} for layer, p in free.items()}

        def loss(step: int) -> Tensor:
            for layer, rotation in oft.prepare([(bounded(), 1.0)]).items():
                fits[layer][:] = [Fit(KINDS["oft"], rotation, None)]
            return denoise(step)

        def rest() -> None:
            for worn in fits.values():
                worn.clear()

        def saved() -> Adapter:
            tensors = {
                n: {k: t.detach().cpu() for k, t in named.items()} for n, named in bounded().items()
            }
            trained = next(iter(rows.values())).detach().cpu().clone() if rows else None
            return Adapter("oft", tensors, {"block": self.block, "angle": self.angle}, trained)

        moving = free | (
            {f"token.{word}": p for word, p in rows.items()} if self.token_rate else {}
        )
        return [
            Stage(
                "teaching",
                moving,
                Plan(
                    self.steps,
                    self.learning_rate,
                    warmup=self.warmup,
                    clip=self.clip,
                    checkpoint_every=self.checkpoint_every,
                ),
                loss,
                saved,
                scale=lambda name: (
                    self.token_rate / self.learning_rate if name.startswith("token.") else 1.0
                ),
                around=lambda: hooked(family.unet, fits),
                rest=rest,
            )
        ]
