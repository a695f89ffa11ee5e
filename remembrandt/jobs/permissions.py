"""Who may teach what and paint with what; a home of one's own knows no such questions."""

from __future__ import annotations

from remembrandt.settings import Denied, Settings, Wrong
from remembrandt.store import users
from remembrandt.store.rows import Model
from remembrandt.store.store import Store

CONSENT = "By teaching from photos you say that you have the right to use them and the consent of the people in them"


class Unasked(Wrong):
    """A first lesson over HTTP that does not say so; the message is the question."""


def kept(days: float | None) -> str:
    """What becomes of photos, as whoever gives them is told."""
    if days is None:
        return "they are kept for measuring and rebuilding until you delete the concept or yourself"
    return f"they are deleted after {days:g} days: then what they taught is painted, but no more measured"


def fading(memory: str, days: float | None) -> list[str]:
    """What a lesson is told whose photos go one day, and whose model needs them."""
    if days is None or memory != "replay":
        return []
    said = "later lessons replay what the model paints then instead of them, and it cannot be rebuilt without a concept"
    return [f"photos are deleted after {days:g} days (REMEMBRANDT_PHOTO_DAYS): {said}"]


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


def ask(store: Store, said: bool, days: float | None) -> None:
    """Over HTTP: record what was said at the first lesson; `Unasked`, with the question, where nothing was."""
    if said:
        users.consent(store, store.owner, "affirmed")
    elif (held := users.user(store, store.owner)) is None or held.consent is None:
        raise Unasked(f"{CONSENT}; {kept(days)}. Say so once, with consent=true")


def consent(store: Store) -> None:
    """Elsewhere who teaches says so by teaching, which is recorded of a server's users."""
    if store.owner:
        users.consent(store, store.owner, "by teaching")
