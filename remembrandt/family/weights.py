"""Safetensors in and out, a tensor at a time.

The header is checked before anything is believed (a length, offsets inside the file, a known type,
no overlap), and tensors are read, not mapped: mapped pages count as memory, and a full-size family
would then need its file beside its network.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from remembrandt.settings import Wrong

Lazy = dict[str, Callable[[], Tensor]]  # tensors by name, read when called

HEADER = 100_000_000  # bytes of a header that are still believed, as safetensors itself
TYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "I64": torch.int64,
    "I32": torch.int32,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def opened(path: Path) -> tuple[Lazy, dict[str, str]]:
    """The tensors of a safetensors file, unread, and its metadata; `Wrong` if it is not one."""
    try:
        header, start, size = _header(path)
        metadata = header.pop("__metadata__", {})
        lazy = {name: partial(_read, path, *_place(name, e, start, size)) for name, e in header.items()}
        _apart(header)
    except OSError as fault:
        raise Wrong(f"{path} cannot be read: {fault.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError) as fault:
        raise Wrong(f"{path} is not a sound safetensors file: {fault}") from None
    return lazy, metadata


def _header(path: Path) -> tuple[dict, int, int]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if not 2 <= length <= min(HEADER, size - 8):
            raise ValueError("it does not begin with the length of a header")
        return json.loads(file.read(length)), 8 + length, size


def _place(name: str, entry: dict, start: int, size: int) -> tuple[torch.dtype, list[int], int]:
    dtype, shape, (first, last) = TYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
    if not all(isinstance(n, int) and n >= 0 for n in shape):
        raise ValueError(f"{name} has no shape")
    if not 0 <= first <= last <= size - start or last - first != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name} does not lie in the file")
    return dtype, shape, start + first


def _apart(header: dict) -> None:
    spans = sorted(tuple(entry["data_offsets"]) for entry in header.values())
    if any(a[1] > b[0] for a, b in pairwise(spans)):
        raise ValueError("tensors overlap")


def _read(path: Path, dtype: torch.dtype, shape: list[int], start: int) -> Tensor:
    raw = torch.empty(math.prod(shape) * dtype.itemsize, dtype=torch.uint8)
    with path.open("rb") as file:
        file.seek(start)
        if file.readinto(raw.numpy().data) != len(raw):
            raise Wrong(f"{path} was cut off: restore it")
    return raw.view(dtype).view(shape)


def opened_folder(folder: Path) -> Lazy:
    """The tensors of one network's folder, whole or in shards; pickles are refused."""
    for stem in ("diffusion_pytorch_model", "model"):
        index = folder / f"{stem}.safetensors.index.json"
        if index.is_file():
            return _shards(folder, index)
        for name in (f"{stem}.safetensors", f"{stem}.fp16.safetensors"):
            if (folder / name).is_file():
                return opened(folder / name)[0]
    if any(f.suffix in PICKLES for f in folder.glob("*")):
        raise Wrong(f"{folder} holds pickled weights, which can run code: convert to .safetensors")
    raise Wrong(f"{folder} holds no weights: it needs a .safetensors file")


PICKLES = {".bin", ".ckpt", ".pt", ".pth", ".pkl"}


def _shards(folder: Path, index: Path) -> Lazy:
    try:
        places: dict[str, str] = json.loads(index.read_text())["weight_map"]
        if any(Path(name).name != name for name in places.values()):
            raise ValueError("a shard lies elsewhere")
        files = {name: opened(folder / name)[0] for name in sorted(set(places.values()))}
        return {key: files[name][key] for key, name in places.items()}
    except (
        OSError,
        KeyError,
        TypeError,
        AttributeError,
        json.JSONDecodeError,
        ValueError,
    ) as fault:
        if isinstance(fault, Wrong):
            raise
        raise Wrong(f"{index} does not describe its shards: {fault}") from None


def held(network: nn.Module) -> Lazy:
    """The tensors that a network holds in memory."""
    return {name: partial(_same, tensor) for name, tensor in network.state_dict().items()}


def _same(tensor: Tensor) -> Tensor:
    return tensor.detach()


