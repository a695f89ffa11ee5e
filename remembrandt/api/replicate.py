"""Replicate's API, the experimental DreamBooth one too: who asks, models and their versions.

The official `replicate` client works against it. The trainer is the model remembrandt/dreambooth. An owner in a path
says whose the model is only to the reader: what a token may see is its user's, and everyone's.
"""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from remembrandt.api.desk import Caller, Me
from remembrandt.api.files import base, mark, when
from remembrandt.jobs.painters import MODEL_NAME, PRETRAINED, RESERVED
from remembrandt.settings import Missing, Wrong
from remembrandt.store import users
from remembrandt.store.rows import Model

router = APIRouter(prefix="/v1", tags=["Replicate"])
OURS, TRAINER = "remembrandt", "dreambooth"
Document = dict[str, Any]


#: What a version takes and gives, as far as clients look.
SCHEMA = {
    "openapi": "3.0.2",
    "info": {"title": "Remembrandt", "version": "1"},
    "components": {
        "schemas": {
            "Input": {"type": "object", "properties": {"prompt": {"type": "string"}}},
            "Output": {"type": "array", "items": {"type": "string", "format": "uri"}},
        }
    },
}
TRAINS, PAINTS = mark(f"{OURS}/{TRAINER}"), mark(f"{OURS}/{PRETRAINED}")


class NewModel(BaseModel):
    model_config = ConfigDict(extra="ignore")

    owner: str = Field(max_length=64)
    name: str = Field(max_length=64)


@router.get("/account")
def account(me: Me) -> Document:
    """Who asks."""
    return {"type": "user", "username": me.user.name, "name": me.user.name, "github_url": None}


@router.get("/webhooks/default/secret")
def secret(me: Me) -> Document:
    """What the caller's webhooks are signed with."""
    return {"key": users.secret(me.desk.store, me.user.id)}


@router.post("/models", status_code=201)
async def create_model(me: Me, asked: NewModel, request: Request) -> Response:
    """A model that knows nothing until its first training."""
    return await me.once(["model", asked.model_dump()], lambda key: run_in_threadpool(made, me, asked, base(request)))


def made(me: Caller, asked: NewModel, host: str) -> Document:
    if asked.name in RESERVED or not MODEL_NAME.fullmatch(asked.name):
        raise Wrong(f"model name {asked.name!r} must be letters, digits, '-', '_' and '.', 64 at most")
    if me.store.model(asked.name):
        raise Wrong(f"there is a model {asked.name!r} already")
    me.store.make(Model("", asked.name, "private_meta", "gated", {}))
    return shown(me, asked.name, host, [])


@router.get("/models/{owner}/{name}")
def get_model(me: Me, request: Request, owner: str, name: str) -> Document:
    """A model that was taught, the base (remembrandt/pretrained) or the trainer."""
    held = me.store.model(name)
    rows = [] if owner != OURS and held and not held.version else versions_of(me, owner, name)
    return shown(me, name, base(request), rows, owner if owner == OURS else None)


@router.get("/models/{owner}/{name}/versions")
def versions(me: Me, owner: str, name: str) -> Document:
    """Its versions, newest first."""
    return {"previous": None, "next": None, "results": versions_of(me, owner, name)}


@router.get("/models/{owner}/{name}/versions/{id}")
def version(me: Me, owner: str, name: str, id: str) -> Document:
    """One of them."""
    found = next((row for row in versions_of(me, owner, name) if row["id"] == id), None)
    if found is None:
        raise Missing(f"there is no version {id!r} of {owner}/{name}")
    return found


def versions_of(me: Caller, owner: str, name: str) -> list[Document]:
    if owner == OURS and name in (TRAINER, PRETRAINED):
        return [_version(TRAINS if name == TRAINER else PAINTS, 0.0)]
    held = me.store.model(name)
    if held is None or not held.version:
        raise Missing(f"there is no model {owner}/{name}")
    rows = sorted(me.store.versions(held.id), key=lambda v: v.number, reverse=True)
    return [_version(number_mark(held, v.number), v.created) for v in rows]


def number_mark(held: Model, number: int) -> str:
    """The id of a version: what it says is nobody's to guess, since a model's id is not."""
    return mark(f"{held.id}:{number}")


def find(me: Caller, text: str) -> tuple[Model | None, int]:
    """The model and the number of a version, given as a bare id or `owner/name:id`; None: the base itself."""
    key = text.rpartition(":")[2]
    if key == PAINTS:
        return None, 0
    for held in me.store.models():
        for row in me.store.versions(held.id):
            if number_mark(held, row.number) == key:
                return held, row.number
    raise Missing(f"there is no version {text!r}")


def taught(me: Caller) -> list[Document]:
    """The caller's models, as Replicate lists them."""
    return [shown(me, m.name, "", versions_of(me, me.user.name, m.name)) for m in me.store.models()]


def shown(me: Caller, name: str, host: str, rows: list[Document], owner: str | None = None) -> Document:
    owner = owner or me.user.name
    return {
        "url": f"{host}/v1/models/{owner}/{name}",
        "owner": owner,
        "name": name,
        "description": None,
        "visibility": "private",
        "github_url": None,
        "paper_url": None,
        "license_url": None,
        "run_count": 0,
        "cover_image_url": None,
        "default_example": None,
        "latest_version": rows[0] if rows else None,
    }


def _version(key: str, created: float) -> Document:
    return {"id": key, "created_at": when(created), "cog_version": "0.16.0", "openapi_schema": SCHEMA}
