"""Variations: from pictures, what is mixed into them and how they are edited, to the tokens that the engine is given.

What a request sees is JSON: `{picture, name, mix: [{picture or text, name, weight}], edit: {from, to, weight} or None,
blend}`. A picture is the path of a file, or of a tensor that is taken as it is.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remembrandt.jobs.given import path
from remembrandt.settings import Wrong, nearest

if TYPE_CHECKING:
    from torch import Tensor

    from remembrandt.family.family import Family

Document = dict[str, Any]
Varied = Callable[[Document], "tuple[Tensor, Document]"]
BLENDS = ("slerp", "sum")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".heic", ".avif")
READY = ".safetensors"
HEAVIEST = 100


@contextmanager
def given(images: Any, mix: Sequence[Any], edit: str | None, blend: str) -> Iterator[list[Document]]:
    """What each of the inputs asks to see; those that are in memory lie in a while's folder.

    Inputs are one or several of: a path, a PIL picture, an array (h, w, 3) of uint8, a preprocessed tensor (3, h, w) or
    (n, 3, h, w). `mix` holds such inputs or texts, each by itself (texts and paths may end in `:WEIGHT`) or with its
    weight; `edit` is "FROM->TO" or "FROM->TO:WEIGHT". `Wrong` if something is not there.
    """
    if blend not in BLENDS:
        raise Wrong(f"there is no blend {blend!r}.{nearest(blend, BLENDS)} Blends: {', '.join(BLENDS)}")
    several = list(images) if isinstance(images, list | tuple) else [images]
    with tempfile.TemporaryDirectory() as folder:
        names = (Path(folder) / f"{k:04d}" for k in range(10**4))
        rest = [_mixed(each, names) for each in mix]
        seen = [one for image in several for one in _pictures(image, names)]
        if not seen:
            raise Wrong("give at least one picture to vary")
        yield [{**one, "mix": rest, "edit": _edit(edit), "blend": blend} for one in seen]


def _pictures(image: Any, names: Iterator[Path]) -> list[Document]:
    if hasattr(image, "detach"):
        from safetensors.torch import save_file

        found = []
        for pixels in image[None] if image.ndim == 3 else image:
            place = next(names).with_suffix(READY)
            save_file({"pixels": pixels.detach().cpu().contiguous()}, place)
            found.append({"picture": str(place), "name": "tensor"})
        return found
    place = path(image, next(names).with_suffix(".png")).absolute()
    if not place.is_file():
        raise Wrong(f"there is no picture {place}")
    return [{"picture": str(place), "name": place.name if isinstance(image, str | os.PathLike) else "picture"}]


def _mixed(each: Any, names: Iterator[Path]) -> Document:
    what, weight = each if isinstance(each, tuple) else (each, 1.0)
    if isinstance(each, str) and not Path(each).expanduser().exists():
        what, weight = _weighed(each)
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight <= HEAVIEST:
        raise Wrong(f"a weight in a mix is a number from 0 to {HEAVIEST}, not {weight!r}")
    if isinstance(what, str) and not what.strip():
        raise Wrong("--mix takes a picture or a text, and may end in :WEIGHT")
    if isinstance(what, str) and not Path(what).expanduser().exists() and not what.lower().endswith(SUFFIXES):
        return {"text": what, "weight": weight}
    return {**_pictures(what, names)[0], "weight": weight}


def _weighed(text: str) -> tuple[str, float]:
    """`WHAT:WEIGHT`, read from the right and only if it is a number."""
    what, colon, number = text.rpartition(":")
    try:
        return (what, float(number)) if colon else (text, 1.0)
    except ValueError:
        return text, 1.0


def _edit(text: str | None) -> Document | None:
    if text is None:
        return None
    said, weight = _weighed(text)
    source, arrow, target = (part.strip() for part in said.partition("->"))
    if not (source and arrow and target) or not -HEAVIEST <= weight <= HEAVIEST:
        raise Wrong(f'--edit takes "FROM->TO" or "FROM->TO:WEIGHT", for example "cat->dog:0.8", not {text!r}')
    return {"from": source, "to": target, "weight": weight}


def reader(family: Family, opened: Callable[[str, str | None], Any]) -> Varied:
    """A function from requests to embeddings (D,) and what their recipes say. `opened` reads a picture."""
    import torch

    from remembrandt.conditions import image

    assert set(BLENDS) == set(image.BLENDS)

    @cache
    def look(what: str, place: str) -> tuple[Tensor, str]:
        if place.endswith(READY):
            pixels = _ready(place)
        elif family.image_encoder is None:
            raise Wrong(f"{family.name} is steered by text, not by pictures: take another, such as --model variations")
        else:
            picture = opened(what, place)
            pixels = image.preprocessed([picture], family.record.resize, family.eye)
        return image.embedded(family, pixels)[0], hashlib.sha256(pixels.numpy().tobytes()).hexdigest()[:16]

    @cache
    def read(text: str) -> Tensor:
        return image.spoken(family, [text])[0]

    def varied(request: Document) -> tuple[Tensor, Document]:
        if request["negative"] or request["strengths"]:
            raise Wrong("variations take neither a negative prompt nor strengths of concepts: --edit moves a picture")
        sees, said = request["sees"], request["prompt"].strip()
        first, mark = look("input", sees["picture"])
        told: Document = {"input": sees["name"], "input_seen": mark}
        mix = [*sees["mix"], *([{"text": said, "weight": 1.0}] if said else [])]
        tokens, weights = [first], [1.0, *(each["weight"] for each in mix)]
        for each in mix:
            tokens.append(image.alike(read(each["text"]), first) if "text" in each else look("mix", each["picture"])[0])
        if mix and family.slots > 1:
            if len(tokens) > family.slots:
                raise Wrong(f"{family.name} mixes up to {family.slots} pictures and texts, not {len(tokens)}")
            told |= {"mix": [_told(each, look) for each in sees["mix"]]}
        elif mix:
            first = image.BLENDS[sees["blend"]](torch.stack(tokens), weights)
            told |= {"mix": [_told(each, look) for each in sees["mix"]], "blend": sees["blend"]}
        if edit := sees["edit"]:
            first = image.edited(first, read(edit["from"]), read(edit["to"]), edit["weight"])
            told["edit"] = "{from}->{to}:{weight:g}".format(**edit)
        if family.slots > 1:  # each in a slot of its own, at its own strength
            first = torch.stack([first, *tokens[1:]]) * torch.tensor(weights, device=first.device)[:, None]
        return first, told

    return varied


def _told(each: Document, look: Callable[[str, str], tuple[Tensor, str]]) -> Document:
    if "text" in each:
        return each
    return {"picture": each["name"], "seen": look("mix", each["picture"])[1], "weight": each["weight"]}


def _ready(place: str) -> Tensor:
    from remembrandt.family import weights

    held = weights.opened(Path(place))[0]
    if "pixels" not in held:
        raise Wrong(f"{place} is no picture")
    return held["pixels"]()[None].float()
