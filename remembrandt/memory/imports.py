"""LoRAs of other tools: read once, checked against a family, kept under a name that prompts call."""

from __future__ import annotations

import os
import re
import secrets
import shutil
from pathlib import Path
from typing import Any

from remembrandt.adapters import adapter as adapters
from remembrandt.adapters import keys
from remembrandt.adapters.lora import DOWN
from remembrandt.family.family import Family
from remembrandt.settings import Wrong

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
LICENCE = ("modelspec.license", "license")


def lora(file: Path, family: Family, folder: Path, name: str | None = None) -> dict[str, Any]:
    """Keep the LoRA of a file under `folder`, called `name` (else as the file is), whole or not at all.

    Raises `Wrong` where the file is a pickle, no LoRA, for another kind of model, or without any effect.
    """
    name = name or re.sub(r"[^A-Za-z0-9_.-]+", "-", file.resolve().name.removesuffix(".safetensors")).strip("-.")
    if not NAME.fullmatch(name):
        raise Wrong(f"name {name!r} must be letters, digits, '-', '_' and '.', 64 at most: give one with --name")
    if name.lower() in (p.name.lower() for p in folder.glob("*")):
        raise Wrong(f"there is an imported LoRA {name!r} already: give another --name")
    found = keys.read(file, family)
    ranks = sorted({len(pair[DOWN]) for pair in found.adapter.tensors.values()})
    licence = next((found.metadata[key] for key in LICENCE if key in found.metadata), "not recorded")
    facts = {"name": name, "method": "lora", "from": file.name, "family": family.name, "licence": licence}
    draft = folder / f".{name}.{secrets.token_hex(4)}"
    try:
        adapters.save(found.adapter, draft, facts)
        os.replace(draft, folder / name)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return {
        **facts,
        "prompt": f"<lora:{name}:1>",
        "layers": len(found.adapter.tensors),
        "text_encoder": bool(found.adapter.part(text=True)),
        "ranks": ranks,
        "warnings": _left_out(found.strangers, family),
        "path": str(folder / name),
    }


def _left_out(keys: list[str], family: Family) -> list[str]:
    if not keys:
        return []
    return [f"{len(keys)} keys belong to no layer of {family.name} and were left out, for example {keys[0]}"]
