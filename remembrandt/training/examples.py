"""Weighted examples: photos of the new concept, and what is replayed beside them, are one thing.

What the loop reads is cached once as the autoencoder's mean and std (not one sample of it, so that
the maths stays the same in distribution). Everything random in a batch is a pure function of (seed,
step, index in the global batch): a killed lesson goes on with the very noise it would have seen,
and N processes draw what one would.
"""

from __future__ import annotations

import hashlib
import json
import math
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save as write_tensors
from torch import Tensor

from remembrandt.family.family import Family
from remembrandt.report import write_atomic

# Two strides whose multiples fill the unit square: photos and priors meet in ever new pairs, each at its rate.
GOLDEN, SILVER = (math.sqrt(5) - 1) / 2, math.sqrt(2) - 1


@dataclass(frozen=True, eq=False)
class Example:
    """`mean` and `std` (4, h, w) of latents, fp32 on the CPU; `weight` is its share of draws.

    `mask` (1, h, w) in [0, 1] says how much each place counts. What is no "instance" is a prior: pictures of the
    class, and of the past.
    """

    mean: Tensor
    std: Tensor
    prompt: str
    weight: float = 1.0
    kind: Literal["instance", "class", "past"] = "instance"
    mask: Tensor | None = None


@dataclass(frozen=True, eq=False)
class Batch:
    """`latents`, `noise` (B, 4, h, w), B times as `moments` in [0, 1), B prompts ("": dropped).

    `weights` (B,) of the rows' losses: those of the photos sum to 1, those of the priors to their weight. `masks`
    (B, 1, h, w) where an example has one.
    """

    latents: Tensor
    noise: Tensor
    moments: list[float]
    prompts: list[str]
    weights: list[float]
    masks: Tensor | None = None


def encode(
    family: Family,
    squares: Sequence[np.ndarray],
    prompts: Sequence[str],
    *,
    kind: Literal["instance", "class", "past"] = "instance",
    weight: float = 1.0,
    flip: bool = False,
    masks: Sequence[np.ndarray | None] | None = None,
) -> list[Example]:
    """An example for each square (uint8, (s, s, 3)), prompt and flip; they share `weight`.

    `masks` (uint8, (s, s); white counts) reach the latents' grid by the mean.
    """
    found = []
    for square, mask in zip(squares, masks or [None] * len(squares), strict=True):
        views = [square, square[:, ::-1]] if flip else [square]
        shades = [mask, None if mask is None else mask[:, ::-1]]
        pixels = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)
        with torch.no_grad():
            means, stds = family.encode(pixels.float() / 127.5 - 1)
        found += [
            Example(m.cpu(), s.cpu(), p, 1.0, kind, None if shade is None else _mask(shade, m.shape[-2:]))
            for m, s, shade in zip(means, stds, shades, strict=False)
            for p in prompts
        ]
    return [replace(e, weight=weight / len(found)) for e in found]


def save(examples: Sequence[Example], path: Path) -> None:
    """Write what a job reads, once, before its first step."""
    tensors = {
        "mean": torch.stack([e.mean for e in examples]),
        "std": torch.stack([e.std for e in examples]),
    }
    tensors |= {f"mask.{k}": e.mask for k, e in enumerate(examples) if e.mask is not None}
    facts = json.dumps([[e.prompt, e.weight, e.kind] for e in examples])
    write_atomic(path, write_tensors(tensors, metadata={"examples": facts}))


def load(path: Path) -> list[Example]:
    """What `save` wrote, bit for bit."""
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["examples"])
        held = [f"mask.{k}" in file.keys() for k in range(len(facts))]  # noqa: SIM118  # it is no mapping
        masks = [file.get_tensor(f"mask.{k}") if masked else None for k, masked in enumerate(held)]
        rows = zip(file.get_tensor("mean"), file.get_tensor("std"), facts, masks, strict=True)
        return [Example(mean, std, *fact, mask=mask) for mean, std, fact, mask in rows]


def draw(
    examples: Sequence[Example],
    seed: int,
    step: int,
    batch: int,
    dropout: float = 0.0,
    part: slice = slice(None),
    prior: float = 1.0,
) -> Batch:
    """Batch `step` of a lesson, or `part` of it; with probability `dropout` a prompt is dropped.

    Photos and priors, where there are any, alternate: as many of each in every even batch, and `prior` is the weight
    of the priors' loss beside that of the photos. Which example: a low-discrepancy sequence over the weights, which
    serves each its share evenly from the first draws on. When: one offset a step, spread evenly over the batch, so
    that each step sees all parts of the schedule.
    """
    pools = [[e for e in examples if e.kind == "instance"], [e for e in examples if e.kind != "instance"]]
    ways = [_way(pool, seed, *way) for pool, way in zip(pools, (("start", GOLDEN), ("prior", SILVER)), strict=True)]
    kinds = 1 + any(e.weight for e in pools[1])
    counts = [len(range((which - step * batch) % kinds, batch, kinds)) for which in range(kinds)]
    offset, indices = uniform(chance(seed, step)), range(batch)[part]
    latents, noises, prompts, weights, masks = [], [], [], [], []
    for index in indices:
        number, which = divmod(step * batch + index, kinds)
        example = ways[which](number)
        weights.append((prior if which else 1.0) / counts[which])
        masks.append(example.mask)
        generator = chance(seed, step, index)
        sample, noise = torch.randn((2, *example.mean.shape), generator=generator)
        latents.append(example.mean + example.std * sample)
        noises.append(noise)
        prompts.append("" if uniform(generator) < dropout else example.prompt)
    moments = [(offset + index / batch) % 1.0 for index in indices]
    return Batch(torch.stack(latents), torch.stack(noises), moments, prompts, weights, _masks(masks, latents))


def _way(pool: Sequence[Example], seed: int, name: str, stride: float) -> Callable[[int], Example]:
    """Draw number n from a pool."""
    edges = list(accumulate(e.weight for e in pool))
    start = uniform(chance(seed, name))

    def drawn(number: int) -> Example:
        place = (start + number * stride) % 1.0 * edges[-1]
        return pool[min(bisect_right(edges, place), len(pool) - 1)]

    return drawn


def _mask(shade: np.ndarray, size: Sequence[int]) -> Tensor:
    picture = torch.from_numpy(np.ascontiguousarray(shade)).float()[None, None] / 255
    return torch.nn.functional.adaptive_avg_pool2d(picture, (size[0], size[1]))[0]


def _masks(masks: Sequence[Tensor | None], latents: Sequence[Tensor]) -> Tensor | None:
    if all(mask is None for mask in masks):
        return None
    return torch.stack([torch.ones_like(x[:1]) if m is None else m for m, x in zip(masks, latents, strict=True)])


def chance(*key: int | str) -> torch.Generator:
    """Chance that depends on nothing but the key."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def uniform(generator: torch.Generator) -> float:
    """The next number in [0, 1)."""
    return torch.rand((), generator=generator, dtype=torch.float64).item()
