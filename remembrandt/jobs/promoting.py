"""The wish for what was taught already: the same photos, words and parameters, in another model."""

from __future__ import annotations

import re

from remembrandt.jobs.files import Home
from remembrandt.jobs.orders import Wish
from remembrandt.memory.retention import MARGIN
from remembrandt.settings import Wrong
from remembrandt.store.rows import Concept, Model
from remembrandt.store.store import Store


def again(concept: Concept, held: Model, to: str, store: Store, home: Home, scope: str = "meta") -> Wish:
    """The wish that teaches `concept` to the model `to` as it was: a promotion. A new model is of that `scope`."""
    if to == held.name:
        raise Wrong(f"{held.name} knows {concept.identifier!r} already: give another model to --to")
    kept = concept.photos, concept.facts.get("masks", ())
    photos, masks = ([home.photos / f"{address}.png" for address in some] for some in kept)
    if not photos or not all(p.is_file() for p in (*photos, *masks)):
        raise Wrong(f"the photos of {concept.identifier!r} are gone: teach {to} from your own with finetune")
    target, facts, word = store.model(to), concept.facts, concept.identifier
    new = target is None or not target.version
    taken = not new and word in store.used(target.id)  # type: ignore[union-attr]
    other = not new and target.memory != held.memory  # type: ignore[union-attr]  # whose methods and words are others
    margin = MARGIN if other else facts.get("margin") or MARGIN
    shared = (scope if new else target.scope) == "meta"  # type: ignore[union-attr]
    free = lambda said: re.sub(rf"(?<!\w){re.escape(word)}(?!\w)", "{identifier}", said)  # noqa: E731
    return Wish(
        photos,
        concept.category,
        concept.name,
        to,
        base=str(home.path / held.base["folder"]) if new else None,
        scope=scope if new else None,
        memory=held.memory if new and held.scope != "private" else None,
        method=None if other else concept.method,
        identifier=None if taken or other else word,
        instance_prompt=free(facts["prompts"][0]),
        class_prompt=None if other or held.memory != "replay" else facts["class_prompt"],
        seed=facts["seed"],
        masks=masks,
        options={} if other else facts["options"],
        policy=None if other else facts.get("policy"),
        margin=min(margin, MARGIN) if shared else margin,  # what everyone uses is never put at a greater risk
        told=[[free(said) for said in some] for some in facts.get("told") or []] or None,
    )
