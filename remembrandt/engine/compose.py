"""How several concepts that one prompt names act together: each way is one function and one row of `WAYS`.

A way cuts a picture into looks. Each is guided as a picture of its own. Where there are several, the first lays the
picture out; then every place of the latent is taken from the look that it belongs to, of which the second has what is
nobody's. One look that wears everything is what a single concept is, too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import permutations
from typing import final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from remembrandt.adapters.wear import Outfit
from remembrandt.conditions import text
from remembrandt.conditions.text import Phrase, Places
from remembrandt.family.family import Family
from remembrandt.tasks import Request, Say

SUMMED, LOCAL, ROUTED = "summed", "token-local", "routed"
DEFAULT = ROUTED  # what a prompt that names several concepts is painted by
FIRST = 0.3  # share of the model calls that lay a picture out
MOST = 6  # things that a picture is laid out for
ROUNDS = 10  # of finding where the things stand; they hardly move after three

Tokens = tuple[bool, ...]
Said = Mapping[Phrase, Tokens]  # which tokens of a text are a phrase's own


@dataclass(frozen=True, eq=False)
class Look:
    """What the prompt's row wears and that of "nothing". `said` is what this look is told, if not the prompt; `places`
    are where in the first look's text the thing stands whose look this is."""

    prompt: Outfit
    nothing: Outfit
    said: str | None = None
    places: Sequence[int] = ()
    tokens: Tensor | None = None  # `said`, encoded


@dataclass(frozen=True, eq=False)
class Asked:
    """A request as ways see it: both rows' outfits, which tokens of their texts are whose, and `plainly` (phrases), the
    prompt with bare categories in place of these."""

    prompt: Outfit
    nothing: Outfit
    said: Said
    unsaid: Said
    plainly: Callable[[Collection[Phrase]], tuple[str, Places]]


def summed(asked: Asked) -> list[Look]:
    """Everything acts everywhere: rotations add up in the Lie algebra, differences of weights as they are."""
    return [Look(asked.prompt, asked.nothing)]


def token_local(asked: Asked) -> list[Look]:
    """A concept changes keys and values only, and only at the tokens of its own noun phrase (Perfusion, TARA)."""

    def local(outfit: Outfit, said: Said) -> Outfit:
        there = [replace(w, tokens=said[w.phrase]) if w.phrase else w for w in outfit]
        return tuple(w for w in there if w.tokens is None or any(w.tokens))

    return [Look(local(asked.prompt, asked.said), local(asked.nothing, asked.unsaid))]


def routed(asked: Asked) -> list[Look]:
    """A subject acts where it stands; a style, and what has no tokens, everywhere.

    The base lays out "a painting of a dog beside a cat". Then each thing's region is painted as "a vlt painting of a
    brc dog beside a cat", by its adapter and the style's alone: no subject's queries meet another one's keys. What lies
    between is in the style, too.
    """
    known = [w for w in asked.prompt if w.phrase and any(asked.said[w.phrase])]
    own = [w for w in known if not w.style]
    phrases = [w.phrase for w in own if w.phrase]
    if not 0 < len(phrases) <= MOST:
        return summed(asked)
    laid, places = asked.plainly([w.phrase for w in known if w.phrase])

    def but(outfit: Outfit, left: Outfit) -> Outfit:
        return tuple(w for w in outfit if all(w.phrase != one.phrase for one in left))

    def look(phrase: Phrase | None = None) -> Look:
        others = tuple(w for w in own if w.phrase != phrase)
        said, _ = asked.plainly([p for p in phrases if p != phrase])
        return Look(but(asked.prompt, others), but(asked.nothing, others), said, places[phrase] if phrase else ())

    between, bare = look(), tuple(known)
    layout = between if between.said == laid else Look(but(asked.prompt, bare), but(asked.nothing, bare), laid)
    return [layout, between, *map(look, phrases)]


WAYS: dict[str, Callable[[Asked], list[Look]]] = {
    SUMMED: summed,
    LOCAL: token_local,
    ROUTED: routed,
}


