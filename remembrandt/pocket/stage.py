"""What the stages of the recipe share: the work folder, how much of everything, and how anything is trained in it."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import nn

from remembrandt.evaluation.judges import unpacked
from remembrandt.family import delta, weights
from remembrandt.family.device import choose_device
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.report import Event
from remembrandt.training.dreambooth import exact
from remembrandt.training.loop import Plan, fit

RESULT = "result"  # a stage's finished network, inside its folder
UNFINISHED = "unfinished"  # stands beside a result that more minutes would better

M = TypeVar("M", bound=nn.Module)


@dataclass(frozen=True)
class Sizes:
    """How much of everything. The defaults are what the tracked weights were made with on two cores."""

    shards: int = 50
    litters: int = 30  # shards of portraits, for telling instances apart
    smeared: int = 5  # shards of either kind as a painter would leave them
    autoencoder: int = 24_000
    whole: int = 5_300  # of the autoencoder's steps, how many finish the decoder on whole pictures
    towers: int = 14_300
    readers: int = 24_400
    instances: int = 17_500
    painter: int = 32_000
    attention: int = 2_000  # steps in which only the cross-attention of the variations model moves
    variations: int = 6_000
    inpaint: int = 2_400
    masked: int = 3  # shards that the inpainting model is trained on, each under two masks
    batch: int = 32
    guarded: int = 1_200  # renders that the safety checker's threshold is chosen and measured on


@dataclass(frozen=True)
class Work:
    """The ignored folder that holds pictures, checkpoints and finished parts, where the family goes, and when to stop.

    Training starts from the family that `out` holds, if any, unless it is to begin `afresh`.
    """

    folder: Path
    out: Path
    sizes: Sizes
    until: float | None = None
    afresh: bool = False

    @property
    def device(self) -> torch.device:
        return choose_device()

    @property
    def shipped(self) -> bool:
        """Whether there is a family to go on from."""
        return self.out.exists() and not self.afresh

    @property
    def revision(self) -> int:
        """Of the family that is there; 0 if there is none."""
        record = self.out / "remembrandt.json"
        return json.loads(record.read_text())["revision"] if record.exists() else 0

    def chance(self, stream: int) -> int:
        """A seed: who trains on must not be shown what was shown before, in the same order."""
        return stream + 1_000 * self.revision

    def minutes(self) -> float | None:
        return None if self.until is None else max(0.0, (self.until - time.monotonic()) / 60)

    def __truediv__(self, name: str) -> Path:
        return self.folder / name


class Stopped(Exception):
    """The minutes given are over; everything is written and the next call goes on."""


def begun(work: Work, part: str, network: M) -> M:
    """`network` with the weights of that part of the shipped family, if it is there and fits."""
    files = sorted((work.out / part).glob("*.safetensors"))
    if work.afresh or not files:
        return network
    stored = unpacked({k: v for file in files for k, v in load_file(file).items()})
    known = network.state_dict()
    if all(k in stored and stored[k].shape == v.shape for k, v in known.items()):
        network.load_state_dict({k: stored[k] for k in known})
        print(f"{part}: from {work.out}", flush=True)
    return network


def standing(work: Work, name: str) -> tuple[Family, str] | None:
    """The family in `out`, for the task model `name` that is made of it, and the name of that in the work folder; None
    where it stands beside the family already."""
    family = load(work.out, device=str(work.device), precision="bf16")
    if delta.made_of(work.out.with_name(name), family):
        return None
    exact(family)
    return family, f"{name}-{weights.digest(family.held)[:8]}"


def ship(work: Work, begun: str, family: Family, unet: UNet2DConditionModel, name: str, **how: Any) -> None:
    """Store what `unet` differs by from the family's as the task model `name`; `how` as `delta.save`."""
    place, target = work / begun / "model", work.out.with_name(name)
    shutil.rmtree(place, ignore_errors=True)
    rounding = delta.save(family, unet, place, name=name, **how)
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(place, target)
    print(f"{name}: {rounding}", flush=True)


def train(
    work: Work, name: str, parts: Mapping[str, nn.Module], loss: Callable[[int], torch.Tensor], plan: Plan
) -> None:
    """Fit `parts` and leave them averaged, ready to be saved; raises Stopped when the minutes are over."""
    for m in parts.values():
        m.to(work.device)
    parameters = {f"{part}.{n}": p for part, m in parts.items() for n, p in m.named_parameters() if p.requires_grad}
    plan = replace(plan, minutes=work.minutes(), checkpoint_every=500)
    began, recent = time.monotonic(), []

    def tell(event: Event) -> None:
        if event.loss is None:
            return print(f"{name}: {event.message}", flush=True)
        recent.append(event.loss)
        if event.step % 100 == 0:
            pace = (time.monotonic() - began) / len(recent)
            left = pace * (event.total - event.step) / 60
            print(
                f"{name} {event.step}/{event.total} loss {np.mean(recent[-100:]):.4f} {left:.0f} min left", flush=True
            )

    outcome = fit(loss, parameters, plan, folder=work / name, stage=name, progress=tell)
    (work / name).mkdir(parents=True, exist_ok=True)
    (work / name / UNFINISHED).touch()
    if outcome.finished:
        (work / name / UNFINISHED).unlink()
    elif name != "painter":  # half a painter is worth looking at, half a judge is not worth hearing
        raise Stopped
    with torch.no_grad():
        for n, p in parameters.items():
            p.copy_(outcome.average[n] if outcome.average else p)
    for m in parts.values():
        m.eval().cpu()
