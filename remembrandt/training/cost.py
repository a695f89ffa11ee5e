"""What a lesson will take of this machine, said before it begins, and how it is made to fit.

Memory is counted, not guessed: the UNet is run once on torch's meta device, where tensors have sizes and no values, and
what the backward pass would keep is added up. Time is measured: one call of the network, before the first step.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.func import functional_call

from remembrandt.adapters.lora import ATTENTION
from remembrandt.family.family import Family
from remembrandt.report import Event, Progress
from remembrandt.training.attention import plain_attention
from remembrandt.training.method import computing

GIGA = 2**30
SPARE = 0.85  # of what is free may be planned with: the rest is the allocator's and other programs'
BACK = 2.2  # a step beside its forward pass: the backward pass, about twice as much, and the optimizer
FIRST, OFF = 10, 1.5  # steps after which the pace is looked at again, and how far off it must be to be told
CHUNK = 77  # tokens of a prompt


@dataclass(frozen=True)
class Cost:
    """Bytes: `held` whatever the batch, `row` for each example of a call, `spared` with gradient checkpointing.

    `room` is what is free.
    """

    held: int
    row: int
    spared: int
    room: int

    def peak(self, options: Mapping[str, Any]) -> int:
        """What a lesson with these options takes."""
        return self.held + options["batch"] * (self.spared if options["gradient_checkpointing"] else self.row)


def count(family: Family, moved: Collection[str]) -> Cost:
    """What a training costs that moves the networks named `moved` of a family."""
    networks = {n: net for n in ("unet", "text_encoder", "vae", "image_encoder") if (net := getattr(family, n))}
    held = sum(p.numel() * p.element_size() for network in networks.values() for p in network.parameters())
    for name in moved:  # in fp32, with gradients and both of Adam's moments
        held += sum(p.numel() * (16 - p.element_size()) for p in networks[name].parameters())
    row = _kept(family, "unet" in moved)
    largest = max(row // max(1, _blocks(family.unet)), 1)  # the one block that is computed again
    return Cost(held, row, _inputs(family) + 2 * largest, _room(family.device))


def fitted(options: Mapping[str, Any], cost: Cost, fixed: Collection[str], least: int = 1) -> dict[str, Any]:
    """The options of a lesson that fits: half the batch twice as often, down to `least`, then gradient checkpointing.

    What stands in `fixed` was said by the user and stays. Where nothing fits, it is the smallest that there is.
    """
    found = dict(options)
    while cost.peak(found) > cost.room * SPARE:
        halved, odd = divmod(found["batch"], 2)
        if not odd and halved >= least and not {"batch", "gradient_accumulation"} & set(fixed):
            found |= {"batch": halved, "gradient_accumulation": 2 * found["gradient_accumulation"]}
        elif not found["gradient_checkpointing"] and "gradient_checkpointing" not in fixed:
            found["gradient_checkpointing"] = True
        else:
            break
    return found


@torch.inference_mode()
def pace(family: Family, options: Mapping[str, Any]) -> float:
    """Seconds a step will take, from one call of the UNet with the rows of one batch."""
    side, rows = family.record.size // family.factor, options["batch"]
    kind = next(family.unet.parameters())
    latents = torch.zeros(rows, family.unet.config["in_channels"], side, side, device=kind.device, dtype=kind.dtype)
    tokens = torch.zeros(rows, CHUNK, family.unet.config["cross_attention_dim"], device=kind.device, dtype=kind.dtype)
    told = {"class_labels": torch.zeros(rows, dtype=torch.long, device=kind.device)} if family.classes else {}
    taken = 0.0
    with computing(family), plain_attention(family.unet):
        for _ in range(2):  # the first call prepares
            began = time.monotonic()
            float(family.unet(latents, 500, encoder_hidden_states=tokens, **told).sample.sum())  # waits for the device
            taken = time.monotonic() - began
    again = 1 if options["gradient_checkpointing"] else 0
    return taken * (1 + BACK + again) * options["gradient_accumulation"]


def line(family: Family, options: Mapping[str, Any], cost: Cost, seconds: float) -> str:
    """What is said before the lesson; `seconds` a step."""
    peak, minutes = cost.peak(options) / GIGA, seconds * options["steps"] / 60
    how = [f"batch {options['batch']}"]
    if options["gradient_accumulation"] > 1:
        how.append(f"{options['gradient_accumulation']} of them a step")
    if options["gradient_checkpointing"]:
        how.append("gradient checkpointing")
    short = "" if cost.peak(options) <= cost.room else " (more than there is: it may be stopped)"
    return (
        f"this lesson takes about {peak:.1f} of {cost.room / GIGA:.1f} free GiB{short} and {_minutes(minutes)}"
        f" on {family.device.type} in {family.precision} ({options['steps']} steps, {', '.join(how)})"
    )


def corrected(progress: Progress, seconds: float) -> Progress:
    """The progress, which says once what a step really takes, if the pace that was measured is half as much off."""
    first: tuple[int, float] | None = None
    told = False

    def tell(event: Event) -> None:
        nonlocal first, told
        progress(event)
        if told or event.stage != "teaching" or event.message or event.preview:
            return
        now = time.monotonic()
        first = first or (event.step, now)
        if event.step - first[0] >= FIRST:
            told, real = True, (now - first[1]) / (event.step - first[0])
            if not 1 / OFF < real / seconds < OFF:
                left = _minutes(real * (event.total - event.step) / 60)
                said = f"a step takes {real:.2g} s, not {seconds:.2g} s: {left} left"
                progress(Event(event.stage, event.step, event.total, message=said))

    return tell


def _minutes(minutes: float) -> str:
    return "less than a minute" if minutes < 1 else f"{minutes:.0f} minute{'s' * (round(minutes) > 1)}"


def _room(device: torch.device) -> int:
    """Bytes that are free on a device."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0] + torch.cuda.memory_allocated(device)
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    import psutil

    return psutil.virtual_memory().available + psutil.Process(os.getpid()).memory_info().rss


