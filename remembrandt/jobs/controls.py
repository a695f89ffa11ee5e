"""Controls: from what is asked for to the networks and hints that the engine is given.

What a request holds is JSON: `controls: [{name, picture, ready, weight, start, end, source}]`; `ready` where the
picture is the hint itself, `source` the folder that a family's name stands for.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from remembrandt.jobs.files import Home
from remembrandt.jobs.given import path
from remembrandt.settings import Wrong, nearest

if TYPE_CHECKING:
    import numpy as np

    from remembrandt.conditions.control import Steer
    from remembrandt.family.family import Family

Document = dict[str, Any]
Steered = Callable[[Document], "tuple[Steer, ...]"]
FIELDS = {"name", "image", "hint", "weight", "start", "end"}
READY = ":hint"


@contextmanager
def given(control: Sequence[Any], span: Mapping[str, Sequence[float]] | None = None) -> Iterator[list[Document]]:
    """The `controls` of a request; pictures that are in memory lie in a while's folder.

    Each is a text, NAME=FILE[:WEIGHT] or NAME:hint=FILE[:WEIGHT] where FILE is the hint itself, or a mapping of `name`,
    `image` (path, PIL, array or tensor), `hint` (true where it is the hint), `weight`, `start` and `end`. `span` has
    START and END by name.
    """
    with tempfile.TemporaryDirectory() as folder:
        found = []
        for number, each in enumerate(control):
            asked = read(each) if isinstance(each, str) else dict(each)
            if asked.keys() - FIELDS or not asked.get("name") or asked.get("image") is None:
                raise Wrong(f"a control has a name and an image, and may have {', '.join(sorted(FIELDS))}")
            place = path(asked["image"], Path(folder) / f"{number}.png").absolute()
            if not place.is_file():
                raise Wrong(f"there is no picture {place}")
            found.append(document(asked, str(place)))
        by_name = {each["name"]: each for each in found}
        for name, ends in (span or {}).items():
            if name not in by_name or len(ends) != 2:
                raise Wrong(f"--control-span takes NAME=START,END of a control that is given, not {name!r}")
            by_name[name]["start"], by_name[name]["end"] = ends
        yield found


def sent(control: Sequence[Any], span: Mapping[str, Sequence[float]] | None, upload: Callable) -> list[Document]:
    """The `control` of a request over HTTP; `upload` gives a picture's document there."""
    with given(control, span) as found:
        return [
            {k: each[k] for k in ("name", "weight", "start", "end")}
            | {"image": upload(each["picture"])["id"], "hint": each["ready"]}
            for each in found
        ]


def document(asked: Mapping[str, Any], picture: str) -> Document:
    """A control of a request, from its fields and the place or the id of its picture."""
    numbers = {"weight": 1.0, "start": 0.0, "end": 1.0}
    numbers |= {k: asked[k] for k in numbers if asked.get(k) is not None}
    for name, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise Wrong(f"{name} of the control {asked['name']} is a number, not {value!r}")
    return {"name": asked["name"], "picture": picture, "ready": bool(asked.get("hint")), **numbers}


def read(text: str) -> Document:
    """`NAME[:hint]=FILE[:WEIGHT]`; the weight is read from the right and only if it is a number."""
    name, equals, file = text.partition("=")
    if not (name.strip() and equals and file):
        raise Wrong(f"--control takes NAME=FILE or NAME=FILE:WEIGHT, not {text!r}")
    place, colon, number = file.rpartition(":")
    weight = 1.0
    if colon and not os.path.exists(file):
        with suppress(ValueError):
            weight, file = float(number), place
    name = name.strip()
    return {"name": name.removesuffix(READY), "image": file, "hint": name.endswith(READY), "weight": weight}


def reader(family: Family, home: Home, opened: Callable[[str, str | None], Any]) -> Steered:
    """A function from requests to their controls; `opened` reads a picture."""
    from remembrandt.conditions.control import Steer

    def steers(request: Document) -> tuple[Steer, ...]:
        found = []
        for each in request.get("controls") or ():
            network, hint = _network(each["name"], each.get("source"), family, home)
            picture: np.ndarray = opened("picture", each["picture"])
            how = {k: each[k] for k in ("weight", "start", "end")}
            found.append(Steer(each["name"], network, picture, hint=None if each["ready"] else hint, **how))
        return tuple(found)

    return steers


def names(home: Home) -> list[str]:
    """What can be asked for by name, but for added families."""
    from remembrandt.conditions.hints import HINTS
    from remembrandt.family import control

    own = sorted(p.name for p in home.controls.iterdir() if control.is_one(p)) if home.controls.is_dir() else []
    return [*HINTS, *(name for name in own if name not in HINTS)]


def _network(name: str, source: str | None, family: Family, home: Home) -> tuple[Any, str | None]:
    """The control of that name for the family, which keeps it, and the kind of hint that it was shown."""
    from remembrandt.conditions import turned
    from remembrandt.conditions.hints import HINTS
    from remembrandt.family import control

    if name not in (known := names(home)) and source is None:
        raise Wrong(f"there is no control {name!r}.{nearest(name, known)} There are: {', '.join(known)}")
    here = [p for p in _places(name, source, home) if control.is_one(p)]
    place = next((p for p in here if control.fits(p, family)), None) or _published(name, family)
    if place is None:
        if here:
            turned.load(here[0], family)  # which says why it cannot be
        raise Wrong(
            f"there is no control {name!r} for {family.name} here: train it"
            f" (`remembrandt train FAMILY controlnet --name {name} --data PAIRS`), or add a folder of diffusers'"
            f" ControlNetModel (`remembrandt families add {name} FOLDER`){_hub(name)}"
        )
    if place not in family.controls:
        family.controls[place] = turned.load(place, family)
    return family.controls[place], control.facts(place).get("hint", name if name in HINTS else None)


def _places(name: str, source: str | None, home: Home) -> list[Path]:
    """Where it may lie: as it was added, as it was trained here, in the package."""
    added = [Path(source).expanduser()] if source else []
    return [*added, home.controls / name, Path(str(files("remembrandt"))) / "pocket" / "controls" / name]


def _published(name: str, family: Family) -> Path | None:
    """The network that was published for SD 1, if the family is one and the hub's cache holds it."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    from remembrandt.conditions.hints import HINTS
    from remembrandt.family import control

    if name not in HINTS:
        return None
    try:
        place = Path(snapshot_download(HINTS[name].published, local_files_only=True))
    except LocalEntryNotFoundError:
        return None
    return place if control.is_one(place) and control.fits(place, family) else None


def _hub(name: str) -> str:
    from remembrandt.conditions.hints import HINTS

    if name not in HINTS:
        return ""
    return f"; for Stable Diffusion 1.x `remembrandt families pull {HINTS[name].published}` fetches one"
