"""Who may teach what and paint with what; a home of one's own knows no such questions."""

from __future__ import annotations

from remembrandt.settings import Denied, Settings
from remembrandt.store import users
from remembrandt.store.rows import Model
from remembrandt.store.store import Store

CONSENT = (
    "By teaching from photos you say that you have the right to use them and the consent of the people in them;"
    " they are kept for measuring and rebuilding until you delete the concept or yourself"
)


def use(store: Store, scope: str) -> None:
    """`Denied` if the store's owner may not paint with models of this scope."""
    if store.owner:
        held = users.user(store, store.owner)
        if held is None or scope not in held.scopes:
            raise Denied(f"you may not use models of scope {scope!r} here")


def teach(store: Store, model: Model, settings: Settings) -> None:
    """`Denied` if the store's owner may not teach this model, as `settings.meta_teachers` says of shared ones."""
    use(store, model.scope)
    if store.owner and model.scope == "meta":
        held = users.user(store, store.owner)
        known = settings.meta_teachers
        if held is None or not ("everyone" in known or held.name in known):
            raise Denied(f"you may paint with {model.name}, which is everyone's, but not teach it")


def consent(store: Store, said: bool = False) -> str | None:
    """Record at the first lesson that its photos may be used; what to tell the user, that once."""
    if not store.owner:
        return None
    held = users.user(store, store.owner)
    if held is None or held.consent is not None:
        return None
    users.consent(store, store.owner, "affirmed" if said else "by teaching")
    return CONSENT
