"""Controls: networks beside the UNet that see a hint (Zhang et al. 2023, arXiv 2302.05543).

What they say is added to what the UNet's down blocks hand over and to its middle, for the prompt's row and that of
"nothing" alike: there is no guess mode.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from remembrandt.conditions.condition import Control
from remembrandt.conditions.turned import Turned
from remembrandt.settings import Wrong

#: From what the UNet sees (n, c, h, w), times (n,) and tokens (n, L, D) to what is given to it beside these.
Residual = Callable[[Tensor, Tensor, Tensor], dict[str, Any]]


@dataclass(frozen=True, eq=False)
class Steer:
    """A control as it is asked for: `picture` uint8 (h, w, 3) is its hint, or the `hint` of that name is made of it.

    It counts by `weight`, on the steps from the share `start` of the walk to the share `end`.
    """

    name: str
    network: nn.Module
    picture: np.ndarray
    weight: float = 1.0
    start: float = 0.0
    end: float = 1.0
    hint: str | None = None


def beside(steers: Sequence[Steer], sigmas: Sequence[float], device: torch.device) -> tuple[Control, ...]:
    """The controls of a walk over these levels. What weighs nothing is none: its picture is the base's to the bit."""
    found = []
    for steer in steers:
        levels = window(sigmas, steer.start, steer.end)
        if levels is None:
            span = f"{steer.start:g} to {steer.end:g} of {len(sigmas) - 1} steps"
            raise Wrong(f"the control {steer.name} acts on no step, from {span}: give it more of either")
        if steer.weight:
            worn = steer.network.worn(steer.weight) if isinstance(steer.network, Turned) else None
            found.append(Control(steer.network, seen(steer.picture).to(device), steer.weight, *levels, worn))
    return tuple(found)


def seen(hint: np.ndarray) -> Tensor:
    """A hint uint8 (h, w, 3) as networks see it: (1, 3, h, w) in [0, 1]."""
    return torch.tensor(hint[None]).permute(0, 3, 1, 2).float() / 255


def window(sigmas: Sequence[float], start: float, end: float) -> tuple[float, float] | None:
    """The levels (`high`, `low`) of the steps that lie between two shares of a walk, as diffusers counts them: a step
    belongs to it whole or not at all. None if none does."""
    count = len(sigmas) - 1
    inside = [i for i in range(count) if i / count >= start and (i + 1) / count <= end]
    if not inside:
        return None
    first, last = inside[0], inside[-1] + 1
    return sigmas[first] if first else float("inf"), sigmas[last] if last < count else -1.0


def residual(rows: Sequence[Sequence[Control]]) -> Residual | None:
    """What the controls of each row add, all of them by the same networks in one order; None where there are none."""
    if all(control.worn for control in rows[0]):
        return None

    def added(x: Tensor, ts: Tensor, tokens: Tensor) -> dict[str, Any]:
        total: list[Tensor] = []
        for own in zip(*([c for c in row if not c.worn] for row in rows), strict=True):
            hints = torch.cat([control.hint for control in own]).to(x)
            weights = torch.tensor([control.weight for control in own], device=x.device).view(-1, 1, 1, 1).to(x)
            down, mid = own[0].network(x, ts, tokens, hints, return_dict=False)
            said = [part * weights for part in (*down, mid)]
            total = [a + b for a, b in zip(total, said, strict=True)] if total else said
        return {"down_block_additional_residuals": tuple(total[:-1]), "mid_block_additional_residual": total[-1]}

    return added
