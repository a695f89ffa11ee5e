"""Distillation: one UNet learns to predict what a gated model predicts, whichever concept a prompt names.

The teacher is the gated model as it stands: the frozen base, each row of a batch wearing what its prompt names, nothing
where it names no concept. So "the teachers" and "the base" are one function, and the loss of a step is

    |e_S - e_T|^2 on concepts + base_weight |e_S - e_T|^2 on prompts without one + composed_weight |e_S - e_T|^2 on
    prompts with two + photo_weight |e_S - e|^2 on real photos, e the noise that was laid on them

(Li & Hoiem 2016, "Learning without Forgetting", eq. 1, with teachers that stay as they were; the last term is BIG's.)
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import Tensor

from remembrandt.adapters.wear import Outfit, Wardrobe
from remembrandt.conditions import text
from remembrandt.diffusion import parametrisation
from remembrandt.family.family import Family
from remembrandt.training.attention import plain_attention
from remembrandt.training.examples import Batch, Example, draw
from remembrandt.training.loop import Plan
from remembrandt.training.method import Words, computing
from remembrandt.training.options import ACCUMULATION, CHECKPOINTING, option

#: Parts of a batch: photos of concepts, pictures of one, of two together, and what names none.
SHARES = {"photos": 3, "pictures": 3, "composed": 2, "base": 4}
Scenes = Mapping[str, Sequence[Example]]  # by the keys of `SHARES`


@dataclass(frozen=True)
class Distillation:
    """All that a gated model knows, in one set of weights."""

    steps: int = option(2000, "steps of the distillation", low=1, high=1_000_000)
    learning_rate: float = option(5e-5, "of all weights of the UNet, falling as a cosine", low=1e-9, high=1)
    batch: int = option(16, "rows a step: a quarter photos, a third of the base, the rest painted", low=4, high=4096)
    base_weight: float = option(1.0, "weight of the loss on prompts that name no concept", low=0, high=100)
    composed_weight: float = option(0.5, "weight of the loss on prompts that name two", low=0, high=100)
    photo_weight: float = option(0.1, "weight of the photos' own noise beside what the teachers see", low=0, high=100)
    pictures: int = option(16, "pictures that are painted of each concept", low=1, high=10_000)
    composed: int = option(64, "pictures that are painted of two concepts together", low=0, high=100_000)
    base_pictures: int = option(128, "pictures that are painted of prompts without a concept", low=1, high=100_000)
    warmup: int = option(50, "steps over which the learning rate rises", low=0)
    dropout: float = option(0.1, "share of rows whose prompt is dropped, for guidance", low=0, high=1)
    clip: float = option(1.0, "largest norm of the gradient", low=0)
    checkpoint_every: int = option(200, "steps between checkpoints", low=0)
    gradient_accumulation: int = ACCUMULATION()
    gradient_checkpointing: bool = CHECKPOINTING()

    @property
    def plan(self) -> Plan:
        return Plan(
            self.steps,
            self.learning_rate,
            warmup=self.warmup,
            decay="cosine",
            clip=self.clip,
            checkpoint_every=self.checkpoint_every,
            accumulate=self.gradient_accumulation,
        )


#: For a UNet of a billion weights; the defaults suit one of ten million.
LARGE = {"learning_rate": 5e-6, "steps": 4000, "batch": 4, "gradient_accumulation": 4, "gradient_checkpointing": True}


def student(family: Family) -> Family:
    """The same family with a UNet of its own, which starts as a copy."""
    return replace(family, unet=copy.deepcopy(family.unet))


def rows(batch: int, terms: Sequence[str]) -> dict[str, int]:
    """How many rows of a batch of at least 4 each term gets; they sum to it."""
    total, at = sum(SHARES[t] for t in terms), [0.0]
    for term in terms:
        at.append(at[-1] + SHARES[term] * batch / total)
    return {t: round(b) - round(a) for t, (a, b) in zip(terms, pairwise(at), strict=True)}


def distilling(
    teacher: Family,
    learner: Family,
    scenes: Scenes,
    outfits: Mapping[str, Outfit],
    words: Words,
    options: Distillation,
    seed: int = 0,
) -> Callable[[int], Tensor]:
    """The loss as a function of the step. `outfits` says what a prompt's row wears at the teacher's; none: nothing.

    Terms without an example give their rows to the others.
    """
    counts = rows(options.batch, [term for term in SHARES if scenes.get(term)])
    prompts = sorted({"", *(e.prompt for some in scenes.values() for e in some)})
    with torch.no_grad():
        tokens = dict(zip(prompts, text.encode(teacher, prompts, words), strict=True))
    weights = _weights(counts, options).to(teacher.device)
    photos, wardrobe = counts.get("photos", 0), Wardrobe(teacher.unet)

    def loss(step: int) -> Tensor:
        drawn = [_drawn(scenes[term], term, seed, step, n, options.dropout) for term, n in counts.items()]
        said = [p for batch in drawn for p in batch.prompts]
        x0 = torch.cat([batch.latents for batch in drawn]).to(teacher.device)
        eps = torch.cat([batch.noise for batch in drawn]).to(teacher.device)
        times, bar = _levels(teacher, [m for batch in drawn for m in batch.moments])
        noisy, steered = parametrisation.add_noise(x0, eps, bar), torch.stack([tokens[p] for p in said])
        with torch.no_grad(), wardrobe([outfits.get(p, ()) for p in said]):
            wanted = predicted(teacher, noisy, times, steered)
        wardrobe.keep(outfits.values())  # what each adapter comes to, not every mixture that a batch has held
        with plain_attention(learner.unet):
            found = predicted(learner, noisy, times, steered)
        value = ((found - wanted).square().mean((1, 2, 3)) * weights).sum()
        if photos and options.photo_weight:
            real = parametrisation.target(teacher.schedule.prediction, x0, eps, bar)[:photos]
            value = value + options.photo_weight * (found[:photos] - real).square().mean()
        return value

    return loss


def predicted(family: Family, noisy: Tensor, times: Tensor, tokens: Tensor) -> Tensor:
    """What the UNet says (eps or v), fp32, of `noisy` (n, c, h, w) at `times` (n,) under `tokens` (n, L, D)."""
    kind = next(family.unet.parameters()).dtype
    with computing(family):
        return family.unet(noisy.to(kind), times, encoder_hidden_states=tokens.to(kind)).sample.float()


def _drawn(some: Sequence[Example], term: str, seed: int, step: int, count: int, dropout: float) -> Batch:
    """Each term has its own randomness: else rows of two terms would share their noise."""
    return draw(some, seed * len(SHARES) + [*SHARES].index(term), step, count, dropout)


def _levels(family: Family, moments: Sequence[float]) -> tuple[Tensor, Tensor]:
    bars = family.schedule.alphas_cumprod
    times = torch.tensor([int(m * len(bars)) for m in moments])
    return times.to(family.device), bars[times].float().view(-1, 1, 1, 1).to(family.device)


def _weights(counts: Mapping[str, int], options: Distillation) -> Tensor:
    """A term's rows share its weight; photos and painted pictures are one term."""
    whole = {"composed": options.composed_weight, "base": options.base_weight}
    single = sum(n for term, n in counts.items() if term not in whole)
    shares = [whole[t] / n if t in whole else 1 / single for t, n in counts.items() if n]
    repeats = [n for n in counts.values() if n]
    return torch.tensor(shares).repeat_interleave(torch.tensor(repeats))
