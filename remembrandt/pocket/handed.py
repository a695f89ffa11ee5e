"""The embedded models for depth, for enlarging and for mixing, and the prior: their recipes on the world.

Each is made anew when the family that it stands on is another, and kept as what its UNet differs by, of low rank, as
the inpainting model is; the mixer stands on the variations model, and the prior is a network of its own.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.utils import parametrize

from remembrandt.conditions import depth, prior, spatial
from remembrandt.conditions.image import preprocessed
from remembrandt.family import delta, folder, weights
from remembrandt.family.family import VARIATIONS, Family
from remembrandt.family.load import load
from remembrandt.pocket import networks, paint, pictures
from remembrandt.pocket.inpainted import RANK, lowered
from remembrandt.pocket.stage import Work, ship, standing, train
from remembrandt.pocket.varied import VIEW, seen
from remembrandt.training.deepening import Depth
from remembrandt.training.dreambooth import exact
from remembrandt.training.enlarging import TIMES, Upscale
from remembrandt.training.imagining import Prior
from remembrandt.training.mixing import Mixer, crop
from remembrandt.training.recipe import Common

CROPS = 8  # of each picture that the mixer is shown
Row = Mapping[str, Any]


class Rows:
    """The world's scenes as a recipe reads them: latents, captions and what lies `beside`, made once a shard."""

    def __init__(self, family: Family, place: Path, shards: int, name: str, beside: Callable[[int], np.ndarray]):
        self._shards, self._name = shards, name
        self._latents = lru_cache(maxsize=shards)(partial(paint.latents, family.vae, place))
        self._beside = lru_cache(maxsize=shards)(beside)

    def __len__(self) -> int:
        return self._shards * pictures.SHARD

    def __getitem__(self, number: int) -> Row:
        index, place = divmod(number, pictures.SHARD)
        mean, std = torch.from_numpy(np.array(self._latents(index)[place])).chunk(2)
        beside = torch.from_numpy(np.array(self._beside(index)[place]))
        return {"mean": mean, "std": std, "caption": paint.caption(number, 0), self._name: beside}


def near(place: Path, index: int) -> np.ndarray:
    """How near the scenes of a shard are over latents, as the world knows it: float16 (SHARD, 1, 16, 16)."""
    return pictures.once(place / f"near-{index:04d}.npy", lambda: _near(index))


def _near(index: int) -> np.ndarray:
    from remembrandt.pocket.world.ground_truth import truth

    first, size = pictures.SHARD * index, (networks.SIZE, networks.SIZE)
    found = [truth(pictures.scene(n), networks.SIZE).depth for n in range(first, first + pictures.SHARD)]
    flat = np.zeros((1, 1, 16, 16), np.float32)
    made = [depth.beside(d, size, 8).numpy() if np.ptp(d) else flat for d in found]
    return np.concatenate(made).astype(np.float16)


def small(place: Path, index: int) -> np.ndarray:
    """The pictures of a shard at a quarter of their size: uint8 (SHARD, 3, 32, 32)."""
    side = networks.SIZE // TIMES
    shown = [spatial.resized(one, (side, side)) for one in pictures.shard(place, index)]
    return np.stack(shown).transpose(0, 3, 1, 2)


def crops(out: Path, place: Path, index: int) -> np.ndarray:
    """Embeddings of crops of a shard's larger renders: fp32 (SHARD, CROPS, D), made once."""
    return pictures.once(place / f"crops-{index:04d}.npy", lambda: _crops(out, index))


@torch.no_grad()
def _crops(out: Path, index: int) -> np.ndarray:
    from transformers import CLIPVisionModelWithProjection

    tower, made = CLIPVisionModelWithProjection.from_pretrained(out / "image_encoder").float().eval(), []
    for number in range(pictures.SHARD * index, pictures.SHARD * (index + 1)):
        rng, shown = np.random.default_rng([47, number]), pictures.picture(number, VIEW)
        cut = [crop(shown, rng, Mixer.smallest) for _ in range(CROPS)]
        made.append(tower(preprocessed(cut, networks.PREPROCESSING, networks.EYE)).image_embeds.numpy())
    return np.stack(made)


