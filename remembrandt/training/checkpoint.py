"""Checkpoints that are whole or not there: tensors by name in safetensors, scalars in JSON, the manifest last.

`accelerator.save_state` writes pickles, which this project refuses to read; hence our own.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from safetensors.torch import load_file, save_file
from torch import Tensor

MANIFEST = "manifest.json"


def save(folder: Path, step: int, tensors: dict[str, dict[str, Tensor]], scalars: dict, keep: int = 2) -> Path:
    """Write `folder/checkpoints/step-N/`: one safetensors file per group, then the manifest, then one rename.

    A reader therefore sees a complete checkpoint or none. The `keep` newest remain.
    """
    root = folder / "checkpoints"
    final, staging = root / f"step-{step:08d}", root / f".step-{step:08d}"
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    for group, named in tensors.items():
        plain = {k: v.detach().contiguous().cpu() for k, v in sorted(named.items())}
        save_file(plain, staging / f"{group}.safetensors")
    manifest = {"step": step, "groups": sorted(tensors), "scalars": scalars}
    for path in [*staging.iterdir()]:
        _sync(path)
    (staging / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True))
    _sync(staging / MANIFEST)
    shutil.rmtree(final, ignore_errors=True)
    os.replace(staging, final)
    for old in sorted(root.glob("step-*"))[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return final


def latest(folder: Path) -> tuple[int, dict[str, dict[str, Tensor]], dict] | None:
    """The newest complete checkpoint under `folder` as (step, tensors by group, scalars), or None."""
    for path in sorted((folder / "checkpoints").glob("step-*"), reverse=True):
        if (path / MANIFEST).is_file():
            manifest = json.loads((path / MANIFEST).read_text())
            groups = {group: load_file(path / f"{group}.safetensors") for group in manifest["groups"]}
            return manifest["step"], groups, manifest["scalars"]
    return None


def _sync(path: Path) -> None:
    with path.open("rb+") as file:  # Windows syncs only what may be written
        os.fsync(file.fileno())
