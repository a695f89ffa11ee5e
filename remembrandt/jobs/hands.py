"""Task models of a model's base: who wishes for a depth or an enlargement gets the base's own model for it, and its
concepts with it, since a task model's weights are the base's and what they differ by.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remembrandt.settings import Wrong

if TYPE_CHECKING:
    import numpy as np

    from remembrandt.family.family import Family

AUTO = "auto"
DEPTH, LARGE = "depth", "upscale"
Document = dict[str, Any]


def wanted(wish: Mapping[str, Any]) -> str | None:
    """The task model that a request needs."""
    if wish.get("upscale"):
        return LARGE
    return DEPTH if wish.get("depth") is not None else None


def alone(wish: Mapping[str, Any]) -> bool:
    """Whether an enlargement is of a picture as it is, and of none that is painted first."""
    told = ("strength", "mask", "expand", "depth", "sees")
    return wish.get("image") is not None and all(wish.get(k) is None for k in told)


def hand(request: Document) -> str | Path | None:
    """Where the task model lies that was made of the request's base: the embedded one, or one of the added families;
    None if it needs none, or there is none."""
    from remembrandt.family import delta, load

    asked = request.get("hand")
    if asked is None or request.get("weights"):
        return None
    base = request["base"]
    for source in [asked["task"], *asked["families"]]:
        place = load.folder_of(source)
        said = delta.record(place) if place else None
        if not said or said.get("task") != asked["task"]:
            continue
        if said["of"] == base["digest"] or (base["digest"] is None and said["base"] == str(base["source"])):
            return source
    return None


def near(given: str | None, picture: np.ndarray | None, family: Family) -> np.ndarray | None:
    """A depth (h, w), larger is nearer: of a file, or of the picture by an estimator, that of a folder or the family's.

    `Wrong` if there is none, or if it is not of the picture's size.
    """
    if given is None:
        return None
    from remembrandt.conditions import depth
    from remembrandt.training import photo

    place = Path(given)
    if given == AUTO or place.is_dir():
        if picture is None:
            raise Wrong("a depth is estimated of a picture: give --image, or the depth as a file")
        return depth.estimated(family, picture, None if given == AUTO else place)
    try:
        found = photo.grey(place)
    except Wrong as fault:
        raise Wrong(f"the depth {place.name} {fault}") from None
    if picture is not None and found.shape != picture.shape[:2]:
        sizes = ("{}x{}".format(*m.shape[1::-1]) for m in (found, picture))
        raise Wrong("the depth is {}, the image {}: give both in one size".format(*sizes))
    return found
