"""Rows of a batch, and how the rows of a picture that is seen in windows are cut and joined."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from torch import Tensor

from remembrandt.adapters.wear import Outfit
from remembrandt.conditions.condition import Condition, Control
from remembrandt.conditions.enlarging import Windows
from remembrandt.engine.compose import Regions


@dataclass(frozen=True, eq=False)
class Row:
    """One row of a batch: a latent at a level, what steers it, what it wears."""

    x: Tensor
    sigma: float
    t: float
    condition: Condition
    outfit: Outfit
    regions: Regions | None = None  # to be told where its cross-attention looks

    @property
    def key(self) -> tuple:
        """Rows with the same key can share a call."""
        extra = self.condition.channels
        told, beside = self.condition.label is not None, tuple(control.network for control in self.controls)
        return self.x.shape, self.condition.tokens.shape, None if extra is None else extra.shape, told, beside

    @cached_property
    def controls(self) -> tuple[Control, ...]:
        """Those that act at its level."""
        return tuple(control for control in self.condition.residual if control.acts(self.sigma))

    @property
    def wears(self) -> Outfit:
        """Its outfit, and what controls turn the UNet by."""
        return (*self.outfit, *(control.worn for control in self.controls if control.worn))


def each(rows: list[Row], windows: Windows | None) -> list[Row]:
    """The rows, each for every window if there are some."""
    if windows is None:
        return rows
    cut = {row: _cut(row, windows) for row in dict.fromkeys(rows)}
    return [part for row in rows for part in cut[row]]


def joined(estimates: Sequence[Tensor], windows: Windows | None) -> Sequence[Tensor]:
    """One estimate for each row, of those of its windows."""
    if windows is None:
        return estimates
    many = len(windows)
    return [windows.join(estimates[k : k + many]) for k in range(0, len(estimates), many)]


def _cut(row: Row, windows: Windows) -> list[Row]:
    parts = windows.cut(row.x)
    beside = [None] * len(parts) if row.condition.channels is None else windows.cut(row.condition.channels)
    pairs = zip(parts, beside, strict=True)
    return [replace(row, x=x, condition=replace(row.condition, channels=c)) for x, c in pairs]
