"""The one training loop: whatever learns here (a lesson, a judge, the autoencoder, the painter) learns by `fit`.

The caller gives `loss(step)`. It must depend on nothing but the parameters, the seed and the step: that is what makes
a killed run go on bit for bit from its checkpoint, and several processes equal one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import Parameter

from remembrandt.report import Event
from remembrandt.training import checkpoint

OPTIMIZER = ("step", "exp_avg", "exp_avg_sq")  # of each parameter: one without a gradient does not count the step

LIBRARIES = ("torch", "diffusers", "transformers")


class Diverged(RuntimeError):
    """Something is no longer a number after `step` steps: the lesson ran and must not be published."""

    def __init__(self, what: str, step: int) -> None:
        super().__init__(f"{what} at step {step}; a lower learning rate would help")
        self.step = step


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
    accumulate: int = 1  # calls of the loss whose gradients one step takes together: numbers step * accumulate + k

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
    Whatever `progress` raises (a cancel) leaves a checkpoint behind. Raises `Diverged` at a loss, or in the end at a
    parameter, that is not finite. What differs from the checkpoint's surroundings is told, not refused.
    """
    from accelerate import Accelerator  # a second of import that only training should pay

    here = next(iter(parameters.values())).device
    accelerator = Accelerator(cpu=here.type == "cpu", step_scheduler_with_optimizer=False)
    rates = sorted({scale(name) for name in parameters})
    groups = [{"params": [p for n, p in parameters.items() if scale(n) == r], "rate": r} for r in rates]
    optimizer = torch.optim.AdamW(
        groups, lr=plan.learning_rate, betas=(0.9, plan.beta2), weight_decay=plan.weight_decay, fused=True
    )
    average = {n: p.detach().clone() for n, p in parameters.items()} if plan.ema else {}
    first, strange = _resume(folder, parameters, average, optimizer, plan)
    step, losses, began, saved = first, [], time.monotonic(), first
    if strange:
        progress(Event(stage, step, plan.steps, message=f"not as at the last checkpoint: {strange}"))

    def keep() -> None:
        nonlocal saved
        if folder is not None and accelerator.is_main_process and saved != step:
            _save(folder, step, parameters, average, optimizer, plan)
            saved = step

    def due() -> None:
        for n, call in (every or {}).items():
            if step % n == 0:
                call(step)

    try:
        if first:
            due()  # what was interrupted there; the hooks see to it that nothing is done twice
        while step < plan.steps:
            if plan.minutes is not None and time.monotonic() - began > plan.minutes * 60:
                break
            for group in optimizer.param_groups:
                group["lr"] = plan.rate(step) * group["rate"]
            value = 0.0
            for k in range(plan.accumulate):
                piece = loss(step * plan.accumulate + k) / plan.accumulate
                accelerator.backward(piece)
                value += piece.item()
            if accelerator.num_processes > 1:
                value = accelerator.reduce(torch.tensor(value, device=accelerator.device), "mean").item()  # type: ignore
                for p in parameters.values():
                    p.grad = accelerator.reduce(p.grad, "mean")  # type: ignore[assignment]
            torch.nn.utils.clip_grad_norm_(list(parameters.values()), plan.clip)
            losses.append(value)
            if not math.isfinite(losses[-1]):
                raise Diverged(f"the loss became {losses[-1]}", step)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            if average:
                decay = min(plan.ema, (step + 1) / (step + 10))
                torch._foreach_lerp_(list(average.values()), [p.detach() for p in parameters.values()], 1 - decay)
            step += 1
            due()
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
    elif not all(torch.isfinite(p).all() for p in parameters.values()):  # which no loss has seen
        raise Diverged("the weights became infinite or no number", step)
    return Outcome(step, step >= plan.steps, average, losses)


def _save(folder: Path, step: int, parameters, average, optimizer, plan: Plan) -> None:
    moments = {
        f"{kind}.{name}": optimizer.state[p][kind]
        for name, p in parameters.items()
        for kind in OPTIMIZER
        if p in optimizer.state
    }
    groups = {"parameters": dict(parameters), "optimizer": moments} | ({"average": average} if average else {})
    checkpoint.save(folder, step, groups, _surroundings(parameters, plan))


def _surroundings(parameters: Mapping[str, Parameter], plan: Plan) -> dict[str, Any]:
    """What a step's last bits depend on, beside parameters, seed and step."""
    some = next(iter(parameters.values()))
    return {
        "plan": asdict(plan),
        "threads": torch.get_num_threads(),
        "device": some.device.type,
        "dtype": str(some.dtype).removeprefix("torch."),
        **{name: version(name) for name in LIBRARIES},
    }


def _resume(folder: Path | None, parameters, average, optimizer, plan: Plan) -> tuple[int, str]:
    """The step of the newest checkpoint, and what has changed since: from there on bits may differ."""
    found = checkpoint.latest(folder) if folder else None
    if found is None:
        return 0, ""
    step, groups, then = found
    now = _surroundings(parameters, plan)
    strange = ", ".join(f"{k} {then[k]}, now {now[k]}" for k in now if k != "plan" and then.get(k, now[k]) != now[k])
    if then["plan"] != now["plan"]:
        changed = [k for k, value in now["plan"].items() if then["plan"].get(k) != value]
        strange = ", ".join([s for s in (strange, f"the plan's {', '.join(changed)}") if s])
    with torch.no_grad():
        moments = groups["optimizer"]
        for name, p in parameters.items():
            p.copy_(groups["parameters"][name])
            if f"step.{name}" in moments:
                optimizer.state[p] = {kind: moments[f"{kind}.{name}"].to(p.device) for kind in OPTIMIZER}
        for name, a in average.items():
            a.copy_(groups["average"][name])
    return step, strange
