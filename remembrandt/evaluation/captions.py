"""Captions for photos that have none: by any image-to-text model of transformers, or by the family's own readers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from remembrandt.evaluation import judges
from remembrandt.family.family import Family
from remembrandt.settings import Wrong

OWN = "own"
ORDER = ("size", "colour", "pattern")
UNSAID = (None, "", "middle", "plain", "photo")  # what goes without saying
PHRASES = {"beach": "on the beach", "room": "in a room"}
LONGEST = 40  # tokens of a caption
Captioner = Callable[[Sequence[np.ndarray], str], list[str]]


def captioner(which: str, family: Family, look: bool = True, style: bool = False) -> Captioner:
    """`own`, a folder or a cached hub id, as pictures (uint8 (s, s, 3)) and their category to a caption each.

    Without its `look`, colour, pattern and size are left unsaid by `own`: what a caption says, the identifier need not
    learn, and "teal" belongs to this dog while "in the snow" does not. Of a `style` it says what is painted alone.

    `Wrong` if there is none such.
    """
    if which != OWN:
        return _transformers(which)
    place = judges.brought(family, "readers")
    if place is None:
        raise Wrong(f"{family.name} has no readers of its own: give --captioner a folder or a cached hub id")
    readers = _readers(judges.load, place)
    return lambda pictures, category: [_read(readers, picture, category, look, style) for picture in pictures]


def brought(family: Family) -> str | None:
    """The captioner that the family brings, if it brings one."""
    return OWN if judges.brought(family, "readers") else None


def _readers(load, place) -> judges.Readers:
    try:
        found = load(place)
    except (RuntimeError, KeyError, ValueError, TypeError) as fault:  # weights of another version
        raise Wrong(f"{place} holds no readers of this version: {str(fault).splitlines()[0]}") from None
    assert isinstance(found, judges.Readers)
    return found


def _read(readers: judges.Readers, picture: np.ndarray, category: str, look: bool, style: bool) -> str:
    """ "a small red striped dog on the beach, watercolour": as captions say what is read, and no more than they say."""
    known = category in readers.config["categories"]
    reading = judges.read(readers, picture[None], [[category]] if known else None)[0]
    if style and not known:
        said = ["a", category, "of", "a", *_described(*next(iter(reading.things.items())))]
    else:
        said = ["a", *_described(category, reading.things[category] if known and look else {})]
    if (place := reading.whole.get("place")) and not style:  # a style's ground is its own
        said.append(PHRASES.get(place, f"in the {place}"))
    way = None if style else reading.whole.get("style")
    return " ".join(said) + (f", {way}" if way not in UNSAID else "")


def _described(category: str, seen: Mapping[str, str]) -> list[str]:
    return [*(seen[key] for key in ORDER if seen.get(key) not in UNSAID), category]


def _transformers(which: str) -> Captioner:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(which, local_files_only=True)
        model: Any = AutoModelForImageTextToText.from_pretrained(which, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, KeyError, ImportError) as fault:
        said = str(fault).strip().splitlines() or [type(fault).__name__]
        raise Wrong(f"{which!r} is no image-to-text model in a folder or in the hub's cache: {said[0]}") from None
    model.eval()

    @torch.inference_mode()
    def told(pictures: Sequence[np.ndarray], category: str) -> list[str]:
        found = []
        for picture in pictures:
            given = processor(images=Image.fromarray(picture), return_tensors="pt")
            tokens = model.generate(**given, max_new_tokens=LONGEST, do_sample=False)
            found.append(" ".join(processor.batch_decode(tokens, skip_special_tokens=True)[0].split()))
        return found

    return told
