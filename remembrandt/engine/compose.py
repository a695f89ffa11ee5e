"""How several concepts that one prompt names act together: each way is one function and one row of `WAYS`.

A way cuts a picture into looks. Each is guided as a picture of its own; where there are several, every place of the
latent is taken from the look that it belongs to. One look that wears everything is what a single concept is, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from remembrandt.adapters.wear import Outfit
from remembrandt.conditions import text
from remembrandt.family.family import Family
from remembrandt.tasks import Request

SUMMED, LOCAL, ROUTED = "summed", "token-local", "routed"
DEFAULT = SUMMED  # what a prompt that names several concepts is painted by
FIRST = 0.3  # share of the model calls in which places are given away

Tokens = tuple[bool, ...]
Said = Mapping[tuple[str, str], Tokens]  # by phrase, which tokens of a text are its own


@dataclass(frozen=True, eq=False)
class Look:
    """What the prompt's row wears and that of "nothing"; `tokens` are the concept's whose places these are."""

    prompt: Outfit
    nothing: Outfit
    tokens: Tokens = ()


def summed(prompt: Outfit, nothing: Outfit, said: Said, unsaid: Said) -> list[Look]:
    """Everything acts everywhere: rotations add up in the Lie algebra, differences of weights as they are."""
    return [Look(prompt, nothing)]


def token_local(prompt: Outfit, nothing: Outfit, said: Said, unsaid: Said) -> list[Look]:
    """A concept changes keys and values only, and only at the tokens of its own noun phrase (Perfusion, TARA)."""

    def local(outfit: Outfit, said: Said) -> Outfit:
        there = [replace(w, tokens=said[w.phrase]) if w.phrase else w for w in outfit]
        return tuple(w for w in there if w.tokens is None or any(w.tokens))

    return [Look(local(prompt, said), local(nothing, unsaid))]


def routed(prompt: Outfit, nothing: Outfit, said: Said, unsaid: Said) -> list[Look]:
    """A concept acts where cross-attention to its own tokens is highest, a style and what has no tokens everywhere.

    The idea of FreeFuse, but what is routed is the whole estimate, not each layer's residual: in its region a concept
    is exactly what it is alone, and no adapter's queries meet another one's keys. The first look belongs to nobody.
    """
    own = [w for w in prompt if w.phrase and not w.style and any(said[w.phrase])]

    def but(outfit: Outfit, *mine) -> Outfit:
        return tuple(w for w in outfit if w in mine or w not in own)

    alone = [Look(but(prompt, w), but(nothing, w), said[w.phrase]) for w in own if w.phrase]
    return [Look(but(prompt), but(nothing)), *alone]


WAYS: dict[str, Callable[[Outfit, Outfit, Said, Said], list[Look]]] = {
    SUMMED: summed,
    LOCAL: token_local,
    ROUTED: routed,
}


def looks(family: Family, request: Request, length: int) -> list[Look]:
    """The looks of a request's pictures, whose prompt has `length` tokens.

    Without a prompt's row, at guidance 0, there is nothing to be told by.
    """
    way = SUMMED if request.guidance == 0 else request.composition
    phrases = {w.phrase for w in request.wears if w.phrase} if way != SUMMED else set()

    def said(prompt: str) -> Said:
        places = {p: {*text.places(family, prompt, p, request.words)} for p in phrases}
        return {p: tuple(k in own for k in range(length)) for p, own in places.items()}

    return WAYS[way](*request.outfits, said(request.prompt), said(request.negative))


@final
class Regions:
    """Which places of one picture belong to which look: told by its first `calls` model calls, then kept."""

    def __init__(self, looks: Sequence[Look], calls: int):
        self.tokens = [look.tokens for look in looks[1:]]
        self._left = math.ceil(FIRST * calls)
        self._seen: Tensor | None = None

    @property
    def open(self) -> bool:
        """Whether more is to be seen."""
        return self._left > 0

    def see(self, maps: Tensor) -> None:
        """(looks - 1, h, w): how much of each place's attention goes to each concept's tokens."""
        self._seen = maps if self._seen is None else self._seen + maps
        self._left -= 1

    def owners(self) -> Tensor:
        """(h, w): the number of each place's look: whose share is highest, measured by its own mean, and above it."""
        assert self._seen is not None, "nothing was seen yet"
        share, best = (self._seen / self._seen.mean((1, 2), keepdim=True)).max(0)
        return torch.where(share > 1, best + 1, 0)

    def blend(self, estimates: Sequence[Tensor]) -> Tensor:
        """One estimate (1, c, h, w) of all, each place by its owner."""
        owners, found = self.owners(), estimates[0]
        for number, estimate in enumerate(estimates[1:], 1):
            found = torch.where(owners == number, estimate, found)
        return found


@contextmanager
def watched(unet: nn.Module, rows: Sequence[Regions | None], size: Sequence[int]) -> Iterator[None]:
    """Inside, a call tells the regions of row i where it looks, averaged over heads and layers, at the latents' `size`.

    Row by row: what one sees does not depend on its neighbours.
    """
    asking = {i: regions for i, regions in enumerate(rows) if regions}
    if not asking:
        yield
        return
    seen: dict[int, list[Tensor]] = {i: [] for i in asking}
    with ExitStack() as hooks:
        for name, attention in unet.named_modules():
            if name.endswith("attn2"):
                for handle in _watch(attention, asking, size, seen):
                    hooks.callback(handle.remove)
        yield
    for i, regions in asking.items():
        regions.see(torch.stack(seen[i]).mean(0))


def _watch(attention, asking: Mapping[int, Regions], size: Sequence[int], seen: Mapping[int, list[Tensor]]):
    """Hooks on a cross-attention's queries and then keys, which tell what its softmax does not give away."""
    came: list[Tensor] = []

    def keys(module: nn.Module, args: object, k: Tensor) -> None:
        q = came.pop()
        for i, regions in asking.items():
            heads = [attention.head_to_batch_dim(t[i : i + 1]) for t in (q, k)]
            share = attention.get_attention_scores(*heads).float().mean(0)
            maps = torch.stack([share[:, torch.tensor(t, device=q.device)].sum(1) for t in regions.tokens])
            maps = maps.unflatten(1, _sides(size, maps.shape[1]))
            seen[i].append(F.interpolate(maps[None], size=tuple(size), mode="bilinear")[0])

    queries = attention.to_q.register_forward_hook(lambda module, args, q: came.append(q))
    return queries, attention.to_k.register_forward_hook(keys)


def _sides(size: Sequence[int], places: int) -> tuple[int, int]:
    """Height and width of a layer of so many places; each level halves and rounds up."""
    h, w = size
    while h * w > places:
        h, w = -(-h // 2), -(-w // 2)
    return h, w
