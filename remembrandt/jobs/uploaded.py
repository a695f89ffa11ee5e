"""Pictures that a job knows as uploads: those of its requests, and the hints that it leaves to be fed back."""

from __future__ import annotations

import time
from typing import Any

from remembrandt.engine import recipe
from remembrandt.engine.engine import Painted
from remembrandt.jobs.files import Home
from remembrandt.store import blobs
from remembrandt.store.store import Store

KEPT = 7 * 86400.0  # seconds that a hint stays
Document = dict[str, Any]


def placed(request: Document, store: Store, home: Home) -> Document:
    """The request with the files of its pictures, of the store's owner."""

    def found(some: Document, *names: str) -> Document:
        kept = {n: str(blobs.get(store, home.path, some[n])[1]) for n in names if some.get(n) not in (None, "auto")}
        return {**some, **kept}

    whole = found(request, "image", "mask", "depth")
    if controls := whole.get("controls"):
        whole["controls"] = [found(each, "picture") for each in controls]
    if sees := whole.get("sees"):
        whole["sees"] = {**found(sees, "picture"), "mix": [found(each, "picture") for each in sees["mix"]]}
    return whole


def hints(painted: Painted, store: Store, home: Home, quota: int | None) -> Document:
    """The hints of a picture as uploads: `{hints: {control: {id, url}}}`, empty without."""
    kept, until = {}, time.time() + KEPT
    for name, pixels in painted.hints.items():
        row = blobs.put(store, home.path, recipe.png(pixels), f"{name}.png", "image/png", quota, until)
        kept[name] = {"id": row.id, "url": f"/uploads/{row.id}"}
    return {"hints": kept} if kept else {}
