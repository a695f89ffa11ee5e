"""That no two concepts of a model answer to one word: asked once more in the transaction that publishes."""

from __future__ import annotations

from sqlalchemy import Connection, select

from remembrandt.settings import Wrong
from remembrandt.store import schema
from remembrandt.store.rows import Concept, Model


def distinct(connection: Connection, model: Model, ids: list[str], new: Concept) -> None:
    """`Wrong` if another concept of the model answers to a word of the new one, or may not stand beside it."""
    if model.scope == "private" and ids:
        raise Wrong(f"{model.name} is private and was taught its one concept meanwhile: teach another --model")
    t = schema.concepts
    others = [Concept(**row._mapping) for row in connection.execute(select(t).where(t.c.id.in_(ids)))]
    for other in others:
        theirs, mine = {other.identifier, other.name} - {None}, {new.identifier, new.name} - {None}
        categories = {*other.category.lower().split()} & mine | {*new.category.lower().split()} & theirs
        for word in sorted((theirs & mine) | categories):
            mend = f"`concepts rename {other.identifier}`, then `jobs resume {new.job}`"
            raise Wrong(f"{word!r} calls up another concept of {model.name} since this lesson began: {mend}")
