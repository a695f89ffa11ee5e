"""The check that what is asked can be done, and the family's defaults for what is not said."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from numbers import Integral, Real
from typing import Any

import numpy as np

from remembrandt.conditions import enlarging, hints, spatial
from remembrandt.conditions.control import Steer
from remembrandt.diffusion.samplers import SAMPLERS
from remembrandt.engine.compose import WAYS
from remembrandt.family.family import Family
from remembrandt.family.folder import VARIATIONS
from remembrandt.settings import Wrong, nearest
from remembrandt.tasks import TASKS, Request

__all__ = ["Request", "described", "settled"]

SQUEEZED = 0.25  # the log of how far a hint's shape may be from that of the picture: fitting to whole steps moves it


def settled(request: Request, family: Family) -> Request:
    """The request with the family's defaults filled in; `Wrong` if it cannot be painted."""
    record = family.record
    _steered(request, family)
    request = _tasked(request, family)
    enlarged = request.task == "upscale"
    full = replace(
        request,
        sampler=record.sampler if request.sampler is None else request.sampler,
        steps=record.steps if request.steps is None else request.steps,
        guidance=record.guidance if request.guidance is None else request.guidance,
        size=_size(request, family) if request.size is None else tuple(request.size),
    )
    _known("sampler", full.sampler, SAMPLERS)
    _known("composition", full.composition, WAYS)
    _within("the number of pictures", full.n, 1, 64)
    _within("steps", full.steps, 1, 1000)
    _within("the seed", full.seed, 0, 2**63 - 1)
    _within("guidance", full.guidance, 0, 1000, Real)
    _within("strength", full.strength, 0, 1, Real)
    for worn in full.wears:
        _within("an adapter's strength", worn.strength, -10, 10, Real)
    if len(full.size or ()) != 2:
        raise Wrong(f"the size is (width, height), for example (512, 512), not {full.size}")
    _within("the level of noise", full.level, 0, enlarging.NOISIEST)
    for side in full.size or ():
        _within("each side of the size", side, 8 if enlarged else 64, MOST if enlarged else 2048)
        if side % family.factor:
            step = family.factor
            raise Wrong(f"each side of the size must be a multiple of {step}, not {side}")
    return replace(full, controls=_hinted(full, family))


def described(request: Request, family: Family, number: int) -> dict[str, Any]:
    """What paints picture `number` of a settled request again."""
    assert request.size
    told: dict[str, Any] = {} if request.composition == Request.composition else {"composition": request.composition}
    if request.controls:
        told["control"] = [_controlled(steer) for steer in request.controls]
    return told | {
        "prompt": request.prompt,
        "negative": request.negative,
        "seed": request.seed + number,
        "sampler": request.sampler,
        "steps": request.steps,
        "guidance": request.guidance,
        "size": "{}x{}".format(*request.size),
        "task": request.task,
        "family": family.name,
        "revision": family.revision,
        "precision": family.precision,
        "device": family.device.type,
    }


def _controlled(steer: Steer) -> dict[str, Any]:
    """What a recipe says of a control: of its hint by its pixels, since files move."""
    mark = hashlib.sha256(np.ascontiguousarray(steer.picture).tobytes()).hexdigest()[:16]
    return {"name": steer.name, "hint": mark} | {k: getattr(steer, k) for k in ("weight", "start", "end")}


def _steered(request: Request, family: Family) -> None:
    """`Wrong` unless the family is steered by what the request gives: a prompt, or an embedding."""
    if family.kind != VARIATIONS:
        if request.embedding is not None or request.task == VARIATIONS:
            raise Wrong(f"{family.name} is steered by text, not by pictures: take another, such as --model variations")
        return
    if request.embedding is None:
        raise Wrong(f"{family.name} is steered by pictures, not by text: remembrandt variations IMAGE")
    width = family.unet.config["cross_attention_dim"]
    shape, most = tuple(request.embedding.shape), family.slots
    if shape != (width,) and (most == 1 or shape not in {(k, width) for k in range(1, most + 1)}):
        several = f" or up to {most} of them" if most > 1 else ""
        raise Wrong(f"{family.name} takes an embedding of {width} finite numbers{several}, not {shape}")
    if not request.embedding.isfinite().all():
        raise Wrong(f"{family.name} takes an embedding of {width} finite numbers")


MOST = 8192  # pixels a side of what is enlarged
PICTURES = ("image", "mask", "expand", "depth")  # what of a request tells its task


