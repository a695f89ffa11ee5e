"""Models and concepts: what there is, and what may be done with it."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from remembrandt.api import desk
from remembrandt.api.desk import Before, Limit, Me, page, plain
from remembrandt.jobs import wishes

router = APIRouter(tags=["keeping"])
Document = dict[str, Any]
Name = Annotated[str | None, Query(description="the model that is meant, where several know the concept")]


class Asked(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Forget(Asked):
    concept: str = Field(description="identifier, name or id")


class Consolidate(Asked):
    to: str | None = None
    margin: float = Field(0.1, gt=0, le=1)
    seed: int = Field(0, ge=0, lt=2**63)
    options: dict[str, Any] = {}


class Export(Asked):
    to: str = Field(description="diffusers, single-file, lora or embedding")
    concept: str | None = None
    rank: int | None = Field(None, ge=1, le=4096)


class Renamed(Asked):
    name: str = Field(max_length=64)


class Promote(Asked):
    to: str = Field(max_length=64)


class Pick(Asked):
    steps: int = Field(ge=1)
    concept: str | None = None


@router.get("/models")
def models(me: Me, limit: Limit = 200, before: Before = None) -> Document:
    """The base itself, then what was taught, as far as it is the caller's or everyone's; `next` is a name."""
    return page(me.service.models(), before, limit, "models", "name")


@router.get("/models/{id}")
def model(me: Me, id: str) -> Document:
    """One model, its concepts and its versions."""
    return shown(me.service.model(known(me, id)))


@router.delete("/models/{id}")
def delete_model(me: Me, id: str) -> Document:
    """A model with all it was taught, for good."""
    return me.service.delete_model(known(me, id))


@router.patch("/models/{id}")
def rename_model(me: Me, id: str, asked: Renamed) -> Document:
    """Another name for a model."""
    return me.service.rename_model(known(me, id), asked.name)


@router.get("/models/{id}/versions")
def versions(me: Me, id: str) -> Document:
    """The versions of a model, oldest first."""
    return {"versions": me.service.versions(known(me, id))}


@router.get("/models/{id}/audit")
def audit(me: Me, id: str) -> Document:
    """What was done to a shared model, oldest first: the home's own user sees all lines, others what they did."""
    return {"lines": me.service.audit(known(me, id))}


@router.post("/models/{id}/rollback")
def rollback(me: Me, id: str) -> Document:
    """One version back."""
    return me.service.rollback(known(me, id))


@router.post("/models/{id}/pick")
def pick(me: Me, id: str, asked: Pick) -> Document:
    """Another rung of a lesson's ladder."""
    return me.service.pick(known(me, id), asked.steps, asked.concept)


@router.post("/models/{id}/forget")
async def forget(me: Me, id: str, asked: Forget) -> Response:
    """Take a concept out; a job where the others are taught anew."""
    return await once(me, ["forget", id, asked], lambda key: me.later(key).forget(known(me, id), asked.concept))


@router.post("/models/{id}/consolidate", status_code=202)
async def consolidate(me: Me, id: str, asked: Consolidate) -> Response:
    """Distil a gated model into one set of weights: a job."""

    def do(key: str) -> Document:
        more = {"margin": asked.margin, "seed": asked.seed, "options": asked.options}
        return me.later(key).consolidate(known(me, id), asked.to, **more)

    return await once(me, ["consolidate", id, asked], do)


@router.post("/models/{id}/export", status_code=202)
async def export(me: Me, id: str, asked: Export) -> Response:
    """Take a model or a concept to other tools: a job, whose files are at /jobs/{id}/files."""

    def do(key: str) -> Document:
        return me.later(key).export(known(me, id), asked.to, "", concept=asked.concept, rank=asked.rank)

    return await once(me, ["export", id, asked], do)


