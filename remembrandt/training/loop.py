"""The one training loop: whatever learns here (a lesson, a judge, the autoencoder, the painter) learns by `fit`.

The caller gives `loss(step)`. It must depend on nothing but the parameters, the seed and the step: that is what makes
a killed run go on bit for bit from its checkpoint, and several processes equal one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import Parameter

from remembrandt.report import Event
from remembrandt.training import checkpoint

OPTIMIZER = ("step", "exp_avg", "exp_avg_sq")  # of each parameter: one without a gradient does not count the step


class Diverged(RuntimeError):
    """The loss is no longer a number: the lesson ran and must not be published."""


@dataclass(frozen=True)
class Plan:
    """How long and how fast. `ema` is the decay of the averaged weights (0: none), `minutes` stops early but whole."""

    steps: int
    learning_rate: float
    warmup: int = 0
    decay: str = "constant"  # or "cosine": down to a twentieth
    weight_decay: float = 0.0
    beta2: float = 0.999
    clip: float = 1.0
    ema: float = 0.0
    checkpoint_every: int = 0
    minutes: float | None = None

    def rate(self, step: int) -> float:
        """The learning rate of `step` (0-based)."""
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        if self.decay == "constant":
            return self.learning_rate * rise
        return self.learning_rate * rise * (0.05 + 0.475 * (1 + math.cos(math.pi * min(1.0, step / self.steps))))


@dataclass(frozen=True)
class Outcome:
    """Where `fit` stopped: `step` of `steps`, the averaged weights (empty without EMA), the losses of this run."""

    step: int
    finished: bool
    average: dict[str, Tensor]
    losses: list[float]


def fit(
    loss: Callable[[int], Tensor],
    parameters: Mapping[str, Parameter],
    plan: Plan,
    *,
    folder: Path | None = None,
    stage: str = "training",
    progress: Callable[[Event], None] = lambda event: None,
    scale: Callable[[str], float] = lambda name: 1.0,
    every: Mapping[int, Callable[[int], object]] | None = None,
) -> Outcome:
    """Minimise `loss(step)` over `parameters` by AdamW, from the newest checkpoint under `folder` if there is one.

    `scale(name)` multiplies the learning rate of a parameter; `every[n](step)` is called after each n-th step.
    Whatever `progress` raises (a cancel) leaves a checkpoint behind. Raises `Diverged` at a loss that is not finite.
    """
    from accelerate import Accelerator  # a second of import that only training should pay

    accelerator = Accelerator(step_scheduler_with_optimizer=False)
    rates = sorted({scale(name) for name in parameters})
    groups = [{"params": [p for n, p in parameters.items() if scale(n) == r], "rate": r} for r in rates]
    optimizer = torch.optim.AdamW(
        groups, lr=plan.learning_rate, betas=(0.9, plan.beta2), weight_decay=plan.weight_decay, fused=True
    )
    average = {n: p.detach().clone() for n, p in parameters.items()} if plan.ema else {}
    first = _resume(folder, parameters, average, optimizer)
    step, losses, began, saved = first, [], time.monotonic(), first

    def keep() -> None:
        nonlocal saved
        if folder is not None and accelerator.is_main_process and saved != step:
            _save(folder, step, parameters, average, optimizer, plan)
            saved = step

    try:
        while step < plan.steps:
            if plan.minutes is not None and time.monotonic() - began > plan.minutes * 60:
                break
            for group in optimizer.param_groups:
                group["lr"] = plan.rate(step) * group["rate"]
            value = loss(step)
            accelerator.backward(value)
            if accelerator.num_processes > 1:
                for p in parameters.values():
                    p.grad = accelerator.reduce(p.grad, "mean")  # type: ignore[assignment]
            torch.nn.utils.clip_grad_norm_(list(parameters.values()), plan.clip)
            losses.append(value.item())
            if not math.isfinite(losses[-1]):
                raise Diverged(f"the loss became {losses[-1]} at step {step}; a lower learning rate would help")
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if average:
                decay = min(plan.ema, (step + 1) / (step + 10))
                torch._foreach_lerp_(list(average.values()), [p.detach() for p in parameters.values()], 1 - decay)
            step += 1
            for n, call in (every or {}).items():
                if step % n == 0:
                    call(step)
            if plan.checkpoint_every and step % plan.checkpoint_every == 0:
                keep()
            progress(Event(stage, step, plan.steps, loss=losses[-1]))
    except Diverged:
        raise
    except BaseException:
        optimizer.zero_grad(set_to_none=True)
        keep()
        raise
    if step < plan.steps:
        keep()
    return Outcome(step, step >= plan.steps, average, losses)


def _save(folder: Path, step: int, parameters, average, optimizer, plan: Plan) -> None:
    moments = {
        f"{kind}.{name}": optimizer.state[p][kind]
        for name, p in parameters.items()
        for kind in OPTIMIZER
        if p in optimizer.state
    }
    groups = {"parameters": dict(parameters), "optimizer": moments} | ({"average": average} if average else {})
    facts = {"plan": asdict(plan), "threads": torch.get_num_threads(), "torch": torch.__version__}
    checkpoint.save(folder, step, groups, facts)


def _resume(folder: Path | None, parameters, average, optimizer) -> int:
    found = checkpoint.latest(folder) if folder else None
    if found is None:
        return 0
    step, groups, _ = found
    with torch.no_grad():
        moments = groups["optimizer"]
        for name, p in parameters.items():
            p.copy_(groups["parameters"][name])
            if f"step.{name}" in moments:
                optimizer.state[p] = {kind: moments[f"{kind}.{name}"].to(p.device) for kind in OPTIMIZER}
        for name, a in average.items():
            a.copy_(groups["average"][name])
    return step
