"""What each photo of a lesson is trained under: its caption, and in it the identifier."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np

from remembrandt.conditions import text
from remembrandt.evaluation.captions import captioner
from remembrandt.family.family import Family
from remembrandt.memory.library import is_style

TAKEN_AS_IT_IS = "text-to-image"  # the method without an identifier


def captions(
    given: Sequence[str | None],
    which: str | None,
    squares: Sequence[np.ndarray],
    category: str,
    family: Family,
    method: str,
) -> list[str | None]:
    """Of each photo what is `given`, else what the captioner `which` says of its square, if there is one.

    A family's own readers say around a concept what is not it; under one prompt alone a lesson learns the places too,
    and what it learned does not follow into another.
    """
    found = list(given)
    if which is not None:
        style = is_style(category) and method != TAKEN_AS_IT_IS
        tell = captioner(which, family, look=method == TAKEN_AS_IT_IS, style=style)
        bare = [k for k, caption in enumerate(found) if caption is None]
        for k, said in zip(bare, tell([squares[k] for k in bare], category), strict=True):
            found[k] = said
    return found


def prompt(caption: str | None, word: str, category: str, method: str) -> str | None:
    """A photo's prompt: its caption, in which the identifier stands before the category; `text-to-image`'s as it is."""
    if caption is None:
        return None
    caption = caption.replace("{identifier}", word)
    if method == TAKEN_AS_IT_IS or text.named(caption, {word}):
        return caption
    pattern = rf"(?<!\w){re.escape(category)}(?!\w)"
    placed = re.sub(pattern, f"{word} {category}", caption, count=1, flags=re.IGNORECASE)
    return placed if placed != caption else f"a {word} {category}, {caption}"
