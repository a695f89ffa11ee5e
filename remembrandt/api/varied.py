"""Variations over the net: what is to be seen, mixed and edited, as the painter's requests say it (`jobs/varying.py`),
but with the ids of uploads for pictures: where those lie, the gallery looks up when they are painted.

Texts and pictures are told apart by their field: what a client writes is never looked up as a path of this machine.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from remembrandt.api.desk import DAY, Caller
from remembrandt.jobs.painters import VARIATIONS
from remembrandt.jobs.varying import HEAVIEST
from remembrandt.settings import Wrong

Document = dict[str, Any]


class Mixed(BaseModel):
    """A text or a picture (an upload's id or a data URL) that is mixed in."""

    model_config = ConfigDict(extra="forbid")

    text: str | None = Field(None, min_length=1, max_length=2000)
    image: str | None = None
    weight: float = Field(1.0, ge=0, le=HEAVIEST)

    @model_validator(mode="after")
    def one(self) -> Mixed:
        if (self.text is None) == (self.image is None):
            raise ValueError("a mix is of one text or one image")
        return self


class Edit(BaseModel):
    """A picture moved from what one text says to what another says."""

    model_config = ConfigDict(extra="forbid")

    source: str = Field(min_length=1, max_length=2000)
    target: str = Field(min_length=1, max_length=2000)
    weight: float = Field(1.0, ge=-HEAVIEST, le=HEAVIEST)


class Seen(BaseModel):
    """The fields of a request that varies a picture."""

    mix: list[Mixed] = Field(default=[], max_length=16)
    edit: Edit | None = None
    blend: Literal["slerp", "sum"] = "slerp"


def sees(me: Caller, image: str | None, asked: Seen) -> Document:
    """What a variation of the picture asks to see."""
    if image is None:
        raise Wrong("variations take an image")
    edit = asked.edit and {"from": asked.edit.source, "to": asked.edit.target, "weight": asked.edit.weight}
    mix = [
        {"text": each.text, "weight": each.weight}
        if each.image is None
        else {**_picture(me, each.image), "weight": each.weight}
        for each in asked.mix
    ]
    return {**_picture(me, image), "mix": mix, "edit": edit, "blend": asked.blend}


def varying(requests: list[Document], seen: Document) -> list[Document]:
    """The requests, steered by what is seen instead of being painted over it."""
    return [{**request, "image": None, "strength": None, "sees": seen} for request in requests]


def embedded() -> bool:
    """Whether the package brings a painter that sees."""
    return (files("remembrandt.pocket") / VARIATIONS).is_dir()


def _picture(me: Caller, given: str) -> Mapping[str, str]:
    return {"picture": me.picture(given, time.time() + DAY) or "", "name": "picture"}
