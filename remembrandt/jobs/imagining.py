"""`imagine`: a prompt to the token of a family of kind `variations`, through a diffusion prior.

What a request imagines is JSON: `{prior, candidates}`; a prior is the path of a folder, None the embedded one.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remembrandt.settings import Wrong

if TYPE_CHECKING:
    from torch import Tensor

    from remembrandt.family.family import Family

Document = dict[str, Any]
MOST = 64  # candidates


def asked(requests: Sequence[Document], prior: str | Path | None, candidates: int | None) -> list[Document]:
    """The requests, each of one picture and imagining its own embedding from its seed."""
    if candidates is not None and not 1 <= candidates <= MOST:
        raise Wrong(f"candidates are from 1 to {MOST}, not {candidates}")
    place = None if prior is None else str(Path(prior).expanduser().absolute())
    told = {"prior": place, "candidates": candidates}
    return [{**r, "n": 1, "seed": r["seed"] + k, "imagines": told} for r in requests for k in range(r["n"])]


def imagined(request: Document, family: Family) -> tuple[Tensor, Document]:
    """The embedding (D), and what the recipe says of it."""
    from remembrandt.conditions import prior
    from remembrandt.family.folder import TEXT

    wish = request["imagines"]
    if family.image_encoder is None or family.kind == TEXT:
        raise Wrong(f"{family.name} is steered by text, not by pictures: take another, such as --model variations")
    if request["negative"] or request["strengths"]:
        raise Wrong("imagine takes neither a negative prompt nor strengths of concepts")
    place = Path(wish["prior"]) if wish["prior"] else embedded()
    candidates = wish["candidates"] or prior.CANDIDATES
    found = prior.imagined(prior.opened(family, place), family, request["prompt"], request["seed"], candidates)
    return found, {"prior": place.name, "candidates": candidates}


def embedded() -> Path:
    """The folder of the embedded prior."""
    place = Path(str(files("remembrandt.pocket"))) / "prior"
    if not place.is_dir():
        raise Wrong("the embedded prior is not there yet: name the folder of one with --prior")
    return place
