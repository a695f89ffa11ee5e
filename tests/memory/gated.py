"""A gated model of the tiny family whose concepts bite, and what a test can afford of a consolidation."""

import torch

from remembrandt.adapters import adapter as adapters
from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.memory.library import Concept, Library
from remembrandt.training.distillation import Distillation

FEW = {"pictures": 2, "composed": 2, "base_pictures": 4, "batch": 8, "warmup": 1, "checkpoint_every": 2}


def few(**options) -> Distillation:
    return Distillation(**{**FEW, **options})


def gated(family, folder, words=(("brc", "dog"), ("krx", "cat")), size=0.3) -> Library:
    """Concepts whose adapters turn every attention by chance, each with a row of its own."""
    concepts = []
    for seed, (word, category) in enumerate(words):
        draw = torch.Generator().manual_seed(seed)
        start = oft.start(family.unet, 8)
        tensors = {n: {oft.NAME: size * torch.randn(t.shape, generator=draw)} for n, t in start.items()}
        rows = 0.2 * torch.randn((1, 32), generator=draw)
        place = folder / word
        adapters.save(Adapter("oft", tensors, {}, rows), place, {"base": family.digest})
        concepts.append(Concept(f"id-{word}", word, category, folder=place))
    return Library(concepts, family.digest)
