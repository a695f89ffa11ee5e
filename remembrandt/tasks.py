"""Tasks: how a picture begins and what steers it. A new task is one function and one row of `TASKS`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from remembrandt.adapters.wear import Outfit, Worn
from remembrandt.conditions import control, depth, enlarging, spatial
from remembrandt.conditions.condition import Condition
from remembrandt.conditions.control import Steer
from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.samplers import SAMPLERS, Walk, finish
from remembrandt.family.family import Family
from remembrandt.settings import Wrong

Words = Mapping[str, Tensor]
Say = Callable[[Sequence[str], Words, Sequence[Outfit]], Tensor]  # prompts, what each wears: tokens (n, L, D)


@dataclass(frozen=True, eq=False)
class Request:
    """`n` pictures of a prompt. What is None comes from the family's record, the task from what is given.

    `size` is (width, height) in pixels; picture k has seed `seed` + k. `guidance` 1 paints with the
    prompt alone, 0 without it. `words` are identifiers with their embedding rows (k, D), `wears` the
    adapters of what the prompt names, `composition` how several of them act together (engine/compose.py).
    `image` is uint8 (h, w, 3) of any size, `mask` bool (h, w) of the same, true where it is painted anew,
    `expand` pixels more (left, top, right, bottom), `strength` the share of the walk that is walked: 1 leaves
    least of the image. `depth` (h, w) holds numbers, larger where it is nearer. `level` of 1000 is the noise on a
    picture that is enlarged. `embedding` (D,), or (k, D) for one that mixes, stands for the prompt in a family of kind
    `variations`, whatever the task. `controls` steer any task but enlarging, all at once.
    """

    prompt: str = ""
    negative: str = ""
    n: int = 1
    seed: int = 0
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    size: tuple[int, int] | None = None
    task: str | None = None
    image: np.ndarray | None = None
    mask: np.ndarray | None = None
    expand: tuple[int, int, int, int] | None = None
    strength: float | None = None
    depth: np.ndarray | None = None
    level: int = enlarging.LEVEL
    embedding: Tensor | None = None
    controls: tuple[Steer, ...] = ()
    words: Words = field(default_factory=dict)
    wears: tuple[Worn, ...] = ()
    composition: str = "summed"

    @property
    def outfits(self) -> tuple[Outfit, Outfit]:
        """What the prompt's row wears, and that of "nothing"."""
        wears = tuple(w for w in self.wears if w.strength != 0)
        halves = {"both": 1.0, "half": 0.5}
        return wears, tuple(replace(w, strength=halves[w.by] * w.strength) for w in wears if w.by in halves)


@dataclass(frozen=True, eq=False)
class Begun:
    """One picture: `walk` makes its sampler, which returns the latent to decode; two rows' conditions steer it."""

    walk: Walk
    prompt: Condition
    nothing: Condition


@dataclass(frozen=True, eq=False)
class Start:
    """All that a request's pictures share before their first step.

    `shape` (1, c, h, w) is a latent's, `windows` what of it is seen at once, if not all; `begin` begins one
    picture, which takes `calls` model calls; `t` gives the timestep at which the network is asked about a level;
    `finish` is done to the decoded pixels; `told` joins the recipe.
    """

    shape: tuple[int, int, int, int]
    begin: Callable[[Noise], Begun]
    calls: int
    t: Callable[[float], float]
    finish: Callable[[np.ndarray], np.ndarray] = lambda pixels: pixels
    told: dict[str, Any] = field(default_factory=dict)
    windows: enlarging.Windows | None = None


def from_noise(family: Family, request: Request, say: Say, more: int = 0) -> Start:
    """From noise alone, as the prompt or a picture's embedding says; `more` channels lie beside the latents."""
    _channels(family, {family.channels + more})
    row, sigmas, shape = _levels(family, request)
    conditions = _said(family, request, say)

    def walk(noise: Noise) -> Walk:
        first = noise().to(family.device) * row.scale(sigmas[0])
        return finish((yield from row.function(first, sigmas, noise)), sigmas[-1])

    return Start(
        shape, lambda noise: Begun(walk(noise), *conditions), row.total(len(sigmas) - 1),
        lambda sigma: row.t(family.schedule, sigma),
    )  # fmt: skip


