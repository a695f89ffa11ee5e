"""What each photo of a lesson is trained under: its caption, and in it the identifier."""

from __future__ import annotations

import re

from remembrandt.conditions import text
from remembrandt.evaluation.captions import captioner
from remembrandt.family.family import Family
from remembrandt.memory.library import is_style
from remembrandt.training.photos import Prepared

TAKEN_AS_IT_IS = "text-to-image"  # the method without an identifier


def captions(
    photos: Prepared, which: str | None, category: str, plain: str, family: Family, method: str
) -> list[list[str]]:
    """What each photo is taught under: the caption beside it, else what the captioner `which` says of its square.

    A family's own readers say around a concept what is not it; under one prompt alone a lesson learns the places too,
    and what it learned does not follow into another. Under captions alone it is not itself where no place is named: so
    half of the draws of a photo that is captioned here are under the `plain` prompt.
    """
    found = [[caption] if caption is not None else [] for caption in photos.captions]
    if which is not None:
        style = is_style(category) and method != TAKEN_AS_IT_IS
        tell = captioner(which, family, look=method == TAKEN_AS_IT_IS, style=style)
        bare = [k for k, given in enumerate(found) if not given]
        for k, said in zip(bare, tell([photos.squares[k] for k in bare], category), strict=True):
            found[k] = [said] if method == TAKEN_AS_IT_IS else [said, plain]
    return found


def prompt(caption: str, word: str, category: str, method: str) -> str:
    """A photo's prompt: its caption, in which the identifier stands before the category; `text-to-image`'s as it is."""
    caption = caption.replace("{identifier}", word)
    if method == TAKEN_AS_IT_IS or text.named(caption, {word}):
        return caption
    pattern = rf"(?<!\w){re.escape(category)}(?!\w)"
    placed = re.sub(pattern, f"{word} {category}", caption, count=1, flags=re.IGNORECASE)
    return placed if placed != caption else f"a {word} {category}, {caption}"
