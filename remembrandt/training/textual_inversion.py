"""The method `textual-inversion`: the identifier's new rows move and nothing else.

Gal et al. 2022 (arXiv 2208.01618), eq. 2. Only the new rows are parameters, so that no other word can move. Left
alone they grow to many times the length of a word and drown the rest of the prompt: here their length is bounded.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import Parameter

from remembrandt.adapters.adapter import Adapter
from remembrandt.family.family import Family
from remembrandt.training.loop import Plan
from remembrandt.training.method import Lesson, Stage, denoising, encoder, freeze
from remembrandt.training.options import ACCUMULATION, CHECKPOINTING, option


@dataclass(frozen=True)
class TextualInversion:
    """A word for what the base can paint already: the smallest thing that can be taught."""

    steps: int = option(600, "steps of the lesson", low=1, high=1_000_000)
    learning_rate: float = option(5e-3, "of the identifier's embedding", low=1e-9, high=1)
    batch: int = option(8, "examples a step", low=1, high=4096)
    vectors: int = option(4, "embedding rows of the identifier", low=1, high=16)
    norm: float = option(1.5, "longest a row may be, in usual words of the base", low=0.01, high=1000)
    warmup: int = option(10, "steps over which the learning rate rises", low=0)
    clip: float = option(1.0, "largest norm of the gradient", low=0)
    checkpoint_every: int = option(200, "steps between checkpoints", low=0)
    gradient_accumulation: int = ACCUMULATION()
    gradient_checkpointing: bool = CHECKPOINTING()

    @property
    def added(self) -> bool:
        return True

    @property
    def memories(self) -> tuple[str, ...]:
        return ("gated",)

    def stages(self, family: Family, lesson: Lesson) -> list[Stage]:
        """One stage: the rows. The network is frozen, so that guidance needs no dropped prompts."""
        freeze(family)
        longest = self.norm * usual(family)
        start = {word: bound(t.float(), longest.cpu()) for word, t in lesson.words.items()}
        free = {word: Parameter(t.to(family.device, copy=True)) for word, t in start.items()}

        def rows() -> dict[str, Tensor]:
            return {word: bound(p, longest) for word, p in free.items()}

        denoise = denoising(family, replace(lesson, words=start), encoder(family, lesson, rows), self.batch, 0.0)

        def loss(step: int) -> Tensor:
            """Where no prompt of the batch names the identifier, its gradient is 0 rather than missing."""
            return denoise(step) + sum(0.0 * p.sum() for p in free.values())

        def saved() -> Adapter:
            word = next(iter(free))
            return Adapter("textual-inversion", {}, {}, rows()[word].detach().cpu().clone(), start[word])

        plan = Plan(
            self.steps,
            self.learning_rate,
            warmup=self.warmup,
            clip=self.clip,
            checkpoint_every=self.checkpoint_every,
        )
        return [Stage("teaching", {f"token.{w}": p for w, p in free.items()}, plan, loss, saved)]


def usual(family: Family) -> Tensor:
    """The median length of the vocabulary's rows, fp32."""
    table = family.text_encoder.get_input_embeddings().weight
    assert isinstance(table, Tensor)
    return table.detach().float().norm(dim=-1).median()


def bound(rows: Tensor, longest: Tensor) -> Tensor:
    """Rows (k, D) shortened to `longest` where they are longer; a parametrisation, not a projection."""
    return rows * (longest / rows.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(rows.dtype).tiny)).clamp_max(1)
