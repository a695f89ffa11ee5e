"""What a job that waited has to know of its model when it begins, and not when it was asked for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

from remembrandt.jobs import painters, snapshot
from remembrandt.jobs.files import Files
from remembrandt.settings import Wrong
from remembrandt.store import lineage
from remembrandt.store.rows import Job
from remembrandt.store.store import Store

Document = dict[str, Any]


def lesson(store: Store, job: Job, files: Files) -> Document:
    """Weights that all concepts share are taught from the present ones, beside all that was taught meanwhile."""
    held = next((m for m in store.models() if m.id == job.model), None)
    request = job.request
    if request["memory"] != "replay" or held is None or held.version == request["version"] or files.result.is_file():
        return request
    if held.memory != "replay" or held.base["digest"] != request["base"]["digest"]:
        raise Wrong(f"{held.name} has become another kind of model since job {job.id} began: teach it anew")
    from remembrandt.jobs import replay  # torch

    version, older = store.version(held.id, held.version), store.concepts(held)
    number, plan, about = held.version + 1, request["replay"], request["concept"]
    priced = replay.plan(
        plan["policy"], about["category"], older, lineage.ancestry(store, held), request["options"], number
    )
    for name in ("checkpoints", "staging"):  # of a lesson from other weights
        shutil.rmtree(files.folder / name, ignore_errors=True)
    for name in ("examples.safetensors", "before.json", "base.json"):
        (files.folder / name).unlink(missing_ok=True)
    return {
        **request,
        "version": held.version,
        "weights": version and version.weights,
        "base": held.base,
        "older": [painters.known(c) for c in older],
        "number": number,
        "replay": replay.prompted(priced, about["category"], request["class_prompt"]),
    }


def known(store: Store, job: Job, files: Files) -> Document:
    """With a snapshot of the model."""
    return {**job.request, "known": snapshot.of(store, job.request["model"])}


FRESH: dict[str, Callable[[Store, Job, Files], Document]] = {"finetune": lesson, "evaluate": known, "export": known}
