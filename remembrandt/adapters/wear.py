"""Who wears what in a batch: hooks on the frozen network's layers, no module replaced.

A row that wears nothing goes through untouched, to the bit: that is the half of the gate that lies
in the network (the other half is that prompts without the identifier tokenise and encode as
before). Rows that wear different adapters of one shape share one batched product: what 8 adapters
cost beside one is to read their weights.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, final

import torch
from torch import Tensor, nn

from remembrandt.adapters import lora, oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.settings import Wrong

By = Literal["both", "half", "prompt"]  # half: "nothing" at half the strength


@dataclass(frozen=True)
class Worn:
    """An adapter at a strength (1 as taught, 0 the base).

    `by` tells the engine how the row of "nothing" wears it; `phrase`, a concept's identifier and category, and `style`
    what it needs to know to compose. With `tokens`, one for each of the prompt's, it changes keys and values alone, and
    only at these.
    """

    adapter: Adapter
    strength: float = 1.0
    by: By = "both"
    phrase: tuple[str, str] | None = None
    style: bool = False
    tokens: tuple[bool, ...] | None = None


Outfit = tuple[Worn, ...]
Ready = Mapping[str, tuple[Tensor, ...]]  # what a kind made of an outfit, by layer
LOCAL = "@"
SAID = re.compile(r"\.attn2\.to_[kv]$")  # the layers that read the prompt
Sum = Sequence[tuple[Mapping[str, Mapping[str, Tensor]], float]]


@dataclass(frozen=True)
class Kind:
    """How adapters of one kind act: `prepare` once a request, then `before` or `added` at a layer.

    Both act on worn rows only: `before` gives the layer another input, `added` what is added to its
    output, from the input as it came. What is prepared for a layer are one or more tensors, which
    both take as they are, for all rows, or with a leading dimension, one for each. `merged` gives
    the weight that does the same for every row.
    """

    prepare: Callable[[Sum], Ready]
    fits: Callable[..., bool]
    merged: Callable[..., Tensor]
    before: Callable[..., Tensor] | None = None
    added: Callable[..., Tensor] | None = None


KINDS: dict[str, Kind] = {
    "oft": Kind(
        lambda worn: {layer: (rotation,) for layer, rotation in oft.prepare(worn).items()},
        oft.fits,
        oft.merged,
        before=oft.turn,
    ),
    "lora": Kind(lora.prepare, lora.fits, lora.merged, added=lora.added),
    "textual-inversion": Kind(lambda worn: {}, lambda layer: False, lambda weight: weight),
}


@dataclass(frozen=True)
class Fit:
    """What some rows of the batch wear at one layer; `rows` None means all of them."""

    kind: Kind
    parts: tuple[Tensor, ...]
    rows: Tensor | None = None


Fitted = dict[str, list[Fit]]


@final
class Wardrobe:
    """What outfits come to on one network, a UNet or with `text` a text encoder: prepared once for
    as long as they are worn.
    """

    def __init__(self, network: nn.Module, *, text: bool = False):
        self._network, self._text = stem(network), text
        self._prepared: dict[Outfit, dict[str, Ready]] = {}
        self._batches: dict[tuple[Outfit, ...], Fitted] = {}
        self._used: set[tuple[Outfit, ...]] = set()

    @contextmanager
    def __call__(self, rows: Sequence[Outfit]) -> Iterator[None]:
        """Inside, row i of every call of the network wears `rows[i]`."""
        batch = tuple(tuple(w for w in outfit if w.strength != 0) for outfit in rows)
        if not any(batch):
            yield
            return
        self._used.add(batch)
        if batch not in self._batches:
            for outfit in {o for o in batch if o} - self._prepared.keys():
                self._prepared[outfit] = prepared(self._network, outfit, text=self._text)
            self._batches[batch] = fitted(self._network, [self._prepared.get(o, {}) for o in batch])
        with hooked(self._network, self._batches[batch], len(rows)):
            yield

    def keep(self, outfits: Collection[Outfit]) -> None:
        """Forget all but these, and the batches that were not called since the last time."""
        self._prepared = {o: made for o, made in self._prepared.items() if o in outfits}
        known = {(), *self._prepared}
        self._batches = {b: f for b, f in self._batches.items() if b in self._used and known.issuperset(b)}
        self._used.clear()


def wear(unet: nn.Module, rows: Sequence[Outfit]):
    """A context in which row i of every call of `unet` wears `rows[i]`."""
    return Wardrobe(unet)(rows)


def stem(network: nn.Module) -> nn.Module:
    """Where layers are named from: before transformers 5.6 a CLIPTextModel held them one level down."""
    found = getattr(network, "text_model", network)
    assert isinstance(found, nn.Module)
    return found


def prepared(network: nn.Module, outfit: Outfit, *, text: bool = False) -> dict[str, Ready]:
    """What each kind makes of an outfit's adapters together; `Wrong` if they do not fit.

    The keys are names of kinds; what acts at some tokens alone has a key for each set of them.
    """
    device = next(network.parameters()).device
    ready: dict[str, Ready] = {}
    groups: dict[tuple, list[Worn]] = {}
    for worn in outfit:
        groups.setdefault((worn.adapter.kind, worn.tokens), []).append(worn)
    for number, ((name, tokens), mine) in enumerate(groups.items()):
        if name not in KINDS:
            raise Wrong(f"this version knows no adapters of kind {name!r}: it knows {', '.join(KINDS)}")
        made = KINDS[name].prepare([(w.adapter.to(device).part(text=text), w.strength) for w in mine])
        if tokens is not None:
            name, where = f"{name}{LOCAL}{number}", torch.tensor(tokens, device=device)[:, None]
            made = {layer: (*parts, where) for layer, parts in made.items() if SAID.search(layer)}
        ready[name] = made
        for layer, part in ready[name].items():
            if not _fits(network, layer, _kind(name), part):
                what = "text encoder" if text else "UNet"
                raise Wrong(f"the adapter does not fit this {what} at {layer}: use the base it was taught on")
    return ready


def fitted(network: nn.Module, rows: Sequence[Mapping[str, Ready]]) -> Fitted:
    """Rows whose parts have the same shapes at a layer act there in one product."""
    first = next(network.parameters())
    groups: dict[tuple, list[int]] = {}
    for i, row in enumerate(rows):
        for kind, ready in row.items():
            for layer, parts in ready.items():
                groups.setdefault((layer, kind, tuple(p.shape for p in parts)), []).append(i)
    index = {tuple(mine): torch.tensor(mine, device=first.device) for mine in groups.values()}
    fits: Fitted = {}
    for (layer, kind, _), mine in groups.items():
        each = [rows[i][kind][layer] for i in mine]
        stacked = tuple(_stacked(parts).to(first.dtype) for parts in zip(*each, strict=True))
        some = None if len(mine) == len(rows) else index[tuple(mine)]
        fits.setdefault(layer, []).append(Fit(_kind(kind), stacked, some))
    return fits


@contextmanager
def hooked(network: nn.Module, fits: Fitted, count: int | None = None) -> Iterator[None]:
    """Hooks that read `fits` at each call, so that a lesson may renew its entries between steps."""
    handles = []
    try:
        for layer, worn in fits.items():
            module = network.get_submodule(layer)
            before, after = _hooks(worn, count)
            handles.append(module.register_forward_pre_hook(before))
            handles.append(module.register_forward_hook(after))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _hooks(worn: list[Fit], count: int | None) -> tuple[Callable, Callable]:
    came: list[Tensor] = []  # the input of the call under way

    def before(module: nn.Module, args: tuple[Tensor, ...]):
        x = args[0]
        assert count is None or len(x) == count, f"{len(x)} rows came, {count} were dressed"
        came[:] = [x]
        for fit in worn:
            if act := fit.kind.before:
                turned = act(_some(fit.rows, x), *fit.parts)
                x = turned if fit.rows is None else x.index_copy(0, fit.rows, turned.to(x.dtype))
        return (x, *args[1:])

    def after(module: nn.Module, args: tuple[Tensor, ...], y: Tensor):
        x = came.pop()
        for fit in worn:
            if act := fit.kind.added:
                more = act(module, _some(fit.rows, x), *fit.parts).to(y.dtype)
                y = y + more if fit.rows is None else y.index_add(0, fit.rows, more)
        return y

    return before, after


def merge(network: nn.Module, adapter: Adapter, strength: float = 1.0, *, text: bool = False) -> Callable[[], None]:
    """Write the adapter into the weights, for every prompt from now on.

    Returns what takes it out again, to the bit; of several, the last first. Without keeping that,
    the same adapter at the opposite strength takes itself out, but for rounding.
    """
    network, before = stem(network), dict[nn.Parameter, Tensor]()
    for name, ready in prepared(network, (Worn(adapter, strength),), text=text).items():
        for layer, part in ready.items():
            held = network.get_submodule(layer).weight
            assert isinstance(held, nn.Parameter)
            before[held] = held.detach().clone()
            weight = KINDS[name].merged(held.detach(), *part)
            if not torch.isfinite(weight).all():
                raise Wrong(f"merging makes {layer} non-finite: the adapter is damaged, teach it again")
            with torch.no_grad():
                held.copy_(weight)

    @torch.no_grad()
    def unmerge() -> None:
        for held, weight in before.items():
            held.copy_(weight)

    return unmerge


def _kind(key: str) -> Kind:
    """The kind that a key of `prepared` means; at tokens its parts are followed by which, (n, 1)."""
    name, local, _ = key.partition(LOCAL)
    kind = KINDS[name]
    if not local:
        return kind
    turned, more = kind.before, kind.added
    return Kind(
        kind.prepare,
        lambda layer, *parts: kind.fits(layer, *parts[:-1]),
        kind.merged,
        turned and (lambda x, *parts: torch.where(parts[-1].bool(), turned(x, *parts[:-1]), x)),
        more and (lambda layer, x, *parts: more(layer, x, *parts[:-1]) * parts[-1]),
    )


def _fits(network: nn.Module, layer: str, kind: Kind, parts: tuple[Tensor, ...]) -> bool:
    try:
        return kind.fits(network.get_submodule(layer), *parts)
    except AttributeError:  # there is no such layer
        return False


def _some(rows: Tensor | None, x: Tensor) -> Tensor:
    return x if rows is None else x[rows]


def _stacked(parts: Sequence[Tensor]) -> Tensor:
    if all(p is parts[0] for p in parts):
        return parts[0].expand(len(parts), *parts[0].shape)
    return torch.stack(list(parts))
