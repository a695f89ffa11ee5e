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
from collections.abc import Sequence
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

GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, eq=False)
class Example:
    """`mean` and `std` (4, h, w) of latents, fp32 on the CPU; `weight` is its share of draws."""

    mean: Tensor
    std: Tensor
    prompt: str
    weight: float = 1.0
    kind: Literal["instance", "class"] = "instance"


@dataclass(frozen=True, eq=False)
class Batch:
    """`latents`, `noise` (B, 4, h, w), B times as `moments` in [0, 1), B prompts ("": dropped)."""

    latents: Tensor
    noise: Tensor
    moments: list[float]
    prompts: list[str]


def encode(
    family: Family,
    squares: Sequence[np.ndarray],
    prompts: Sequence[str],
    *,
    kind: Literal["instance", "class"] = "instance",
    weight: float = 1.0,
    flip: bool = False,
) -> list[Example]:
    """An example for each square (uint8, (s, s, 3)), prompt and flip; they share `weight`."""
    found = []
    for square in squares:
        views = [square, square[:, ::-1]] if flip else [square]
        pixels = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2)
        with torch.no_grad():
            means, stds = family.encode(pixels.float() / 127.5 - 1)
        found += [
            Example(m.cpu(), s.cpu(), p, 1.0, kind)
            for m, s in zip(means, stds, strict=True)
            for p in prompts
        ]
    return [replace(e, weight=weight / len(found)) for e in found]


def save(examples: Sequence[Example], path: Path) -> None:
    """Write what a job reads, once, before its first step."""
    tensors = {
        "mean": torch.stack([e.mean for e in examples]),
        "std": torch.stack([e.std for e in examples]),
    }
    facts = json.dumps([[e.prompt, e.weight, e.kind] for e in examples])
    write_atomic(path, write_tensors(tensors, metadata={"examples": facts}))


def load(path: Path) -> list[Example]:
    """What `save` wrote, bit for bit."""
    with safe_open(path, "pt") as file:
        facts = json.loads(file.metadata()["examples"])
        pairs = zip(file.get_tensor("mean"), file.get_tensor("std"), facts, strict=True)
        return [Example(mean, std, *fact) for mean, std, fact in pairs]


def draw(
    examples: Sequence[Example],
    seed: int,
    step: int,
    batch: int,
    dropout: float = 0.0,
    part: slice = slice(None),
) -> Batch:
    """Batch `step` of a lesson, or `part` of it; with probability `dropout` a prompt is dropped.

    Which example: a golden-ratio sequence over the weights, which serves each its share evenly from
    the first draws on. When: one offset a step, spread evenly over the batch, so that each step
    sees all parts of the schedule.
    """
    edges = list(accumulate(e.weight for e in examples))
    start, offset = _uniform(_generator(seed, "start")), _uniform(_generator(seed, step))
    indices = range(batch)[part]
    latents, noises, prompts = [], [], []
    for index in indices:
        place = (start + (step * batch + index) * GOLDEN) % 1.0 * edges[-1]
        example = examples[min(bisect_right(edges, place), len(examples) - 1)]
        generator = _generator(seed, step, index)
        sample, noise = torch.randn((2, *example.mean.shape), generator=generator)
        latents.append(example.mean + example.std * sample)
        noises.append(noise)
        prompts.append("" if _uniform(generator) < dropout else example.prompt)
    moments = [(offset + index / batch) % 1.0 for index in indices]
    return Batch(torch.stack(latents), torch.stack(noises), moments, prompts)


def _generator(*key: int | str) -> torch.Generator:
    digest = hashlib.blake2b(repr(key).encode(), digest_size=7).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "big"))


def _uniform(generator: torch.Generator) -> float:
    return torch.rand((), generator=generator, dtype=torch.float64).item()
