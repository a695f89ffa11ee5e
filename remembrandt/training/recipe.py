"""What every recipe shares: many pictures, stages in which something moves, one denoising loss.

A recipe trains a part of a family, or a family for another task, on as many pictures as there are; a method
(`method.py`) teaches one thing on a few. Everything random is a pure function of (seed, step, index in the global
batch), so neither a kill nor the number of processes, nor how a step is cut into calls, changes what is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import Parameter

from remembrandt.conditions import control
from remembrandt.conditions.condition import Condition
from remembrandt.conditions.turned import acting
from remembrandt.diffusion import parametrisation
from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.samplers import SAMPLERS, finish
from remembrandt.family.family import Family
from remembrandt.family.load import save
from remembrandt.training.attention import plain_attention
from remembrandt.training.corpus import Picture
from remembrandt.training.encoded import Row, Rows
from remembrandt.training.examples import chance, uniform
from remembrandt.training.loop import Plan
from remembrandt.training.method import computing
from remembrandt.training.options import option

Loss = Callable[[int, Sequence[int]], Tensor]  # the step, and which of its global batch: the mean over these


@dataclass(frozen=True)
class Common:
    """The options of every recipe; those of the pictures first."""

    captions: ClassVar[bool] = False  # whether pictures without captions teach nothing
    min_side: int = option(0, "pixels that a picture's shorter side must have", low=0)
    aesthetic: float = option(0.0, "least aesthetic score of a picture, as its JSON says; 0: any", low=0, high=10)
    steps: int = option(2000, "steps, of the last stage where there are several", low=1, high=10_000_000)
    learning_rate: float = option(1e-4, "what it rises to, and stays at", low=1e-9, high=1)
    warmup: int = option(200, "steps over which the learning rate rises", low=0)
    batch: int = option(32, "pictures a step, of all processes and calls together", low=1, high=100_000)
    weight_decay: float = option(0.01, "of AdamW", low=0, high=1)
    dropout: float = option(0.1, "share of pictures whose condition is nothing, for guidance", low=0, high=1)
    ema: float = option(0.999, "decay of the averaged weights, which are what is kept; 0: none", low=0, high=0.999999)
    gamma: float = option(0.0, "least signal-to-noise ratio that weighs as less (min-SNR); 0: plain", low=0, high=1000)
    clip: float = option(1.0, "largest norm of the gradient", low=1e-6)
    checkpoint_every: int = option(500, "steps between checkpoints", low=0)
    preview_every: int = option(500, "steps between pictures on the way; 0: none", low=0)
    gradient_checkpointing: bool = option(False, "less memory for more time, the same weights")

    def write(self, family: Family, place: Path) -> None:
        """What was trained, into a new folder: the whole model."""
        save(family, place)

    def plan(self, **other: float) -> Plan:
        """Warm-up and then constant; `other` where a stage differs."""
        told = {"steps": self.steps, "learning_rate": self.learning_rate, "warmup": self.warmup, **other}
        same = ("weight_decay", "ema", "clip", "checkpoint_every")
        return Plan(**told, **{name: getattr(self, name) for name in same})  # type: ignore[arg-type]

    @property
    def paired(self) -> bool:
        """Whether pictures without a hint beside them teach nothing."""
        return False


@dataclass(frozen=True, eq=False)
class Stage:
    """`parameters` move by `loss`, `batch` pictures a step."""

    name: str
    parameters: Mapping[str, Parameter]
    plan: Plan
    batch: int
    loss: Loss


class Recipe(Protocol):
    """A frozen dataclass whose fields are its options, those of `Common` among them."""

    captions: ClassVar[bool]

    @property
    def paired(self) -> bool: ...
    @property
    def dropout(self) -> float: ...
    @property
    def min_side(self) -> int: ...
    @property
    def aesthetic(self) -> float: ...
    @property
    def preview_every(self) -> int: ...
    @property
    def gradient_checkpointing(self) -> bool: ...
    @property
    def gamma(self) -> float: ...

    def begun(self, family: Family) -> Family:
        """The family that is trained, its UNet changed if the task wants it; `Wrong` if it cannot be."""
        ...

    def seen_at(self, family: Family) -> int:
        """Pixels a side of a picture's `wide` square."""
        ...

    def adds(self, family: Family, some: Sequence[Picture]) -> Mapping[str, Tensor]:
        """What is encoded of pictures beside their latents, each (n, ...)."""
        ...

    def given(
        self, family: Family, rows: Sequence[Row], chances: Sequence[torch.Generator], dropped: Sequence[bool]
    ) -> Condition:
        """What steers the UNet on these rows; nothing, as the model knows it, where it is dropped."""
        ...

    def stages(self, family: Family, rows: Rows, seed: int) -> list[Stage]:
        """What moves, one after another."""
        ...

    def write(self, family: Family, place: Path) -> None:
        """What was trained, into a new folder."""
        ...


