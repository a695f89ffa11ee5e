"""Where to compute, and in how many bits."""

from __future__ import annotations

import torch

from remembrandt.settings import Wrong, nearest

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def choose_device(asked: str | None = None) -> torch.device:
    """The best device there is, or the one `asked` for ("cpu", "cuda", "cuda:1", "mps").

    `Wrong` if it is not here.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if asked is None:
        return torch.device(next(name for name, here in present.items() if here))
    kind = asked.split(":")[0]
    try:
        device = torch.device(asked)
    except RuntimeError:
        device = None
    if device is None or kind not in present:
        raise Wrong(f"there is no device {asked!r}.{nearest(kind, present)} Devices: {', '.join(present)}")
    count = torch.cuda.device_count() if kind == "cuda" else 1
    if not present[kind] or (device.index or 0) >= count:
        here = ", ".join(name for name, found in present.items() if found)
        raise Wrong(f"this machine has no {asked}: leave --device out, or take one of {here}")
    return device


def choose_precision(device: torch.device) -> str:
    """fp16 on GPUs; on a CPU bf16 where it multiplies in bf16 itself (4 times as fast), else fp32.

    By what the CPU can do, not by a race: the same machine must paint the same picture every day.
    """
    if device.type != "cpu":
        return "fp16"
    able = getattr(torch.cpu, "get_capabilities", dict)()  # not in older torch
    return "bf16" if able.get("avx512_bf16") or able.get("amx_bf16") else "fp32"


def training_precision(device: torch.device, precision: str) -> str:
    """What to train in where one paints in `precision`: small gradients vanish in fp16, hence bf16 or fp32."""
    if precision != "fp16":
        return precision
    return "bf16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "fp32"


def check_precision(asked: str) -> str:
    """A precision as the command line spells it; `Wrong` if there is none of that name."""
    if asked not in PRECISIONS:
        hint = nearest(asked, PRECISIONS)
        raise Wrong(f"there is no precision {asked!r}.{hint} Precisions: {', '.join(PRECISIONS)}")
    return asked
