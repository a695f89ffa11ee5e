"""Prompts to tokens, each encoded once: "nothing" is the same for everyone who dresses the text encoder in nothing."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor

from remembrandt.adapters.wear import Outfit
from remembrandt.conditions import text
from remembrandt.family.family import Family
from remembrandt.tasks import Words

KEPT = 256  # prompts


class Texts:
    """The text encoder of a family with a memory, except for prompts that name a taught word or dress it."""

    def __init__(self, family: Family):
        self._family = family
        self._plain = lru_cache(KEPT)(lambda prompt: text.encode(family, [prompt]))

    def __call__(self, prompts: Sequence[str], words: Words, outfits: Sequence[Outfit]) -> Tensor:
        """Tokens (n, L, D), all as long as the longest needs: empty chunks follow the others."""
        rows = [self._encode(prompt, words, outfit) for prompt, outfit in zip(prompts, outfits, strict=True)]
        most = max(row.shape[1] for row in rows)
        empty = self._plain("")
        lacking = [(most - row.shape[1]) // empty.shape[1] for row in rows]
        padded = [torch.cat([row, *[empty] * n], 1) for row, n in zip(rows, lacking, strict=True)]
        return torch.cat(padded)

    def _encode(self, prompt: str, words: Words, outfit: Outfit) -> Tensor:
        if text.named(prompt, words) or any(w.adapter.part(text=True) for w in outfit):
            return text.encode(self._family, [prompt], words, outfit)
        return self._plain(prompt)
