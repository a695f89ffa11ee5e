"""The methods, and `learn`, which runs one of them. A new method is one file and one row here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from remembrandt.adapters.adapter import Adapter
from remembrandt.family.family import Family
from remembrandt.report import Event
from remembrandt.settings import Wrong, nearest
from remembrandt.training import options
from remembrandt.training.dreambooth import DreamBooth
from remembrandt.training.loop import Outcome, fit
from remembrandt.training.lora import Lora
from remembrandt.training.method import Lesson, Method, Stage, computing
from remembrandt.training.oft import Oft
from remembrandt.training.text_to_image import TextToImage
from remembrandt.training.textual_inversion import TextualInversion

METHODS: dict[str, type] = {
    "oft": Oft,
    "lora": Lora,
    "textual-inversion": TextualInversion,
    "dreambooth": DreamBooth,
    "text-to-image": TextToImage,
}

# The dataclasses' defaults suit a UNet of ten million weights; these suit one of a billion. Those of `dreambooth` are
# what BIG's authors found by hand; on its ladder `auto` looks where they looked.
LARGE: dict[str, dict[str, Any]] = {
    "oft": {"learning_rate": 1e-4, "token_rate": 5e-4, "steps": 800, "batch": 1, "warmup": 20},
    "lora": {"learning_rate": 1e-4, "token_rate": 5e-4, "steps": 800, "batch": 1, "warmup": 20},
    "textual-inversion": {"learning_rate": 5e-4, "steps": 2000, "batch": 4, "warmup": 20},
    "dreambooth": {"learning_rate": 1e-6, "steps": 600, "batch": 2, "num_class_images": 200},
    "text-to-image": {"learning_rate": 2e-6, "steps": 800, "batch": 2},
}


@dataclass(frozen=True, eq=False)
class Learned:
    """What a lesson left: an adapter, or None where `family.unet` itself was moved."""

    adapter: Adapter | None
    steps: int
    losses: list[float]


def method(name: str, values: Mapping[str, Any], family: Family | None = None) -> Method:
    """The method `name`: the user's `values` over the defaults for a network of this size."""
    if name not in METHODS:
        hint = nearest(name, list(METHODS))
        raise Wrong(f"there is no method {name!r}.{hint} Methods: {', '.join(METHODS)}")
    large = family is not None and family.unet.config["block_out_channels"][0] >= 256
    return options.build(METHODS[name], {**(LARGE[name] if large else {}), **values})


def moved(method: Method) -> tuple[str, ...]:
    """The networks of the family that a lesson itself moves; none where it teaches an adapter."""
    if method.added:
        return ()
    return ("unet", "text_encoder") if getattr(method, "text_rate", 0) else ("unet",)


def describe() -> list[dict]:
    """`{name, about, memories, options}` of every method."""
    return [
        {
            "name": name,
            "about": (kind.__doc__ or "").strip(),
            "memories": list(kind().memories),
            "options": options.describe(kind),
        }
        for name, kind in METHODS.items()
    ]


def learn(
    method: Method,
    family: Family,
    lesson: Lesson,
    *,
    folder: Path | None = None,
    progress: Callable[[Event], None] = lambda event: None,
    every: Mapping[int, Callable[[int, Adapter | None], object]] | None = None,
) -> Learned:
    """Teach `lesson` by `method`, from the newest checkpoint under `folder` if there is one.

    `every[n](step, adapter so far)` is called after each n-th step, for a preview; for that moment
    the network wears nothing. Raises `loop.Diverged`; whatever `progress` raises passes through and
    leaves a checkpoint.
    """
    outcome: Outcome | None = None
    stages = method.stages(family, lesson)
    for stage in stages:
        with stage.around(), sparing(family, getattr(method, "gradient_checkpointing", False)):
            outcome = fit(
                stage.loss,
                stage.parameters,
                replace(stage.plan, accumulate=getattr(method, "gradient_accumulation", 1)),
                folder=folder,
                stage=stage.name,
                progress=progress,
                scale=stage.scale,
                every={n: _preview(stage, family, call) for n, call in (every or {}).items()},
            )
    assert outcome is not None
    return Learned(stages[-1].saved(), outcome.step, outcome.losses)


@contextmanager
def sparing(family: Family, checkpointing: bool) -> Iterator[None]:
    """Inside, the UNet keeps few activations and computes the others again on the way back."""
    if not checkpointing:
        yield
        return
    family.unet.enable_gradient_checkpointing()
    try:
        yield
    finally:
        family.unet.disable_gradient_checkpointing()


def _preview(
    stage: Stage, family: Family, call: Callable[[int, Adapter | None], object]
) -> Callable[[int], None]:
    def preview(step: int) -> None:
        stage.rest()
        with torch.no_grad(), computing(family):
            call(step, stage.saved())

    return preview