def numbers(work: Work, steps: int) -> dict[str, Any]:
    """What the recipes of task models share."""
    return {"steps": steps, "learning_rate": 1e-3, "warmup": 100, "batch": work.sizes.batch, "ema": 0.998, "gamma": 5.0}


def make_depth(work: Work) -> None:
    """The depth model, beside the family in `out`."""
    if found := standing(work, "depth"):
        rows = Rows(found[0], work / "pictures", work.sizes.handed, "near", partial(near, work / "pictures"))
        _task(work, found, Depth(**numbers(work, work.sizes.depth)), rows, "depth", {"task": "depth"})


def make_upscale(work: Work) -> None:
    """The enlarging model, beside the family in `out`."""
    if found := standing(work, "upscale"):
        rows = Rows(found[0], work / "pictures", work.sizes.handed, "small", partial(small, work / "pictures"))
        _task(work, found, Upscale(**numbers(work, work.sizes.upscale)), rows, "upscale", {"task": "upscale"})


def make_mixer(work: Work) -> None:
    """The mixer, from the variations model beside the family in `out`; nothing where there is none."""
    source = work.out.with_name(VARIATIONS)
    if not source.is_dir():
        return print("mixer: there is no variations model to begin with", flush=True)
    family = load(source, device=str(work.device), precision="bf16")
    if delta.made_of(work.out.with_name("mixer"), family):
        return
    exact(family)
    found = family, f"mixer-{weights.digest(family.held)[:8]}"
    rows = Rows(family, work / "pictures", work.sizes.handed, "crops", partial(crops, work.out, work / "pictures"))
    asked = Mixer(crops=CROPS, **numbers(work, work.sizes.mixer))
    _task(work, found, asked, rows, "mixer", {"slots": asked.slots}, kind=VARIATIONS)


def _task(work: Work, found: tuple[Family, str], asked: Common, rows: Rows, name: str, facts: Row, **how: Any) -> None:
    """Train a task model whose large weights move by a low-rank difference, and store that."""
    (family, begun), kind = found, type(asked).__name__
    taught = asked.begun(family)  # type: ignore[attr-defined]  # its own UNet, now another; its files still hold what it was
    changed = lowered(taught.unet)
    [stage] = asked.stages(taught, rows, 41 + len(kind))  # type: ignore[attr-defined]
    train(work, begun, {"unet": taught.unet}, lambda step: stage.loss(step, range(stage.batch)), stage.plan)
    for layer in changed:
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    ship(work, begun, family, taught.unet, name, form=delta.LOW_RANK, rank=RANK, facts=facts, **how)


def make_prior(work: Work) -> None:
    """The prior of the space of the family in `out`, beside it."""
    family, target = load(work.out, device=str(work.device), precision="fp32"), work.out.with_name("prior")
    space = prior.space(family)
    if (target / folder.RECORD).is_file() and folder.read_json(target / folder.RECORD).get("space") == space:
        return
    asked = Prior(layers=4, **{**numbers(work, work.sizes.prior), "learning_rate": 5e-4})
    pictures.render(partial(seen, work.out), work / "pictures", work.sizes.handed)
    rows = Rows(family, work / "pictures", work.sizes.handed, "embedding", partial(seen, work.out, work / "pictures"))
    [stage] = asked.stages(family, rows, 43)
    network = torch.nn.ParameterDict({n.replace(".", "/"): p.requires_grad_(True) for n, p in stage.parameters.items()})
    begun = f"prior-{space[:8]}"
    train(work, begun, {"prior": network}, lambda step: stage.loss(step, range(stage.batch)), stage.plan)
    shutil.rmtree(work / begun / "model", ignore_errors=True)
    asked.write(family, work / begun / "model")
    shutil.rmtree(target, ignore_errors=True)
    shutil.move(work / begun / "model", target)


STAGES: dict[str, Callable[[Work], None]] = {
    "depth": make_depth,
    "upscale": make_upscale,
    "mixer": make_mixer,
    "prior": make_prior,
}
