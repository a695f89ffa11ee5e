"""What a lesson in a gated model leaves behind: tensors by layer, token rows, and two files.

`adapter.safetensors` holds tensors only, sorted, nothing that varies between equal adapters;
`manifest.json` says what they belong to and carries their digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as read_tensors
from safetensors.torch import save as write_tensors
from torch import Tensor

from remembrandt.report import write_atomic
from remembrandt.settings import Wrong

TENSORS, MANIFEST = "adapter.safetensors", "manifest.json"
ROWS, START = "rows", "start"
TEXT = "text_encoder."


@dataclass(frozen=True, eq=False)
class Adapter:
    """`tensors[layer][name]` for each changed layer; `rows` (k, D), the identifier's embeddings.

    Layers are the UNet's, with `TEXT` before them the text encoder's. `start` are the rows before
    the lesson, where strength is to act on them. `kind` is a key of `wear.KINDS`. Two adapters are
    equal only if they are the same object: caches rely on it.
    """

    kind: str
    tensors: Mapping[str, Mapping[str, Tensor]]
    settings: Mapping[str, object] = field(default_factory=dict)
    rows: Tensor | None = None
    start: Tensor | None = None

    def part(self, *, text: bool = False) -> dict[str, Mapping[str, Tensor]]:
        """The tensors of the UNet's layers, or of the text encoder's, by the layer's own name."""
        found = {name: named for name, named in self.tensors.items() if name.startswith(TEXT) == text}
        return {name.removeprefix(TEXT): named for name, named in found.items()}

    def called(self, strength: float = 1.0) -> Tensor | None:
        """The identifier's rows at a strength: between `start` and `rows`, or beyond."""
        if self.rows is None or self.start is None or strength == 1:
            return self.rows
        return torch.lerp(self.start, self.rows, strength)

    def to(self, device: torch.device | str) -> Adapter:
        """The same adapter on another device."""
        tensors = {
            layer: {n: t.to(device) for n, t in named.items()}
            for layer, named in self.tensors.items()
        }
        rows, start = (t if t is None else t.to(device) for t in (self.rows, self.start))
        return Adapter(self.kind, tensors, self.settings, rows, start)


def save(adapter: Adapter, folder: Path, manifest: Mapping[str, object]) -> None:
    """Write both files under `folder`, the manifest last.

    `manifest["base"]` is the digest of the weights that the adapter was taught on.
    """
    flat = {f"{layer}.{n}": t for layer, named in adapter.tensors.items() for n, t in named.items()}
    flat |= {key: t for key, t in ((ROWS, adapter.rows), (START, adapter.start)) if t is not None}
    bad = sorted(key for key, t in flat.items() if not torch.isfinite(t).all())
    if bad:
        raise Wrong(
            f"the adapter is not finite in {bad[0]}: teach again with a lower learning rate"
        )
    data = write_tensors({k: flat[k].detach().float().cpu().contiguous() for k in sorted(flat)})
    facts = {**manifest, "kind": adapter.kind, "settings": dict(adapter.settings)}
    facts["sha256"] = hashlib.sha256(data).hexdigest()
    folder.mkdir(parents=True, exist_ok=True)
    write_atomic(folder / TENSORS, data)
    write_atomic(folder / MANIFEST, json.dumps(facts, indent=1, sort_keys=True) + "\n")


def load(folder: Path, *, base: str | None = None) -> tuple[Adapter, dict]:
    """Read and check an adapter; with `base`, also that it was made for weights of that digest."""
    try:
        facts = json.loads((folder / MANIFEST).read_text())
        data = (folder / TENSORS).read_bytes()
        flat = read_tensors(data)
        kind, settings = facts["kind"], facts["settings"]
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as fault:
        raise Wrong(f"{folder} holds no readable adapter: {fault}") from None
    if facts.get("sha256") not in (None, hashlib.sha256(data).hexdigest()):
        raise Wrong(
            f"{folder / TENSORS} is not the file its manifest describes: restore it or teach again"
        )
    if base is not None and facts.get("base") != base:
        raise Wrong(
            f"{folder} was taught on other base weights: use the base it was taught on,"
            " or teach it again"
        )
    bad = sorted(key for key, t in flat.items() if not torch.isfinite(t).all())
    if bad:
        raise Wrong(f"{folder / TENSORS} is not finite in {bad[0]}: restore it or teach again")
    rows, start = flat.pop(ROWS, None), flat.pop(START, None)
    tensors: dict[str, dict[str, Tensor]] = {}
    for key, t in flat.items():
        layer, _, name = key.rpartition(".")
        tensors.setdefault(layer, {})[name] = t
    return Adapter(kind, tensors, settings, rows, start), facts