def _tasked(request: Request, family: Family) -> Request:
    """The request with its task, told by what it has, and with the wider picture where it is expanded."""
    given = tuple(name for name in PICTURES if getattr(request, name) is not None)
    given = given or (("embedding",) if request.embedding is not None else ())
    found = [name for name, row in TASKS.items() if row.takes(given)]
    task = request.task or (found[0] if found else None)
    if task is None:
        raise Wrong(f"no task takes {' and '.join(given)}: mask and expand want an image, and not each other")
    _known("task", task, TASKS)
    row = TASKS[task]
    if not row.takes(given):
        has, needs = (" and ".join(names) or "no picture" for names in (given, row.needs))
        raise Wrong(f"{task} takes {needs}, not {has}")
    if task == "upscale":
        return _enlarged(replace(request, task=task), family)
    if request.image is None and request.strength is not None:
        raise Wrong("strength says how much of an image is painted over: give one, or leave it out")
    _pictures(request)
    strength = (row.strength if request.image is not None else 1.0) if request.strength is None else request.strength
    if request.expand is None:
        return replace(request, task=task, strength=strength)
    canvas, mask = spatial.expanded(request.image, request.expand)  # type: ignore[arg-type]
    return replace(request, task=task, strength=strength, image=canvas, mask=mask)


def _enlarged(request: Request, family: Family) -> Request:
    """The request with the size that its image is enlarged to; what concepts do is summed, since windows see parts."""
    _pictures(request)
    if request.size is not None or request.strength is not None or request.controls:
        raise Wrong("a picture is enlarged as it is: leave out --size, --strength and --control")
    step = enlarging.fold(family) or 1
    high, wide = enlarging.padded(request.image, step).shape[:2]  # type: ignore[arg-type]
    size = (wide * family.factor // step, high * family.factor // step)
    if max(size) > MOST:
        raise Wrong("enlarged the picture is {}x{}, and sides are at most {}: give a smaller one".format(*size, MOST))
    return replace(request, strength=1.0, size=size, composition=Request.composition)


def _pictures(request: Request) -> None:
    image, mask, expand = request.image, request.mask, request.expand
    if image is not None and (image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3):
        raise Wrong(f"an image is (h, w, 3) of uint8, not {image.shape} of {image.dtype}")
    if image is not None and mask is not None:
        if mask.shape != image.shape[:2]:
            sizes = ("{}x{}".format(*m.shape[1::-1]) for m in (mask, image))
            raise Wrong("the mask is {}, the image {}: give both in one size".format(*sizes))
        if not mask.any():
            raise Wrong("the mask is black all over: what is to be painted anew is white")
    if expand is not None:
        if len(expand) != 4 or min(expand) < 0 or not any(expand):
            raise Wrong(f"expand is pixels to the left, top, right and bottom, not {expand}")
        if image is not None and max(a + b for a, b in zip(expand[:2], expand[2:], strict=True)) > 4 * spatial.MOST:
            raise Wrong(f"expand by at most {4 * spatial.MOST} pixels, not {expand}")


def _hinted(request: Request, family: Family) -> tuple[Steer, ...]:
    """The controls with their hints, as large as what is painted; each name once."""
    wide, high = request.size or (1, 1)
    found: dict[str, Steer] = {}
    for steer in request.controls:
        name, (tall, broad) = steer.name, steer.picture.shape[:2]
        _within(f"the weight of {name}", steer.weight, 0, 10, Real)
        if name in found or not 0 <= steer.start < steer.end <= 1:
            raise Wrong(f"the control {name} is given once, from a share of the steps to a later one, as from 0 to 1")
        if abs(math.log(broad * high / (tall * wide))) > SQUEEZED:
            raise Wrong(f"the {name} of {broad}x{tall} is not of the shape {wide}x{high} that is painted: cut it so")
        hint = spatial.resized(steer.picture, (wide, high))
        hint = hints.make(steer.hint, hint, family) if steer.hint else hint
        if not hint.any():
            raise Wrong(f"the hint for {name} is black all over, and says nothing: give another")
        found[name] = replace(steer, picture=hint, hint=None)
    return tuple(found.values())


def _size(request: Request, family: Family) -> tuple[int, int]:
    """The record's, or what fits the image, the depth or a hint."""
    side = family.record.size
    shown = (request.image, request.depth, *(steer.picture for steer in request.controls))
    shape = next((p for p in shown if p is not None), None)
    if shape is None:
        return side, side
    high, wide = shape.shape[:2]
    return spatial.fitted(wide, high, side, family.factor)


def _known(what: str, word: object, options: dict) -> None:
    if word not in options:
        hint = nearest(str(word), options)
        raise Wrong(f"there is no {what} {word!r}.{hint} There are: {', '.join(options)}")


def _within(what: str, value: object, low: int, high: int, kind: type = Integral) -> None:
    if not isinstance(value, kind) or not math.isfinite(value) or not low <= value <= high:  # type: ignore[operator, arg-type]
        whole = "a whole number " if kind is Integral else ""
        raise Wrong(f"{what} must be {whole}from {low} to {high}, not {value!r}")
