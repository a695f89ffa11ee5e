"""What a training reads, written once before its first step: encoded again at another batch shape it would differ.

Rows lie in files of `CHUNK` pictures (safetensors; captions in their headers), each whole or not there, so that an
encoding that was stopped goes on behind the last of them. The manifest comes last.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save as write_tensors
from torch import Tensor

from remembrandt.conditions import spatial
from remembrandt.family.family import Family
from remembrandt.report import Event, Progress, write_atomic
from remembrandt.settings import Wrong
from remembrandt.training import corpus
from remembrandt.training.corpus import Filters, Picture, Twins
from remembrandt.training.photos import TOLD

CHUNK = 512
AT_ONCE = 8  # pictures that the autoencoder takes together
MANIFEST = "manifest.json"

Row = Mapping[str, Any]  # "mean", "std" (c, h, w), "caption", and what a recipe adds
Adds = Callable[[Family, Sequence[Picture]], Mapping[str, Tensor]]


class Rows(Protocol):
    """Encoded pictures by their number."""

    def __len__(self) -> int: ...
    def __getitem__(self, number: int) -> Row: ...


class Encoded:
    """The rows in a folder that `encode` has finished."""

    def __init__(self, folder: Path) -> None:
        told = json.loads((folder / MANIFEST).read_text())
        self.count, self.captions, self.left_out = int(told["count"]), int(told["captions"]), dict(told["left_out"])
        self._open = lru_cache(maxsize=64)(lambda chunk: safe_open(_file(folder, chunk), "pt"))

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, number: int) -> Row:
        file, place = self._open(number // CHUNK), number % CHUNK
        row = {name: file.get_slice(name)[place] for name in file.keys()}  # noqa: SIM118  # it is no mapping
        return row | {"caption": json.loads(file.metadata()["captions"])[place]}


def encode(
    family: Family,
    adds: Adds,
    data: str,
    filters: Filters,
    folder: Path,
    *,
    seen_at: int,
    progress: Progress,
) -> Encoded:
    """Everything that passes the filters, as latents' mean and deviation (half) and what `adds` makes of it."""
    if (folder / MANIFEST).is_file():
        return Encoded(folder)
    out: Counter[str] = Counter()
    twins, chunk, after, said = Twins(), 0, -1, 0
    while _file(folder, chunk).is_file():
        with safe_open(_file(folder, chunk), "pt") as file:
            told = json.loads(file.metadata()["told"])
            twins.seen += [file.get_tensor("small").numpy()] if filters.dedup else []
        out, after, said, chunk = Counter(told["left_out"]), told["after"], told["captions"], chunk + 1
    total = corpus.count(data, filters)  # at most
    given = corpus.pictures(corpus.items(data), filters, family.record.size, seen_at, out, after, twins)
    done = chunk * CHUNK
    while some := list(islice(given, CHUNK)):
        made: dict[str, list[Tensor]] = {}
        for start in range(0, len(some), AT_ONCE):
            part = some[start : start + AT_ONCE]
            for name, tensor in (_latents(family, part) | dict(adds(family, part))).items():
                made.setdefault(name, []).append(tensor.cpu())
            done += len(part)
            progress(Event("encoding", done, total))
        tensors = {name: torch.cat(parts).contiguous() for name, parts in made.items()}
        if filters.dedup:
            tensors["small"] = torch.from_numpy(corpus.signatures([p.square for p in some]))
        said += sum(bool(p.caption) for p in some)
        told = {"after": some[-1].number, "left_out": out, "captions": said}
        header = {"told": json.dumps(told), "captions": json.dumps([p.caption for p in some])}
        write_atomic(_file(folder, chunk), write_tensors(tensors, metadata=header))
        chunk += 1
    if not done:
        reasons = "; ".join(f"{n} {why}" for why, n in out.most_common(TOLD))
        raise Wrong(f"no picture can be trained on: {reasons or 'there is none'}")
    write_atomic(folder / MANIFEST, json.dumps({"count": done, "captions": said, "left_out": out}))
    return Encoded(folder)


def bytes_of(family: Family, adds: Adds) -> int:
    """What a picture takes on the disk, as an empty one tells."""
    blank = np.zeros((family.record.size, family.record.size, 3), np.uint8)
    one = [Picture(0, "", blank, blank)]
    return sum(t.nbytes for t in (_latents(family, one) | dict(adds(family, one))).values())


def _latents(family: Family, some: Sequence[Picture]) -> dict[str, Tensor]:
    mean, std = family.encode(spatial.to_tensor(np.stack([p.square for p in some])))
    return {"mean": mean.half(), "std": std.half()}


def _file(folder: Path, chunk: int) -> Path:
    return folder / f"{chunk:05d}.safetensors"