def _blocks(unet: nn.Module) -> int:
    return sum(type(module).__name__ in ("ResnetBlock2D", "Transformer2DModel") for module in unet.modules())


def _inputs(family: Family) -> int:
    """Bytes of what each block is given, for one row: all that gradient checkpointing keeps."""
    sizes: list[int] = []
    watched = [m for m in family.unet.modules() if type(m).__name__ in ("ResnetBlock2D", "Transformer2DModel")]
    hooks = [m.register_forward_pre_hook(lambda _, given: sizes.append(given[0].nbytes)) for m in watched]
    try:
        with torch.no_grad():
            _call(family, frozen=True)
    finally:
        for hook in hooks:
            hook.remove()
    return sum(sizes)


def _kept(family: Family, moved: bool) -> int:
    """Bytes that the backward pass of one row needs beside the weights."""
    seen: dict[int, int] = {}
    alive: list[Tensor] = []

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        seen[storage._cdata] = storage.nbytes()
        alive.append(tensor)  # else its number is given to the next
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        weights = _call(family, moved=moved)
    own = {w.untyped_storage()._cdata for w in weights}
    return sum(size for number, size in seen.items() if number not in own)


def _call(family: Family, *, moved: bool = False, frozen: bool = False) -> list[Tensor]:
    """The UNet on one row of nothing; returns its weights of nothing."""
    unet, kind = family.unet, family.dtype if family.dtype != torch.float16 else torch.bfloat16
    named = dict(unet.named_parameters()) | dict(unet.named_buffers())
    made = {n: torch.empty(t.shape, dtype=kind, device="meta") for n, t in named.items()}
    for name, tensor in made.items():
        tensor.requires_grad_(not frozen and (moved or bool(ATTENTION.search(name.removesuffix(".weight")))))
    side, wide = family.record.size // family.factor, unet.config["cross_attention_dim"]
    given = torch.empty(1, unet.config["in_channels"], side, side, dtype=kind, device="meta")
    tokens = torch.empty(1, CHUNK, wide, dtype=kind, device="meta")
    time_ = torch.zeros(1, dtype=torch.long, device="meta")
    with plain_attention(unet):
        told = {"class_labels": time_} if family.classes else {}
        functional_call(unet, made, (given, time_), {"encoder_hidden_states": tokens, **told})
    return list(made.values())
