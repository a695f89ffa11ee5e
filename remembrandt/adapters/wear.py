"""Who wears what in a batch: hooks on the frozen network's linears, no module replaced.

A row that wears nothing goes through untouched, to the bit: that is the half of the gate that lies
in the network (the other half is that prompts without the identifier tokenise and encode as
before).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.settings import Wrong


@dataclass(frozen=True)
class Worn:
    """An adapter at a strength (1 as taught, 0 the base).

    `by` tells the engine which of a picture's rows wear it.
    """

    adapter: Adapter
    strength: float = 1.0
    by: Literal["both", "prompt"] = "both"


Outfit = tuple[Worn, ...]
Ready = Mapping[str, Any]  # what a kind made of an outfit, by layer
Sum = Sequence[tuple[Mapping[str, Mapping[str, Tensor]], float]]


@dataclass(frozen=True)
class Kind:
    """How adapters of one kind act: `prepare` once a request, then `before` or `after` a linear.

    Both act on worn rows only; `after` gets the linear's input and output. `merged` gives the
    weight (out, in) that does the same for every row.
    """

    prepare: Callable[[Sum], Ready]
    fits: Callable[[nn.Linear, Any], bool]
    merged: Callable[[Tensor, Any], Tensor]
    before: Callable[[Tensor, Any], Tensor] | None = None
    after: Callable[[Tensor, Tensor, Any], Tensor] | None = None


KINDS: dict[str, Kind] = {"oft": Kind(oft.prepare, oft.fits, oft.merged, before=oft.turn)}


@dataclass(frozen=True)
class Fit:
    """What some rows of the batch wear at one layer; `rows` None means all of them."""

    kind: Kind
    ready: Any
    rows: Tensor | None


Fitted = dict[str, list[Fit]]


@contextmanager
def wear(unet: nn.Module, rows: Sequence[Outfit], cache: dict | None = None) -> Iterator[None]:
    """Inside, row i of every call of `unet` wears `rows[i]`.

    `cache`, a dict kept as long as the requests last, holds what was prepared for their outfits.
    """
    rows = [tuple(w for w in outfit if w.strength != 0) for outfit in rows]
    if not any(rows):
        yield
        return
    with hooked(unet, fitted(unet, rows, {} if cache is None else cache), len(rows)):
        yield


def fitted(unet: nn.Module, rows: Sequence[Outfit], cache: dict) -> Fitted:
    """Group the rows by outfit and prepare each outfit once."""
    device = next(unet.parameters()).device
    fits: Fitted = {}
    for outfit in dict.fromkeys(o for o in rows if o):
        mine = [i for i, o in enumerate(rows) if o == outfit]
        index = None if len(mine) == len(rows) else torch.tensor(mine, device=device)
        if outfit not in cache:
            cache[outfit] = prepared(unet, outfit)
        for name, ready in cache[outfit].items():
            for layer, part in ready.items():
                fits.setdefault(layer, []).append(Fit(KINDS[name], part, index))
    return fits


def prepared(unet: nn.Module, outfit: Outfit) -> dict[str, Ready]:
    """What each kind makes of an outfit's adapters together; `Wrong` if they do not fit."""
    device = next(unet.parameters()).device
    ready = {}
    for name in dict.fromkeys(w.adapter.kind for w in outfit):
        if name not in KINDS:
            raise Wrong(
                f"this version knows no adapters of kind {name!r}: it knows {', '.join(KINDS)}"
            )
        together = [
            (w.adapter.to(device).tensors, w.strength) for w in outfit if w.adapter.kind == name
        ]
        ready[name] = KINDS[name].prepare(together)
        _check(unet, name, ready[name])
    return ready


@contextmanager
def hooked(unet: nn.Module, fits: Fitted, count: int | None = None) -> Iterator[None]:
    """Hooks that read `fits` at each call, so that a lesson may renew its entries between steps."""

    def before(layer: str):
        def hook(module: nn.Module, args: tuple[Tensor, ...]):
            x = args[0]
            assert count is None or len(x) == count, f"{len(x)} rows came, {count} were dressed"
            for fit in fits[layer]:
                if act := fit.kind.before:
                    x = _laid(fit.rows, x, act(_some(fit.rows, x), fit.ready))
            return (x, *args[1:])

        return hook

    def after(layer: str):
        def hook(module: nn.Module, args: tuple[Tensor, ...], y: Tensor):
            for fit in fits[layer]:
                if act := fit.kind.after:
                    parts = _some(fit.rows, args[0]), _some(fit.rows, y)
                    y = _laid(fit.rows, y, act(*parts, fit.ready))
            return y

        return hook

    handles = []
    try:
        for layer in fits:
            module = unet.get_submodule(layer)
            handles.append(module.register_forward_pre_hook(before(layer)))
            if any(kind.after for kind in KINDS.values()):
                handles.append(module.register_forward_hook(after(layer)))
        yield
    finally:
        for handle in handles:
            handle.remove()


def merge(unet: nn.Module, adapter: Adapter, strength: float = 1.0) -> None:
    """Write the adapter into the weights, for every prompt from now on.

    At the opposite strength the same adapter of kind `oft` takes itself out again.
    """
    for name, ready in prepared(unet, (Worn(adapter, strength),)).items():
        with torch.no_grad():
            for layer, part in ready.items():
                module = unet.get_submodule(layer)
                assert isinstance(module, nn.Linear)
                weight = KINDS[name].merged(module.weight, part)
                if not torch.isfinite(weight).all():
                    raise Wrong(
                        f"merging makes {layer} non-finite: the adapter is damaged, teach it again"
                    )
                module.weight.copy_(weight)


def _some(rows: Tensor | None, x: Tensor) -> Tensor:
    return x if rows is None else x[rows]


def _laid(rows: Tensor | None, x: Tensor, part: Tensor) -> Tensor:
    return part if rows is None else x.index_copy(0, rows, part.to(x.dtype))


def _check(unet: nn.Module, kind: str, ready: Ready) -> None:
    linears = oft.layers(unet)
    for layer, part in ready.items():
        if layer not in linears or not KINDS[kind].fits(linears[layer], part):
            raise Wrong(
                f"the adapter does not fit this UNet at {layer}: use the base it was taught on"
            )
