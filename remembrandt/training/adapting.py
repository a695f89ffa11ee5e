"""What the methods that teach an adapter share: a frozen family, tensors worn in every step, the identifier's rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import Parameter

from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import KINDS, Fit, hooked
from remembrandt.family.family import Family
from remembrandt.training.loop import Plan
from remembrandt.training.method import Lesson, Stage, denoising, encoder, freeze

Parts = Mapping[str, tuple[Tensor, ...]]


class Options(Protocol):
    """The options that these methods have in common."""

    @property
    def steps(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def token_rate(self) -> float: ...
    @property
    def batch(self) -> int: ...
    @property
    def warmup(self) -> int: ...
    @property
    def dropout(self) -> float: ...
    @property
    def clip(self) -> float: ...
    @property
    def checkpoint_every(self) -> int: ...


def stage(
    options: Options,
    family: Family,
    lesson: Lesson,
    kind: str,
    free: Mapping[str, Tensor],
    worn: Callable[[Mapping[str, Parameter]], Parts],
    saved: Callable[[Mapping[str, Parameter], Tensor | None], Adapter],
) -> Stage:
    """One stage: what `free` starts from moves, and the identifier's rows at their own rate.

    `worn(moving)` is what each layer wears in a step, as adapters of `kind` do; `saved(moving, rows)` the adapter.
    """
    freeze(family)
    moving = {name: Parameter(t.to(family.device, copy=True)) for name, t in free.items()}
    rows = {word: Parameter(t.to(family.device, torch.float32, copy=True)) for word, t in lesson.words.items()}
    denoise = denoising(family, lesson, encoder(family, lesson, lambda: rows), options.batch, options.dropout)
    fits: dict[str, list[Fit]] = {layer: [] for layer in worn(moving)}

    def loss(step: int) -> Tensor:
        for layer, parts in worn(moving).items():
            fits[layer][:] = [Fit(KINDS[kind], parts)]
        return denoise(step)

    def rest() -> None:
        for layer in fits.values():
            layer.clear()

    plan = Plan(
        options.steps,
        options.learning_rate,
        warmup=options.warmup,
        clip=options.clip,
        checkpoint_every=options.checkpoint_every,
    )
    tokens = {f"token.{word}": p for word, p in rows.items()} if options.token_rate else {}
    return Stage(
        "teaching",
        moving | tokens,
        plan,
        loss,
        lambda: saved(moving, next((p.detach().cpu().clone() for p in rows.values()), None)),
        scale=lambda name: options.token_rate / options.learning_rate if name in tokens else 1.0,
        around=lambda: hooked(family.unet, fits),
        rest=rest,
    )
