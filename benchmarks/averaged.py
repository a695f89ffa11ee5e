"""Adapters of a gated model in one set of weights without training: what consolidation is compared with.

Arms of `benchmarks.forgetting`: the mean of what the adapters make of each weight, and RegMean (memory/merging.py). Its
inputs are those of each merged network on its concept's photos, and of the base on the same under the category.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from benchmarks.concepts import SEED, Concept
from remembrandt.adapters.adapter import Adapter
from remembrandt.engine.engine import Engine
from remembrandt.evaluation import denoising
from remembrandt.family.family import Family
from remembrandt.memory import merging
from remembrandt.memory.library import Library
from remembrandt.tasks import Request

Weights = Mapping[str, Tensor]


def averaged(family: Family, library: Library, story: Sequence[Concept], kind: str) -> Family:
    """The family with one set of weights for the concepts of the library, the story's; `kind` is mean or regmean."""
    adapters = [library.adapter(concept) for concept in library.concepts]
    make = merging.mean(family.unet, adapters) if kind == "mean" else regressed(family, library, story, adapters)
    own = replace(family, unet=copy.deepcopy(family.unet).float())
    merging.put(own.unet, make)
    return own


def regressed(family: Family, library: Library, story: Sequence[Concept], adapters: Sequence[Adapter]) -> Weights:
    """RegMean of the concepts and, for each, of the base."""
    every = [merging.merged(family.unet, adapter) for adapter in adapters]
    names = list(dict.fromkeys(name for some in every for name in some))
    base = {name: family.unet.get_submodule(name).weight.detach().float() for name in names}
    weights, inputs = [], []
    for concept, known, some in zip(story, library.concepts, every, strict=True):
        own = replace(family, unet=copy.deepcopy(family.unet).float())
        merging.put(own.unet, some)
        called, photos = library.call_up(f"a {known.identifier} {known.category}"), concept.photos(family.record.size)
        plain = replace(family, unet=copy.deepcopy(family.unet).float())
        for who, held, prompt in ((own, {**base, **some}, called.prompt), (plain, base, f"a {known.category}")):
            see = lambda w=who, p=prompt, words=called.words, s=photos: denoising.losses(w, s, p, words)  # noqa: E731
            weights.append(held)
            inputs.append(merging.grams(who.unet, names, see))
    return merging.regmean(weights, inputs)


def paint(family: Family, library: Library, prompts: Sequence[str], each: int) -> list[np.ndarray]:
    """Pictures by shared weights, whose words are still the concepts' own."""
    called = [library.call_up(prompt) for prompt in prompts]
    asked = [Request(c.prompt, words=c.words, seed=SEED, n=each) for c in called]
    return [picture.pixels for some in Engine(family).paint(asked) for picture in some]