def looks(family: Family, request: Request, length: int, say: Say) -> list[Look]:
    """The looks of a request's pictures, whose prompt has `length` tokens.

    Without a prompt's row, at guidance 0, there is nothing to be told by.
    """
    way = SUMMED if request.guidance == 0 else request.composition
    phrases = {w.phrase for w in request.wears if w.phrase} if way != SUMMED else set()

    def said(prompt: str) -> Said:
        places = {p: {*text.places(family, prompt, p, request.words)} for p in phrases}
        return {p: tuple(k in own for k in range(length)) for p, own in places.items()}

    def plainly(some: Collection[Phrase]) -> tuple[str, Places]:
        return text.plainly(family, request.prompt, some, request.words)

    found = WAYS[way](Asked(*request.outfits, said(request.prompt), said(request.negative), plainly))
    told = lambda look: look.said and say([look.said], request.words, [look.prompt])  # noqa: E731
    made = {look: replace(look, tokens=told(look)) for look in found}
    return [made[look] for look in found]


@final
class Regions:
    """Which places of one picture belong to which look: told by its first `calls` model calls, then kept."""

    def __init__(self, looks: Sequence[Look], calls: int):
        self.places = [look.places for look in looks[2:]]
        self._left = max(1, math.ceil(FIRST * calls))
        self._seen: Tensor | None = None
        self._owners: Tensor | None = None

    @property
    def open(self) -> bool:
        """Whether more is to be seen: the first look still paints alone."""
        return self._left > 0

    def see(self, maps: Tensor) -> None:
        """(things, h, w): how much of each place's attention goes to each thing's tokens."""
        self._seen = maps if self._seen is None else self._seen + maps
        self._left -= 1

    def owners(self) -> Tensor:
        """(h, w): the number of the thing that stands there, from 1; 0 where none does.

        A thing stands where its share of the attention is above its own mean. These places are cut into as many groups
        as there are things, and groups and things are matched so that the shares there are highest.
        """
        if self._owners is None:
            assert self._seen is not None, "nothing was seen yet"
            share = (self._seen / self._seen.mean((1, 2), keepdim=True)).float().cpu()
            weight = (share.amax(0) - 1).clamp_min(0)
            where = weight.nonzero()
            group = grouped(where.float(), weight[weight > 0], len(share))
            there = share[:, weight > 0]
            held = [there[:, group == g].sum(1) / (group == g).sum().clamp_min(1) for g in range(len(share))]
            ways = permutations(range(len(share)))  # group g goes to thing way[g]
            way = max(ways, key=lambda way: sum(float(held[g][thing]) for g, thing in enumerate(way)))
            self._owners = torch.zeros_like(weight, dtype=torch.long)
            self._owners[weight > 0] = torch.tensor(way)[group] + 1
        return self._owners

    def blend(self, estimates: Sequence[Tensor]) -> Tensor:
        """One estimate (1, c, h, w): what is nobody's from the first, each thing's places from its own."""
        owners, found = self.owners().to(estimates[0].device), estimates[0]
        for number, estimate in enumerate(estimates[1:], 1):
            found = torch.where(owners == number, estimate, found)
        return found


def grouped(where: Tensor, weight: Tensor, count: int) -> Tensor:
    """The group of each of `where` (n, 2): weighted k-means (Lloyd 1982), begun along the longest axis."""
    centre = lambda w: (where * w[:, None]).sum(0) / w.sum().clamp_min(1e-6)  # noqa: E731
    away = where - centre(weight)
    spread, axes = torch.linalg.eigh((away * weight[:, None]).T @ away / weight.sum().clamp_min(1e-6))
    along = torch.linspace(-1, 1, count)[:, None] * spread[-1].clamp_min(0).sqrt()
    centres = centre(weight) + along * axes[:, -1]
    group = torch.cdist(where, centres).argmin(1)
    for _ in range(ROUNDS):
        centres = torch.stack([centre(weight * (group == g)) for g in range(count)])
        group = torch.cdist(where, centres).argmin(1)
    return group


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
            maps = torch.stack([share[:, list(own)].sum(1) for own in regions.places])
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
