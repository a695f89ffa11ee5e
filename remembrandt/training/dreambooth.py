"""The method `dreambooth`: all weights of the UNet move, class images keep the category in place.

Ruiz et al. 2022 (arXiv 2208.12242), eq. 2. The class images are painted by the very model that is
taught, under the prompt they are trained with, each from a seed of its own, and kept without loss.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.family.family import Family
from remembrandt.report import Event, write_atomic
from remembrandt.training.loop import Plan
from remembrandt.training.method import Lesson, Stage, denoising, encoder, freeze
from remembrandt.training.options import option

AT_ONCE = 16


@dataclass(frozen=True)
class DreamBooth:
    """All UNet weights, with prior preservation: for a model of its own."""

    steps: int = option(400, "steps of the lesson", low=1, high=1_000_000)
    learning_rate: float = option(5e-5, "of all weights of the UNet", low=1e-9, high=1)
    batch: int = option(8, "examples a step, photos and class images together", low=1, high=4096)
    num_class_images: int = option(
        64, "pictures of the category that hold it in place; 0: none", low=0, high=100_000
    )
    prior_weight: float = option(
        1.0, "weight of the class images beside that of the photos", low=0, high=100
    )
    warmup: int = option(10, "steps over which the learning rate rises", low=0)
    weight_decay: float = option(0.01, "of AdamW", low=0, high=1)
    dropout: float = option(
        0.1, "share of examples whose prompt is dropped, for guidance", low=0, high=1
    )
    clip: float = option(1.0, "largest norm of the gradient", low=0)
    checkpoint_every: int = option(200, "steps between checkpoints", low=0)

    @property
    def added(self) -> bool:
        return False

    @property
    def memories(self) -> tuple[str, ...]:
        return ("replay",)

    def stages(self, family: Family, lesson: Lesson) -> list[Stage]:
        """One stage: the UNet, in fp32 however the family runs."""
        freeze(family)
        tokens = encoder(family, lesson, lambda: lesson.words)
        plan = Plan(
            self.steps,
            self.learning_rate,
            warmup=self.warmup,
            weight_decay=self.weight_decay,
            clip=self.clip,
            checkpoint_every=self.checkpoint_every,
        )
        return [
            Stage(
                "teaching",
                dict(family.unet.named_parameters()),
                plan,
                denoising(family, lesson, tokens, self.batch, self.dropout),
                lambda: None,
                around=lambda: moving(family),
            )
        ]


@contextmanager
def moving(family: Family) -> Iterator[None]:
    """The UNet with gradients, in fp32, as it remains: what was learned is not rounded.

    A family that runs in half precision gets the digits back that its files have and it has not.
    """
    if family.unet.dtype != torch.float32:
        family.unet.float()
        exact = (family.stored or {}).get("unet", {})
        with torch.no_grad():
            for name, parameter in family.unet.named_parameters():
                if name in exact:
                    parameter.copy_(exact[name]())
    family.unet.requires_grad_(True)
    try:
        yield
    finally:
        family.unet.requires_grad_(False)


def class_pictures(
    family: Family,
    prompt: str,
    count: int,
    folder: Path,
    *,
    seed: int = 0,
    progress: Callable[[Event], None] = lambda event: None,
) -> list[np.ndarray]:
    """`count` pictures (uint8, (h, w, 3)) of `prompt`, from `folder` if they were painted before.

    They lie under a digest of weights, prompt and seed, so that lessons share them and never take
    another prompt's; a painting that was interrupted goes on, and a larger `count` adds to the
    smaller.
    """
    facts = {"base": family.digest, "prompt": prompt, "seed": seed, "size": family.record.size}
    about = json.dumps(facts, sort_keys=True, default=str)
    place = folder / hashlib.sha256(about.encode()).hexdigest()[:16]
    place.mkdir(parents=True, exist_ok=True)
    write_atomic(place / "about.json", about)
    missing = [k for k in range(count) if not (place / f"{k:05d}.png").is_file()]
    engine = Engine(family)
    for start in range(0, len(missing), AT_ONCE):
        now = missing[start : start + AT_ONCE]
        painted = engine.paint([Request(prompt=prompt, seed=seed + k) for k in now])
        for k, (picture, *_) in zip(now, painted, strict=True):
            _write(Image.fromarray(picture.pixels), place / f"{k:05d}.png")
        progress(Event("class images", min(start + AT_ONCE, len(missing)), len(missing)))
    return [np.asarray(Image.open(place / f"{k:05d}.png").convert("RGB")) for k in range(count)]


def _write(picture: Image.Image, path: Path) -> None:
    picture.save(path.with_suffix(".part"), "PNG")
    path.with_suffix(".part").replace(path)
