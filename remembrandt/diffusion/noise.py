"""A picture's own chance: one CPU generator per picture, so that no neighbour shifts another's noise."""

from __future__ import annotations

import math
from functools import lru_cache
from hashlib import blake2b

import torch
from torch import Tensor

DEPTH = 20  # of the dyadic tree: levels closer than a millionth of its span are one


class Noise:
    """The noise of one picture: `noise()` draws on, `noise.path(s, t)` reads a fixed Brownian path.

    Draws are fp32 of `shape` from `torch.Generator("cpu").manual_seed(seed)`, in diffusers' order.
    """

    SPAN = (math.log(1e-4), math.log(1e4))  # of log sigma

    def __init__(self, seed: int, shape: tuple[int, ...]):
        self.seed, self.shape = seed, shape
        self._generator = torch.Generator("cpu").manual_seed(seed)
        self._at = lru_cache(maxsize=256)(self._value)

    def __call__(self, shape: tuple[int, ...] | None = None) -> Tensor:
        """The next standard normal draw, of another `shape` if one is given."""
        return torch.randn(shape or self.shape, generator=self._generator, dtype=torch.float32)

    def path(self, s: float, t: float) -> Tensor:
        """The increment of the path over log sigma from level `s` down to `t`, scaled to unit variance.

        It depends on the seed and the two levels alone, so that a finer grid walks the same path.
        """
        high, low = (self._node(x) for x in (s, t))
        span = (self.SPAN[1] - self.SPAN[0]) / 2**DEPTH * max(high - low, 1)
        return ((self._at(high) - self._at(low)) / math.sqrt(span)).float()

    def _node(self, sigma: float) -> int:
        low, high = self.SPAN
        return round((min(max(math.log(max(sigma, 1e-30)), low), high) - low) / (high - low) * 2**DEPTH)

    def _normal(self, *key: int) -> Tensor:
        digest = blake2b(repr((self.seed, *key)).encode(), digest_size=7).digest()
        generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest, "big"))
        return torch.randn(self.shape, generator=generator, dtype=torch.float64)

    def _value(self, node: int) -> Tensor:
        """The path at `node` of 2^DEPTH, by bisection: midpoint = mean of the ends + half a step's normal."""
        span = self.SPAN[1] - self.SPAN[0]
        left, right = 0, 2**DEPTH
        at_left, at_right = (
            torch.zeros(self.shape, dtype=torch.float64),
            self._normal(0, 0) * math.sqrt(span),
        )
        while node not in (left, right):
            middle = (left + right) // 2
            step = math.sqrt((right - left) * span / 2**DEPTH / 4)
            at_middle = (at_left + at_right) / 2 + step * self._normal(left, right)
            if node <= middle:
                right, at_right = middle, at_middle
            else:
                left, at_left = middle, at_middle
        return at_left if node == left else at_right
