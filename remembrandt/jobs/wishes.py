"""From a user's wish for pictures to requests that the painter takes: JSON, complete, and painted again the same."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from remembrandt.jobs import hands, painters
from remembrandt.jobs.painters import MINE, POCKET, PRETRAINED, TASKS
from remembrandt.settings import Missing, Settings, Wrong, nearest
from remembrandt.store.store import Store

META, SCOPES = "meta", ("private", "private_meta", "meta", "pretrained")
PICTURES = 64  # of one request
Document = dict[str, Any]


def picture(store: Store, settings: Settings, prompt: str, model: str | None, wish: Mapping[str, Any]) -> Document:
    """A request of one prompt; without a seed, from one that is drawn and told."""
    wanted = {k: wish.get(k) for k in ("sampler", "steps", "guidance", "size", "image", "mask", "strength", "safety")}
    if task := hands.wanted(wish):
        told = {k: wish[k] for k in ("depth", "upscale", "level") if wish.get(k) is not None and wish[k] is not False}
        wanted |= {**told, "hand": {"task": task, "families": [*store.families().values()]}}
    if wish.get("controls"):
        wanted["controls"] = [{**c, "source": store.families().get(c["name"])} for c in wish["controls"]]
    expand, seed = wish.get("expand"), wish.get("seed")
    return {
        "prompt": prompt,
        "negative": wish.get("negative") or "",
        "n": 1 if wish.get("n") is None else wish["n"],
        "seed": secrets.randbelow(2**31) if seed is None else seed,
        "strengths": dict(wish.get("strength_of") or {}),
        "expand": expand and list(expand),
        "device": settings.device,
        "precision": settings.precision,
        **wanted,
        **painters.painter(store, model),
    }


def model(store: Store, name: str | None, scope: str | None = None, identifier: str | None = None) -> str:
    """The model that is meant, of those that this owner may see: by its name, or by scope as BIG's clients say it.

    No path and no hub id: who asks over the net does not say what this machine loads.
    """
    if name is not None:
        known = [MINE, PRETRAINED, POCKET, *TASKS, *store.families(), *(m.name for m in store.models())]
        if name not in known:
            raise Missing(f"there is no model {name!r}.{nearest(name, known)} GET /models lists them")
        return name
    if scope is None:
        return MINE
    if scope not in SCOPES:
        raise Wrong(f"there is no target_model {scope!r}.{nearest(scope, SCOPES)} There are: {', '.join(SCOPES)}")
    if scope == PRETRAINED:
        return PRETRAINED
    found = [m for m in store.models() if m.scope == scope]
    if identifier is not None:
        word = identifier.lower()
        found = [m for m in found if any(word in (c.identifier, c.name) for c in store.concepts(m))]
    if not found:
        about = f" that knows {identifier!r}" if identifier else ""
        raise Missing(f"there is no {scope} model{about}: GET /list_identifiers_n_categories lists what there is")
    if scope == "private" and identifier is None and len(found) > 1:
        raise Wrong("several private models are yours: say which by `identifier`")
    return next((m.name for m in found if m.name in (MINE, META)), found[0].name)
