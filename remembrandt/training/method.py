"""What every method shares: a lesson, stages in which something moves, one denoising loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor
from torch.nn import Parameter

from remembrandt.adapters.adapter import Adapter
from remembrandt.conditions import text
from remembrandt.diffusion import parametrisation
from remembrandt.family.family import Family
from remembrandt.training.attention import plain_attention
from remembrandt.training.examples import Example, draw
from remembrandt.training.loop import Plan

Words = Mapping[str, Tensor]


@dataclass(frozen=True, eq=False)
class Lesson:
    """What is to be taught.

    `words` maps the identifier, if it is an added token, to the rows (k, D) that it starts from.
    """

    examples: Sequence[Example]
    words: Words = field(default_factory=dict)
    seed: int = 0


@dataclass(frozen=True, eq=False)
class Stage:
    """Something moves: `parameters` by `loss`, inside `around()`.

    `saved()` is the adapter as it is now, or None if the UNet itself was moved; `rest()` takes off
    what the lesson has put on the network, until the next step.
    """

    name: str
    parameters: Mapping[str, Parameter]
    plan: Plan
    loss: Callable[[int], Tensor]
    saved: Callable[[], Adapter | None]
    scale: Callable[[str], float] = lambda name: 1.0
    around: Callable[[], AbstractContextManager] = nullcontext
    rest: Callable[[], None] = lambda: None


class Method(Protocol):
    """A frozen dataclass whose fields are its options; its stages say what moves and what is saved.

    `added` says whether the identifier becomes an added token with rows of its own, `memories`
    which memories it suits.
    """

    @property
    def added(self) -> bool: ...
    @property
    def memories(self) -> tuple[str, ...]: ...
    def stages(self, family: Family, lesson: Lesson) -> list[Stage]: ...


def first_rows(family: Family, category: str, vectors: int = 1) -> Tensor:
    """Where an added token starts, (vectors, D) in fp32 on the CPU: at the mean of its category."""
    ids = family.tokenizer(category, add_special_tokens=False).input_ids
    table: Tensor = family.text_encoder.get_input_embeddings().weight  # type: ignore[assignment]
    rows = table[torch.tensor(ids, device=table.device)].detach().float().cpu()
    return rows.mean(0, keepdim=True).repeat(vectors, 1)


def encoder(
    family: Family, lesson: Lesson, words: Callable[[], Words], *, moves: bool = False
) -> Callable[[list[str]], Tensor]:
    """Prompts to tokens (n, L, D): encoded once if they name no word of the lesson, else anew.

    Where the text encoder itself `moves`, always anew.
    """
    prompts = sorted({"", *(e.prompt for e in lesson.examples)})
    with torch.no_grad():
        first = text.encode(family, prompts, lesson.words)
    # Prompts of several chunks are padded to the longest of their call: encode them step by step.
    known = {} if moves or first.shape[1] > 77 else dict(zip(prompts, first, strict=True))
    known = {p: t for p, t in known.items() if not text.named(p, lesson.words)}

    def tokens(asked: list[str]) -> Tensor:
        fresh = [p for p in dict.fromkeys(asked) if p not in known]
        now = dict(zip(fresh, text.encode(family, fresh, words()), strict=True)) if fresh else {}
        return torch.stack([now[p] if p in now else known[p] for p in asked])

    return tokens


def denoising(
    family: Family,
    lesson: Lesson,
    tokens: Callable[[list[str]], Tensor],
    batch: int,
    dropout: float,
    prior: float = 1.0,
) -> Callable[[int], Tensor]:
    """The mean squared error of what the network predicts (eps or v), as a function of the step.

    That of the photos, plus `prior` times that of the priors (Ruiz et al. 2022, eq. 2). Of several processes each
    takes its part of the global batch.
    """
    bars = family.schedule.alphas_cumprod

    def loss(step: int) -> Tensor:
        rank, world = processes()
        drawn = draw(lesson.examples, lesson.seed, step, batch, dropout, slice(rank, None, world), prior)
        times = torch.tensor([int(m * len(bars)) for m in drawn.moments])
        bar = bars[times].float().view(-1, 1, 1, 1).to(family.device)
        x0, eps = drawn.latents.to(family.device), drawn.noise.to(family.device)
        noisy = parametrisation.add_noise(x0, eps, bar)
        with computing(family), plain_attention(family.unet):
            kind = next(family.unet.parameters()).dtype
            steered = tokens(drawn.prompts).to(kind)
            out = family.unet(
                noisy.to(kind), times.to(family.device), encoder_hidden_states=steered
            ).sample
        wanted = parametrisation.target(family.schedule.prediction, x0, eps, bar)
        error = (out.float() - wanted).square()
        if drawn.masks is not None:  # a mean over the places that count, as without a mask over all
            mask = drawn.masks.to(error)
            error = error * mask / mask.mean((1, 2, 3), keepdim=True).clamp_min(1e-6)
        weights = torch.tensor(drawn.weights, device=error.device)
        return (error.mean((1, 2, 3)) * weights).sum() * world

    return loss


def computing(family: Family) -> AbstractContextManager:
    """bf16 arithmetic over fp32 weights, where the family runs in half precision."""
    whole = next(family.unet.parameters()).dtype == torch.float32
    if family.dtype == torch.float32 or not whole or family.device.type == "mps":
        return nullcontext()
    return torch.autocast(family.device.type, torch.bfloat16)


def processes() -> tuple[int, int]:
    """This process's number, and how many train together: their gradients are averaged, what they share is a sum."""
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return 0, 1
    return torch.distributed.get_rank(), torch.distributed.get_world_size()


def freeze(family: Family) -> None:
    """Nothing of the family collects gradients, until a stage says so."""
    for network in (family.unet, family.text_encoder, family.vae):
        network.requires_grad_(False).eval()
