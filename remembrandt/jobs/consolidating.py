"""From the wish for one set of weights to a job's request: every check, before anything is written."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from remembrandt.family.device import training_precision
from remembrandt.family.family import Family
from remembrandt.jobs import painters
from remembrandt.jobs.painters import MODEL_NAME, RESERVED
from remembrandt.memory import retention
from remembrandt.settings import Wrong
from remembrandt.store.rows import Concept, Model
from remembrandt.store.store import Store, new_id
from remembrandt.training import options
from remembrandt.training.distillation import LARGE, Distillation

Document = dict[str, Any]


def order(
    store: Store,
    load: Callable[[Path], Family],
    home: Path,
    name: str,
    to: str | None,
    *,
    values: Mapping[str, Any],
    seed: int,
    margin: float,
) -> tuple[Model, Document]:
    """The model's row and the job's request; `Wrong` at the first thing that does not fit."""
    source = painters.taught(store, name)
    options.build(Distillation, values)  # a slip of the pen, before weights are read
    if source.memory != "gated" or not store.concepts(source):
        why = "was taught nothing that is left" if source.memory == "gated" else f"has memory {source.memory!r}"
        raise Wrong(f"{name} {why}: only the concepts of a gated model can be consolidated")
    if not 0 < margin <= retention.LOOSEST:
        raise Wrong(f"--margin must be above 0 and at most {retention.LOOSEST:g}, not {margin:g}")
    if not 0 <= seed < 2**40:
        raise Wrong(f"seed must be a whole number from 0 to 2**40 - 1, not {seed}")
    held = _target(store, source, to or f"{name}-consolidated")
    family = load(home / source.base["folder"])
    large = family.unet.config["block_out_channels"][0] >= 256
    chosen = options.build(Distillation, {**(LARGE if large else {}), **values})
    taught = store.concepts(source)
    request = {
        "model": held.name,
        "version": held.version,
        "scope": held.scope,
        "memory": held.memory,
        "worn_by": source.worn_by,
        "base": source.base,
        "source": {"model": source.name, "version": source.version},
        "older": [{**painters.known(c), "id": new_id()} for c in taught],
        "about": [_about(c) for c in taught],
        "options": asdict(chosen),
        "seed": seed,
        "margin": margin,
        "device": str(family.device),
        "precision": training_precision(family.device, family.precision),
        "threads": torch.get_num_threads(),
    }
    return held, request


def _about(concept: Concept) -> Document:
    return {"photos": concept.photos, "facts": concept.facts, "method": concept.method, "job": concept.job}


def _target(store: Store, source: Model, to: str) -> Model:
    """A new model, or the consolidated one of that name."""
    if to in RESERVED or not MODEL_NAME.fullmatch(to):
        raise Wrong(f"model name {to!r} is the base's, or not letters, digits, '-', '_' and '.', 64 at most")
    held = store.model(to)
    if held and held.version and held.memory != "consolidated":
        raise Wrong(f"{to} has memory {held.memory!r} and stays as it is: give another name to --to")
    if held and held.version and held.base["digest"] != source.base["digest"]:
        raise Wrong(f"{to} stands on {held.base['name']}, {source.name} on {source.base['name']}: give another --to")
    version = held.version if held else 0
    return Model(held.id if held else "", to, source.scope, "consolidated", source.base, source.worn_by, version)
