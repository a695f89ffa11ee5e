"""Low-rank adaptation: a layer's weight W acts as W + s B A, with A (r, in) and B (out, r) taught.

Hu et al., "LoRA" (arXiv 2106.09685), eq. 3. `down` is A, `up` is B with alpha / r folded in; a convolution's
are (r, in, kh, kw) and (out, r, 1, 1). `strength` t means t B A: 0 is the base, -1 takes it out of merged weights.
Several at once are the sum of their differences, which is one pair of a larger rank.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

DOWN, UP = "down", "up"
Pair = tuple[Tensor, Tensor]

ATTENTION = re.compile(r"\.(to_q|to_k|to_v|to_out\.0)$")
FEED_FORWARD = re.compile(r"\.(to_q|to_k|to_v|to_out\.0|ff\.net\.0\.proj|ff\.net\.2)$")


def layers(unet: nn.Module, *, feed_forward: bool = False) -> dict[str, nn.Linear]:
    """The linears that are taught: those of every attention, and if wanted of what follows it."""
    wanted = FEED_FORWARD if feed_forward else ATTENTION
    return {n: m for n, m in unet.named_modules() if wanted.search(n) and isinstance(m, nn.Linear)}


def start(linears: Mapping[str, nn.Linear], rank: int, seed: int) -> dict[str, dict[str, Tensor]]:
    """`down` random as nn.Linear's own weights are, `up` zero: the base to the bit. The same for the same seed."""
    draw = torch.Generator().manual_seed(seed)
    found = {}
    for name, linear in sorted(linears.items()):
        bound = 1 / math.sqrt(linear.in_features)
        down = torch.empty(rank, linear.in_features).uniform_(-bound, bound, generator=draw)
        found[name] = {DOWN: down, UP: torch.zeros(linear.out_features, rank)}
    return found


def prepare(worn: Sequence[tuple[Mapping[str, Mapping[str, Tensor]], float]]) -> dict[str, Pair]:
    """`down` and `up` of each layer of adapters worn together, each at its strength, in fp32 or better.

    Ranks are padded with zeros to the next power of two, so that requests of nearly one rank share a product and
    none pays for the widest adapter that is known.
    """
    pairs: dict[str, list[Pair]] = {}
    for tensors, strength in worn:
        for layer, named in tensors.items():
            down, up = (_exact(named[k]) for k in (DOWN, UP))
            pairs.setdefault(layer, []).append((down, up * strength))
    return {layer: _padded(*map(torch.cat, _columns(found))) for layer, found in pairs.items()}


def fits(layer: nn.Module, down: Tensor, up: Tensor) -> bool:
    """Whether their shapes are those of the layer's weight, a linear's or an ungrouped convolution's."""
    if isinstance(layer, nn.Conv2d):
        inner = (down.shape[1:], up.shape[2:]) == (layer.weight.shape[1:], (1, 1))
        return inner and layer.groups == 1 and layer.padding_mode == "zeros" and up.shape[0] == layer.out_channels
    return isinstance(layer, nn.Linear) and (up.shape[0], *down.shape[1:]) == layer.weight.shape


def added(layer: nn.Module, x: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """B A x for x (rows, ...): `down` and `up` are one pair for all rows, or (rows, ...) one for each."""
    down, up = down.to(x.dtype), up.to(x.dtype)
    if not isinstance(layer, nn.Conv2d):
        return x @ down.mT @ up.mT
    rows, where = len(x), {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
    inner = nn.functional.conv2d(x.flatten(0, 1)[None], down.flatten(0, 1), groups=rows, **where)  # type: ignore[arg-type]
    return nn.functional.conv2d(inner, up.flatten(0, 1), groups=rows)[0].unflatten(0, (rows, -1))


def merged(weight: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """W + B A, computed in fp32 or better, in the weight's own type."""
    return (weight.to(torch.promote_types(weight.dtype, down.dtype)) + difference(down, up)).to(weight.dtype)


def difference(down: Tensor, up: Tensor) -> Tensor:
    """B A, of the weight's shape."""
    return (up.flatten(1) @ down.flatten(1)).unflatten(1, down.shape[1:])


def nearest(difference: Tensor, rank: int) -> dict[str, Tensor]:
    """The pair of at most `rank` nearest to a weight's difference (out, in): Eckart and Young 1936, halves balanced."""
    u, s, v = torch.linalg.svd(difference.double(), full_matrices=False)
    root = s[:rank].sqrt()
    return {DOWN: (root[:, None] * v[:rank]).float(), UP: (u[:, :rank] * root).float()}


def _exact(t: Tensor) -> Tensor:
    return t if t.dtype == torch.float64 else t.float()


def _columns(pairs: Iterable[Pair]) -> Iterable[list[Tensor]]:
    """All `down`s, to be laid one below another, and all `up`s, transposed likewise."""
    downs, ups = zip(*pairs, strict=True)
    return [list(downs), [up.transpose(0, 1) for up in ups]]


def _padded(down: Tensor, flipped: Tensor) -> Pair:
    more = 2 ** math.ceil(math.log2(max(4, len(down)))) - len(down)
    down, flipped = (torch.cat([t, t.new_zeros(more, *t.shape[1:])]) for t in (down, flipped))
    return down, flipped.transpose(0, 1).contiguous()
