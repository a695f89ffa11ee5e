"""Whether what was painted is a near copy: of the picture that was varied, or of a photo that the model was taught on.

Such a picture the model may have learned by heart. What was painted over another picture is not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remembrandt.jobs.files import Home, read
from remembrandt.jobs.varying import READY
from remembrandt.report import Event, Progress

if TYPE_CHECKING:
    from remembrandt.engine.engine import Painted
    from remembrandt.evaluation.copies import Original

Document = dict[str, Any]
KEPT = 64  # photos whose views are kept for the next picture; a third of a megabyte each


def told(
    request: Document,
    painted: Sequence[Painted],
    opened: Callable[[str, str | None], Any],
    home: Home,
    progress: Progress,
) -> list[Painted]:
    """The pictures; near copies say so in their recipes, and in a line each.

    `copies_input` is the score of a variation that is its input again; `near_copy` tells which photo (the first is 1)
    of which concept that the prompt names, and the score.
    """
    if request.get("image"):
        return list(painted)
    from remembrandt.evaluation.copies import nearest

    seen = request.get("sees", {}).get("picture", READY)
    given = [] if seen.endswith(READY) else [opened("input", seen)]
    photos = taught(request, painted[0].recipe.get("concepts", ()), home) if painted else []
    if not given and not photos:
        return list(painted)
    originals = [*given, *(original(place) for _, _, place in photos)]
    found = []
    for one, near in zip(painted, nearest([p.pixels for p in painted], originals), strict=True):
        if near.copied and near.of is not None:
            score, seed = round(near.score, 3), one.recipe["seed"]
            if near.of < len(given):
                what, said = "its input", {"copies_input": score}
            else:
                concept, number, _ = photos[near.of - len(given)]
                what = f"photo {number} of {concept}"
                said = {"near_copy": {"concept": concept, "photo": number, "score": score}}
            message = f"seed {seed} is nearly {what} again: the model may have learned it by heart"
            progress(Event("painting", 0, 1, message=message))
            one = replace(one, recipe={**one.recipe, **said})
        found.append(one)
    return found


def taught(request: Document, named: Sequence[str], home: Home) -> list[tuple[str, int, Path]]:
    """Identifier, number and file of each photo of the concepts that are named, as far as they were kept."""
    addresses = request.get("photos", {})
    every = [(n, k, home.photos / f"{a}.png") for n in named for k, a in enumerate(addresses.get(n, ()), 1)]
    return [photo for photo in every if photo[2].is_file()]


@lru_cache(maxsize=KEPT)
def original(place: Path) -> Original:
    """A photo, ready to be compared; it never changes, since its name is its content's."""
    from remembrandt.evaluation.copies import Original

    return Original(read(place))
