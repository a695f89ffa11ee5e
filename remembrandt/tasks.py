"""Tasks: how a picture begins and what steers it. A new task is one function and one row of `TASKS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor

from remembrandt.adapters.wear import Outfit, Worn
from remembrandt.conditions.condition import Condition
from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.samplers import SAMPLERS, Walk, finish
from remembrandt.family.family import Family

Words = Mapping[str, Tensor]
Say = Callable[[Sequence[str], Words, Sequence[Outfit]], Tensor]  # prompts, what each wears: tokens (n, L, D)


@dataclass(frozen=True, eq=False)
class Request:
    """`n` pictures of a prompt. What is None comes from the family's record.

    `size` is (width, height) in pixels; picture k has seed `seed` + k. `guidance` 1 paints with the
    prompt alone, 0 without it. `words` are identifiers with their embedding rows (k, D), `wears` the
    adapters of what the prompt names, `composition` how several of them act together (engine/compose.py).
    """

    prompt: str = ""
    negative: str = ""
    n: int = 1
    seed: int = 0
    sampler: str | None = None
    steps: int | None = None
    guidance: float | None = None
    size: tuple[int, int] | None = None
    task: str = "text-to-image"
    words: Words = field(default_factory=dict)
    wears: tuple[Worn, ...] = ()
    composition: str = "summed"

    @property
    def outfits(self) -> tuple[Outfit, Outfit]:
        """What the prompt's row wears, and that of "nothing"."""
        wears = tuple(w for w in self.wears if w.strength != 0)
        return wears, tuple(w for w in wears if w.by == "both")


@dataclass(frozen=True, eq=False)
class Start:
    """All that a request's pictures share before their first step.

    `shape` (1, c, h, w) is a latent's; `prompt` and `nothing` steer its rows; `walk` makes the
    sampler of one picture, which returns the latent to decode after `calls` model calls; `t` gives
    the timestep at which the network is asked about a level.
    """

    shape: tuple[int, int, int, int]
    prompt: Condition
    nothing: Condition
    walk: Callable[[Noise], Walk]
    calls: int
    t: Callable[[float], float]


def text_to_image(family: Family, request: Request, say: Say) -> Start:
    """From noise alone. The negative prompt, if there is one, stands for "nothing"."""
    assert request.size and request.sampler and request.steps, "the request is not settled"
    width, height = (side // family.factor for side in request.size)
    row = SAMPLERS[request.sampler]
    sigmas = row.sigmas(family.schedule, request.steps)
    prompt, nothing = say([request.prompt, request.negative], request.words, request.outfits).split(1)

    def walk(noise: Noise) -> Walk:
        first = noise().to(family.device) * row.scale(sigmas[0])
        return finish((yield from row.function(first, sigmas, noise)), sigmas[-1])

    return Start(
        (1, family.channels, height, width),
        Condition(prompt),
        Condition(nothing),
        walk,
        row.total(request.steps),
        lambda sigma: row.t(family.schedule, sigma),
    )


TASKS: dict[str, Callable[[Family, Request, Say], Start]] = {"text-to-image": text_to_image}