def fill(network: nn.Module, lazy: Lazy, device: torch.device, dtype: torch.dtype, what: str) -> None:
    """Give a network on torch's meta device its weights, one by one; `Wrong` if they do not fit."""
    wanted = dict(network.named_parameters()) | {n: b for n, b in network.named_buffers() if n in network.state_dict()}
    missing, extra = sorted(wanted.keys() - lazy.keys()), sorted(lazy.keys() - wanted.keys())
    if missing or extra:
        name, how = (missing[0], "lacks") if missing else (extra[0], "has an unknown")
        raise Wrong(f"{what} does not fit its configuration: it {how} {name!r}")
    for name, empty in wanted.items():
        tensor = lazy[name]()
        if tensor.shape != empty.shape:
            found, needed = tuple(tensor.shape), tuple(empty.shape)
            raise Wrong(f"{what} does not fit its configuration: {name} is {found}, not {needed}")
        tensor = tensor.float() if tensor.dtype.itemsize == 1 and tensor.is_floating_point() else tensor
        if not torch.isfinite(tensor).all():
            raise Wrong(f"{what} is not finite in {name!r}: restore the file")
        owner, _, last = name.rpartition(".")
        module = network.get_submodule(owner)
        tensor = tensor.to(device, dtype if tensor.is_floating_point() else tensor.dtype)
        if isinstance(empty, nn.Parameter):
            module.register_parameter(last, nn.Parameter(tensor, requires_grad=False))
        else:
            module.register_buffer(last, tensor)
    for name, buffer in network.named_buffers():  # CLIP's position numbers are not in files
        if buffer.is_meta and name.endswith("position_ids"):
            numbers = torch.arange(buffer.shape[-1], device=device).expand(buffer.shape)
            network.get_submodule(name.rpartition(".")[0]).register_buffer("position_ids", numbers, persistent=False)
    network.requires_grad_(False).eval()


def halved(lazy: Lazy) -> Lazy:
    """The same tensors in half precision, those that are not yet; `Wrong` if that overflows."""
    return {name: partial(_half, name, read) for name, read in lazy.items()}


def _half(name: str, read: Callable[[], Tensor]) -> Tensor:
    tensor = read()
    whole = tensor.dtype in (torch.float32, torch.float64)
    tensor = tensor.half() if whole else tensor
    if not torch.isfinite(tensor).all():
        raise Wrong(f"{name} is not finite in half precision: nothing was saved")
    return tensor.cpu().contiguous()


def write(lazy: Lazy, folder: Path, stem: str, limit: int = 2**32) -> None:
    """Write tensors under `folder`, in shards of at most `limit` bytes with an index of the form
    that diffusers and transformers read.
    """
    groups = list(_groups(lazy, limit))
    if len(groups) == 1:
        save_file({n: read() for n, read in groups[0].items()}, folder / f"{stem}.safetensors", FORMAT)
        return
    places: dict[str, str] = {}
    total = 0
    for k, group in enumerate(groups, 1):
        name = f"{stem}-{k:05d}-of-{len(groups):05d}.safetensors"
        tensors = {n: read() for n, read in group.items()}
        total += sum(t.nbytes for t in tensors.values())
        save_file(tensors, folder / name, FORMAT)
        places |= dict.fromkeys(tensors, name)
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(places.items()))}
    (folder / f"{stem}.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")


FORMAT = {"format": "pt"}


def _groups(lazy: Lazy, limit: int) -> Iterator[Lazy]:
    group: Lazy = {}
    size = 0
    for name in sorted(lazy):
        nbytes = lazy[name]().nbytes
        if group and size + nbytes > limit:
            yield group
            group, size = {}, 0
        group[name] = lazy[name]
        size += nbytes
    yield group


def digest(parts: Mapping[str, Lazy]) -> str:
    """A sha256 over names and fp32 values, whatever the files, shards or types that hold them."""
    named = sorted((f"{part}.{plain(name)}", read) for part, lazy in parts.items() for name, read in lazy.items())
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # hashing releases the lock
        hashes = pool.map(lambda entry: hashlib.sha256(_bytes(entry[1]())).digest(), named)
        whole = hashlib.sha256()
        for (name, _), each in zip(named, hashes, strict=True):
            whole.update(name.encode() + b"\0" + each)
    return whole.hexdigest()


def plain(name: str) -> str:
    """A text encoder's tensors are called `text_model.x` in files and `x` in today's networks."""
    return name.removeprefix("text_model.")


def _bytes(tensor: Tensor) -> memoryview:
    return tensor.float().cpu().contiguous().view(-1).view(torch.uint8).numpy().data