def image_to_image(family: Family, request: Request, say: Say, more: int = 0) -> Start:
    """From the image, noised as far as `strength` says (Meng et al. 2021); the last of the steps are walked.

    Draws as diffusers does: first the image's latent from its posterior, then the noise.
    """
    assert request.image is not None
    _channels(family, {family.channels + more})
    row, sigmas, shape = _levels(family, request)
    conditions = _said(family, request, say)
    mean, std = family.encode(spatial.to_tensor(spatial.resized(request.image, _size(request))))

    def walk(noise: Noise) -> Walk:
        first = mean + std * noise().to(mean) + sigmas[0] * noise().to(mean)
        return finish((yield from row.function(first, sigmas, noise)), sigmas[-1])

    return Start(
        shape, lambda noise: Begun(walk(noise), *conditions), row.total(len(sigmas) - 1),
        lambda sigma: row.t(family.schedule, sigma), told=_of_image(request),
    )  # fmt: skip


def depth_to_image(family: Family, request: Request, say: Say) -> Start:
    """In the shape of a depth, which a UNet of 5 channels sees beside its latents: from noise, or over an image."""
    assert request.depth is not None
    start = (from_noise if request.image is None else image_to_image)(family, request, say, 1)
    near = depth.beside(request.depth, _size(request), family.factor)

    def begin(noise: Noise) -> Begun:
        begun = start.begin(noise)
        return replace(begun, **{row: replace(getattr(begun, row), channels=near) for row in ("prompt", "nothing")})

    return replace(start, begin=begin, told={**start.told, "depth": _mark(request.depth)})


