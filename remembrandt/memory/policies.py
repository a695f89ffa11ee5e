"""Policies: how a replay lesson divides the images that it trains beside the new photos.

A policy is a pure function of what the model knows, the category of what is new, the number of images, what is
measured to fade, and the number of the lesson. A new one is a function and a row in `POLICIES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, islice

from remembrandt.settings import Wrong, nearest

Known = Mapping[str, Sequence[str]]  # category -> its concepts; a concept stands once
Fading = Mapping[str, float]  # concept -> share of its identity that is lost, 0 to 1
BOOST = 4.0  # a concept that is all but lost is replayed five times as often as one that is whole


@dataclass(frozen=True)
class Split:
    """How many images are generated ones of each category, and how many real ones of each concept."""

    classes: dict[str, int]
    concepts: dict[str, int]

    @property
    def total(self) -> int:
        return sum(self.classes.values()) + sum(self.concepts.values())


def big(known: Known, new: str, images: int, fading: Fading | None = None, turn: int = 0) -> Split:
    """The split of the BIG metamodel, floors included: they may lose images, and concepts, to zero.

    Half for the new category, half for the others in equal parts; of each, half generated images and half its
    concepts in equal parts (guoliwu 2022, "How to Personalize Stable Diffusion for ALL the Things"; reference code
    jina-ai/big_creative_ai). It reads neither `fading` nor `turn`.
    """
    others = [category for category in known if category != new]
    shares = {new: images // 2 if others else images}
    shares |= {category: images // 2 // len(others) for category in others}
    classes, concepts = {}, {}
    for category, share in shares.items():
        members = known.get(category, ())
        classes[category] = share if category == new and not members else share // 2
        concepts |= {concept: share // 2 // len(members) for concept in members}
    return Split(classes, concepts)


def balanced(known: Known, new: str, images: int, fading: Fading | None = None, turn: int = 0) -> Split:
    """Half generated, half real; a concept's share depends on how it fades, not on how crowded its category is.

    Sums exactly. No concept gets nothing while there are as many images as concepts, and no category while there are
    enough for both; with fewer, concepts take turns from lesson to lesson.
    """
    members = [concept for category in known for concept in known[category]]
    others = [category for category in known if category != new]
    generated = images / 2 if members else images
    classes = {new: generated / 2 if others else generated}
    classes |= {category: generated / 2 / len(others) for category in others}
    worth = {concept: 1 + BOOST * min(1.0, max(0.0, (fading or {}).get(concept, 0.0))) for concept in members}
    real = {concept: (images - generated) * w / sum(worth.values()) for concept, w in worth.items()}
    if images < len(members):
        first = turn * images % len(members)
        lucky = set(islice(cycle(members), first, first + images))
        return Split(dict.fromkeys(classes, 0), {concept: int(concept in lucky) for concept in members})
    room = images >= len(members) + len(classes)
    counts = _whole([*classes.values(), *real.values()], [int(room)] * len(classes) + [1] * len(members), images)
    numbers = iter(counts)
    return Split({c: next(numbers) for c in classes}, {c: next(numbers) for c in real})


def category_alone(known: Known, new: str, images: int, fading: Fading | None = None, turn: int = 0) -> Split:
    """Plain DreamBooth, which knows of no other lesson: generated images of the new category. Forgets; to compare."""
    return Split({new: images}, {concept: 0 for category in known for concept in known[category]})


POLICIES: dict[str, Callable[..., Split]] = {"balanced": balanced, "big": big, "category-alone": category_alone}


def policy(name: str) -> Callable[..., Split]:
    """The policy of that name."""
    if name not in POLICIES:
        raise Wrong(f"there is no policy {name!r}.{nearest(name, POLICIES)} Policies: {', '.join(POLICIES)}")
    return POLICIES[name]


def read(text: str) -> dict[str, list[str]]:
    """What "bottle:b1,b2;dog:d1" says is known."""
    known: dict[str, list[str]] = {}
    for part in filter(str.strip, text.split(";")):
        category, colon, names = (" ".join(word.split()) for word in part.partition(":"))
        concepts = [name.strip() for name in names.split(",")]
        if not (colon and category and all(concepts)):
            raise Wrong(f'--known takes "bottle:b1,b2;dog:d1", not {part.strip()!r}')
        known.setdefault(category.lower(), []).extend(concepts)
    every = [concept for concepts in known.values() for concept in concepts]
    twice = sorted({concept for concept in every if every.count(concept) > 1})
    if twice:
        raise Wrong(f"--known names {twice[0]!r} twice: each concept has a name of its own")
    return known


def _whole(wanted: Sequence[float], least: Sequence[int], total: int) -> list[int]:
    """Integers nearest to `wanted`, none below its `least`, that sum to `total` (>= the sum of `least`)."""
    found = [max(low, int(want)) for want, low in zip(wanted, least, strict=True)]
    while (rest := total - sum(found)) != 0:
        sign = 1 if rest > 0 else -1
        free = [k for k in range(len(found)) if sign > 0 or found[k] > least[k]]
        found[max(free, key=lambda k: sign * (wanted[k] - found[k]))] += sign
    return found