@router.get("/models/{id}/retention")
def retention(me: Me, id: str) -> Document:
    """What the lessons of a model's versions measured; POST measures anew."""
    found = me.service.model(known(me, id))
    rows = [{"version": v["number"], **v["retention"]} for v in found["versions"]]
    return {"model": found["name"], "version": found["version"], "retention": rows[-1] if rows else None, "all": rows}


@router.post("/models/{id}/retention", status_code=202)
async def evaluate(me: Me, id: str, full: bool = False) -> Response:
    """Measure every concept anew: a job, whose report is at /jobs/{id}/files."""
    return await once(me, ["retention", id, full], lambda key: me.later(key).retention(known(me, id), full=full))


@router.get("/models/{id}/plan")
def plan_of(me: Me, id: str, new: str, images: Annotated[int, Query(ge=0, le=1_000_000)], policy: str = "balanced"):
    """What a lesson on this model would train beside its photos."""
    groups: dict[str, list[str]] = {}
    for concept in me.service.model(known(me, id))["concepts"]:
        groups.setdefault(concept["category"], []).append(concept["identifier"])
    text = ";".join(f"{category}:{','.join(words)}" for category, words in groups.items())
    return me.service.plan(text, new, images, policy=policy)


@router.get("/plan")
def plan(
    me: Me, new: str, images: Annotated[int, Query(ge=0, le=1_000_000)], known: str = "", policy: str = "balanced"
) -> Document:
    """What a lesson would train beside its photos, of what is said to be known: "bottle:b1,b2;dog:d1"."""
    return me.service.plan(known, new, images, policy=policy)


@router.get("/concepts")
def concepts(me: Me, model: Name = None, limit: Limit = 200, before: Before = None) -> Document:
    """What was taught."""
    return page(me.service.concepts(None if model is None else known(me, model)), before, limit, "concepts")


@router.get("/concepts/{id}")
def concept(me: Me, id: str, model: Name = None) -> Document:
    """One concept, by id, identifier or name."""
    return me.service.concept(id, model)


@router.delete("/concepts/{id}")
def delete_concept(me: Me, id: str, model: Name = None) -> Document:
    """A concept, its adapter and its photos, for good."""
    return me.service.delete_concept(id, model)


@router.patch("/concepts/{id}")
def rename_concept(me: Me, id: str, asked: Renamed, model: Name = None) -> Document:
    """Another name that calls it up."""
    return me.service.rename_concept(id, asked.name, model)


@router.post("/concepts/{id}/promote", status_code=202)
async def promote(me: Me, id: str, asked: Promote, model: Name = None) -> Response:
    """Teach another model what was tested in this one, with the same photos: a job."""
    return await once(me, ["promote", id, model, asked], lambda key: me.later(key).promote(id, asked.to, model))


@router.get("/samplers")
def samplers(me: Me) -> Document:
    """The rules that walk from noise to picture, with their advice."""
    return {"samplers": me.service.samplers()}


@router.get("/methods")
def methods(me: Me) -> Document:
    """How weights move in a lesson."""
    return {"methods": me.service.methods()}


@router.get("/families")
def families(me: Me) -> Document:
    """What a new model can stand on."""
    own = not me.user.id
    return {"families": [row if own else {"name": row["name"]} for row in me.service.families()]}


def shown(model: Document) -> Document:
    """A model without what only this machine can use: where its base lies."""
    base = model["base"]
    return model if isinstance(base, str) else {**model, "base": {k: base[k] for k in ("name", "digest")}}


async def once(me: desk.Caller, mark: list, do) -> Response:
    """A use case that may be a job: 202 if it is one."""
    fingerprint = [part.model_dump() if isinstance(part, BaseModel) else part for part in mark]

    async def answer(key: str):
        found = await run_in_threadpool(do, key)
        return (202, plain(found)) if "state" in found else (200, found)

    return await me.once(fingerprint, answer)


def known(me: desk.Caller, id: str) -> str:
    """A model that the caller may see; no path, whatever it is called."""
    return wishes.model(me.store, id)