def upscale(family: Family, request: Request, say: Say) -> Start:
    """The image enlarged: a UNet sees it, noised to a level, beside the latents. Large ones are seen in windows.

    Draws as diffusers does: first the noise on the image, then that of the latents.
    """
    assert request.image is not None
    step = enlarging.fold(family)
    if step is None:
        _channels(family, {family.channels + 3})
    start = from_noise(family, request, say, 3 * (step or 1) ** 2)
    small, level = enlarging.small(enlarging.padded(request.image, step or 1)), request.level
    high, wide = (side * family.factor // (step or 1) for side in request.image.shape[:2])

    def begin(noise: Noise) -> Begun:
        seen = enlarging.beside(family, small, noise(tuple(small.shape)), level)
        begun = start.begin(noise)
        both = {row: replace(getattr(begun, row), channels=seen, label=level) for row in ("prompt", "nothing")}
        return replace(begun, **both)

    told = {"image": _mark(request.image), "level": level}
    cut = enlarging.windows(family, (start.shape[2], start.shape[3]))
    return replace(start, begin=begin, finish=lambda pixels: pixels[:high, :wide], told=told, windows=cut)


def inpaint(family: Family, request: Request, say: Say) -> Start:
    """What the mask holds, painted anew; outside it the image stays, to the bit, whatever its size.

    A UNet of 4 channels is kept to the image: each estimate is the image's own latent outside of the mask. One of 9
    sees mask and masked image beside its latents (diffusers' order), and needs no keeping.
    """
    assert request.image is not None and request.mask is not None
    _channels(family, {family.channels, 2 * family.channels + 1})
    row, sigmas, shape = _levels(family, request)
    size, (prompt, nothing) = _size(request), _said(family, request, say)
    small = spatial.resized(request.image, size)
    mask = spatial.shrunk(request.mask, size, family.factor).to(family.device)
    mean, std = family.encode(pixels := spatial.to_tensor(small))
    sees = family.unet.config["in_channels"] > family.channels
    if sees:
        held = spatial.shrunk(request.mask, size, 1)
        hidden = family.encode(pixels * (1 - held))

    def begin(noise: Noise) -> Begun:
        known, first = mean + std * noise().to(mean), noise().to(mean)

        def amend(x0: Tensor, sigma: float) -> Tensor:
            return mask * x0 + (1 - mask) * known

        def walk() -> Walk:
            x = finish((yield from row.function(known + sigmas[0] * first, sigmas, noise)), sigmas[-1])
            return x if sees else amend(x, 0.0)

        if not sees:
            return Begun(walk(), replace(prompt, amend=amend), nothing)
        beside = torch.cat([mask, hidden[0] + hidden[1] * noise().to(mean)], 1)
        return Begun(walk(), *(replace(row, channels=beside) for row in (prompt, nothing)))

    def back(painted: np.ndarray) -> np.ndarray:
        assert request.image is not None and request.mask is not None
        high, wide = request.image.shape[:2]
        soft = spatial.SOFT * max(wide / size[0], high / size[1])
        return spatial.pasted(request.image, spatial.resized(painted, (wide, high)), request.mask, soft)

    calls = row.total(len(sigmas) - 1)
    return Start(shape, begin, calls, lambda sigma: row.t(family.schedule, sigma), back, _of_image(request))


@dataclass(frozen=True)
class Task:
    """A row: the function, the fields of a request that call it, the `strength` it takes of an image if none is given,
    and the fields that it takes beside those."""

    start: Callable[[Family, Request, Say], Start]
    about: str
    needs: tuple[str, ...] = ()
    strength: float = 1.0
    may: tuple[str, ...] = ()

    def takes(self, given: Sequence[str]) -> bool:
        """Whether it is what those fields call."""
        return {*self.needs} <= {*given} <= {*self.needs, *self.may}


TASKS: dict[str, Task] = {
    "text-to-image": Task(from_noise, "a prompt"),
    "variations": Task(from_noise, "what a picture shows, painted anew", ("embedding",)),
    "image-to-image": Task(image_to_image, "a picture painted over", ("image",), 0.6),
    "inpaint": Task(inpaint, "a part of a picture painted anew", ("image", "mask")),
    "outpaint": Task(inpaint, "a picture continued beyond its edge", ("image", "expand")),
    "depth-to-image": Task(depth_to_image, "a picture in the shape of a depth", ("depth",), 0.8, ("image",)),
    "upscale": Task(upscale, "a picture enlarged four times", ("image",)),
}


def _size(request: Request) -> tuple[int, int]:
    assert request.size, "the request is not settled"
    return request.size


def _levels(family: Family, request: Request):
    """The sampler's row, the levels that are walked, and a latent's shape."""
    assert request.sampler and request.steps and request.strength is not None, "the request is not settled"
    row = SAMPLERS[request.sampler]
    walked = min(int(request.steps * request.strength), request.steps)  # as diffusers counts
    if not walked:
        raise Wrong(f"strength {request.strength:g} of {request.steps} steps is none: give more of either")
    width, height = (side // family.factor for side in _size(request))
    sigmas = row.sigmas(family.schedule, request.steps)[request.steps - walked :]
    return row, sigmas, (1, family.channels, height, width)


def _said(family: Family, request: Request, say: Say) -> tuple[Condition, Condition]:
    """The prompt, and what stands for "nothing": the negative prompt; beside an embedding, zeros."""
    if request.embedding is not None:
        given = torch.atleast_2d(request.embedding).to(family.device)
        prompt = functional.pad(given, (0, 0, 0, family.slots - len(given)))[None]  # an empty slot is nothing
        nothing = torch.zeros_like(prompt)
    else:
        prompt, nothing = say([request.prompt, request.negative], request.words, request.outfits).split(1)
    beside = control.beside(request.controls, _levels(family, request)[1], family.device)
    return Condition(prompt, residual=beside), Condition(nothing, residual=beside)


#: What a UNet wants that takes so many channels more than latents have.
WANTS = {1: "give it --depth", 5: "give it --image and --mask"}
MADE = {1: "`train FAMILY depth` makes one that does", 3: "`train FAMILY upscale` makes one that does"}
WANTS |= {more: "give it --image and --upscale" for more in (3, 12)}


def _channels(family: Family, able: set[int]) -> None:
    sees = family.unet.config["in_channels"]
    if sees not in able:
        hint = WANTS.get(sees - family.channels) or MADE.get(min(able) - family.channels, "give another model")
        raise Wrong(f"{family.name} sees {sees} channels, where this task has {' or '.join(map(str, able))}: {hint}")


def _of_image(request: Request) -> dict[str, Any]:
    """What a recipe says of an image: by its pixels, since files move."""
    assert request.image is not None
    told: dict[str, Any] = {"strength": request.strength}
    for name in ("image", "mask"):
        if (given := getattr(request, name)) is not None:
            told[name] = _mark(given)
    high, wide = request.image.shape[:2]
    if (wide, high) != request.size:
        told["fitted"] = f"{wide}x{high}"
    if request.expand:
        told["expand"] = list(request.expand)
    return told


def _mark(given: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(given).tobytes()).hexdigest()[:16]