def denoising(recipe: Recipe, family: Family, rows: Rows, seed: int, batch: int) -> Loss:
    """The mean squared error of what the network predicts, over times spread evenly and noise of the picture's own."""
    bars = family.schedule.alphas_cumprod

    def loss(step: int, part: Sequence[int]) -> Tensor:
        chances = [chance(seed, step, index) for index in part]
        count, offset = len(rows), uniform(chance(seed, step))
        numbers = [divmod(step * batch + index, count) for index in part]
        some = [rows[int(order(seed, epoch, count)[place])] for epoch, place in numbers]
        drawn = [torch.randn((2, *row["mean"].shape), generator=c) for row, c in zip(some, chances, strict=True)]
        x0 = torch.stack([r["mean"].float() + r["std"].float() * d[0] for r, d in zip(some, drawn, strict=True)])
        x0, eps = x0.to(family.device), torch.stack([d[1] for d in drawn]).to(family.device)
        times = torch.tensor([int((offset + index / batch) % 1.0 * len(bars)) for index in part])
        bar = bars[times].float().view(-1, 1, 1, 1).to(family.device)
        dropped = [uniform(c) < recipe.dropout for c in chances]
        with computing(family), plain_attention(family.unet):
            condition = recipe.given(family, some, chances, dropped)
            out = predicted(family, parametrisation.add_noise(x0, eps, bar), times, condition)
        wanted = parametrisation.target(family.schedule.prediction, x0, eps, bar)
        each = (out - wanted).square().mean((1, 2, 3))
        return (each * weight(bar.flatten(), recipe.gamma, family.schedule.prediction)).mean()

    return loss


def predicted(family: Family, noisy: Tensor, times: Tensor, condition: Condition) -> Tensor:
    """What the network says of noisy latents (n, c, h, w), fp32."""
    kind = family.unet.dtype
    seen = noisy if condition.channels is None else torch.cat([noisy, condition.channels.to(noisy)], 1)
    tokens = condition.tokens.to(family.device, kind)
    times = times.to(family.device)
    beside = control.residual([condition.residual])
    more = beside(noisy.to(kind), times, tokens) if beside else {}
    if condition.label is not None:
        more = {**more, "class_labels": _classes(condition).to(family.device)}
    with acting(family.unet, condition.residual, len(seen)):
        return family.unet(seen.to(kind), times, encoder_hidden_states=tokens, **more).sample.float()


def weight(bar: Tensor, gamma: float, prediction: str) -> Tensor:
    """Min-SNR weights (Hang et al. 2023, eq. 6, and for v its section 3.4); ones where gamma is 0."""
    if not gamma:
        return torch.ones_like(bar)
    snr = bar / (1 - bar)
    return snr.clamp(max=gamma) / (snr + 1 if prediction == "v_prediction" else snr)


@lru_cache(maxsize=4)
def order(seed: int, epoch: int, count: int) -> np.ndarray:
    """The numbers of all pictures in the order of one epoch: each is seen once before any is seen again."""
    return torch.randperm(count, generator=chance(seed, "order", epoch)).numpy()


@torch.no_grad()
def painted(recipe: Recipe, family: Family, rows: Sequence[Row], seed: int) -> np.ndarray:
    """One picture for each row's condition, uint8 (n, h, w, 3), as far as the training has come."""
    made = []
    with computing(family):
        for k, row in enumerate(rows):
            one = [chance(seed, "preview", k)]
            noise = Noise(seed + k, (1, *row["mean"].shape))
            made.append(_walked(family, noise, *(recipe.given(family, [row], one, [no]) for no in (False, True))))
    return family.decode(torch.cat(made))


def _walked(family: Family, noise: Noise, prompt: Condition, nothing: Condition) -> Tensor:
    """The latent at the end of the family's own sampler."""
    row = SAMPLERS[family.record.sampler]
    sigmas = row.sigmas(family.schedule, family.record.steps)
    walk = row.function(noise().to(family.device) * row.scale(sigmas[0]), sigmas, noise)
    x, sigma = next(walk)
    while True:
        at = torch.tensor([sigma]), torch.tensor([row.t(family.schedule, sigma)])
        seen, blind = (_denoised(family, x, *at, c) for c in (prompt, nothing))
        try:
            x, sigma = walk.send(blind + family.record.guidance * (seen - blind))
        except StopIteration as ended:
            return finish(ended.value, sigmas[-1])


def _denoised(family: Family, x: Tensor, sigma: Tensor, t: Tensor, c: Condition) -> Tensor:
    with acting(family.unet, c.residual, len(x)):
        labels = None if c.label is None else _classes(c)
        return family.denoise(x, sigma, t, c.tokens, c.channels, labels, control.residual([c.residual]))


def _classes(condition: Condition) -> Tensor:
    return torch.as_tensor(condition.label).reshape(-1)
