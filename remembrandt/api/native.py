"""BIG's three endpoints."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Header, Query, Response, UploadFile
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from remembrandt.api.desk import DAY, Caller, Me, plain
from remembrandt.api.problems import Problem
from remembrandt.api.varied import Seen, sees, varying
from remembrandt.jobs import arriving, controls, imagining, permissions, wishes
from remembrandt.jobs.gallery import Entered, Failed
from remembrandt.jobs.hands import AUTO, LARGE, alone
from remembrandt.jobs.painters import VARIATIONS
from remembrandt.jobs.painting import Stopped
from remembrandt.settings import Wrong, nearest

router = APIRouter(tags=["main"])
Document = dict[str, Any]
Scope = Literal["private", "private_meta", "meta"]


class Controlled(BaseModel):
    """A control: its name, and the picture that is followed, an upload's id or a data URL."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=64)
    image: str
    hint: bool = Field(False, description="the picture is the hint itself, and not what one is made of")
    weight: float = Field(1.0, ge=0, le=10)
    start: float = Field(0.0, ge=0, le=1, description="the share of the steps from which it acts")
    end: float = Field(1.0, ge=0, le=1)


class Generate(Seen):
    """What to paint. Pictures are ids of uploads or data URLs; what is not said comes from the model's record."""

    model_config = ConfigDict(extra="forbid")

    prompt: str | list[str]
    task: str | None = Field(None, description="of the reference's tasks, or `imagine`: the prompt through the prior")
    target_model: str | None = Field(None, description="private, private_meta, meta or pretrained")
    model: str | None = Field(None, description="a model by name; mine")
    identifier: str | None = Field(None, description="which private model is meant")
    num_images: int = Field(1, ge=1, le=wishes.PICTURES, description="of each prompt")
    negative: str = ""
    sampler: str | None = None
    steps: int | None = Field(None, ge=1, le=1000)
    guidance: float | None = Field(None, ge=0, le=1000)
    seed: int | None = Field(None, ge=0, lt=2**63)
    size: str | None = Field(None, pattern=r"^[1-9][0-9]{1,3}x[1-9][0-9]{1,3}$", description="WIDTHxHEIGHT")
    strength_of: dict[str, float] = Field({}, description="how strongly a concept acts; 1 as taught")
    image: str | None = None
    mask: str | None = None
    expand: tuple[int, int, int, int] | None = None
    depth: str | None = Field(None, description="white is near; `auto`: estimated of the image")
    upscale: bool = Field(False, description="the image, four times as large")
    level: int | None = Field(None, ge=0, le=350, description="of noise on an image that is enlarged; 20")
    strength: float | None = Field(None, ge=0, le=1)
    control: list[Controlled] = Field([], max_length=8, description="what the picture follows, all at once")
    safety: Literal["blur", "withhold", "report", "off"] | None = None
    format: Literal["png", "jpg", "webp"] = "png"
    webhook: str | None = None


@router.post("/generate", responses={202: {"description": "A job, with `Prefer: respond-async`"}})
async def generate(me: Me, asked: Generate, prefer: Annotated[str | None, Header()] = None) -> Response:
    """Paint, and answer with the images; with `Prefer: respond-async` at once with the job."""
    later = "respond-async" in (prefer or "")

    async def do(key: str) -> Any:
        entered = await run_in_threadpool(queued, me, asked, key)
        if later:
            return 202, await run_in_threadpool(me.job, entered.job.id)
        return 200, {"images": await pictures(me, entered), "job": entered.job.id}

    return await me.once(["generate", asked.model_dump(), later], do)


def queued(me: Caller, asked: Generate, key: str) -> Entered:
    """The job of a wish."""
    prompts = [asked.prompt] if isinstance(asked.prompt, str) else asked.prompt
    varied, dreamt = asked.task == VARIATIONS, asked.task == "imagine"
    name = VARIATIONS if (varied or dreamt) and not (asked.model or asked.target_model) else asked.model
    model = wishes.model(me.store, name, asked.target_model, asked.identifier)
    wish: Document = asked.model_dump(exclude={"prompt", "model"}) | {"n": asked.num_images}
    wish["size"] = asked.size and [int(side) for side in asked.size.split("x")]
    if not varied and (asked.mix or asked.edit):
        raise Wrong("mix and edit are for the task variations")
    if varied and any(x is not None for x in (asked.mask, asked.strength, asked.expand, asked.depth)):
        raise Wrong("variations over HTTP are painted from noise: they take no mask, strength, expand or depth")
    wish["upscale"] = asked.upscale or asked.task == LARGE
    if wish["upscale"] and not alone(wish):
        raise Wrong("upscale over HTTP enlarges an image as it is: send the picture that was painted as the image")
    if asked.task is not None and not varied and not dreamt:
        fits(asked)
    for part in ("image", "mask", *(["depth"] if asked.depth != AUTO else [])):
        wish[part] = None if varied else me.picture(wish[part], time.time() + DAY)
    shown = [(c.model_dump(), me.picture(c.image, time.time() + DAY) or "") for c in asked.control]
    wish["controls"] = [controls.document(*each) for each in shown]
    requests = me.requests(prompts, model, wish)
    if varied:
        requests = varying(requests, sees(me, asked.image, asked))
    if dreamt:
        requests = imagining.asked(requests, None, None)
    return me.paint(requests, asked.format, me.hook(asked.webhook), key)


def fits(asked: Generate) -> None:
    """`Wrong` if the task does not take what was sent; which task it is, the engine tells by that."""
    from remembrandt.tasks import TASKS

    row = TASKS.get(str(asked.task))
    if row is None:
        raise Wrong(f"there is no task {asked.task!r}.{nearest(str(asked.task), TASKS)} Tasks: {', '.join(TASKS)}")
    given = tuple(name for name in ("image", "mask", "expand", "depth") if getattr(asked, name) is not None)
    if not row.takes(given):
        raise Wrong(f"{asked.task} takes {' and '.join(row.needs) or 'no picture'}")


async def pictures(me: Caller, entered: Entered) -> list[Document]:
    """The images of a job, when they are there."""
    try:
        return await me.painted(entered) or []
    except Stopped as fault:
        raise Problem(503, "stopping", str(fault), headers={"retry-after": "10"}, job=entered.job.id) from None
    except Failed as fault:
        raise Problem(409 if "canceled" in str(fault) else 500, fault.code, str(fault), job=entered.job.id) from None


@router.post("/finetune", status_code=202)
async def finetune(
    me: Me,
    images: Annotated[list[UploadFile], File(description="Photos of one thing, or one zip of them.")],
    category: Annotated[str, Form(description="What it is: dog, bottle, painting.", max_length=100)],
    target_model: Annotated[Scope, Form()] = "private",
    name: Annotated[str | None, Form(max_length=64)] = None,
    identifier: Annotated[str | None, Form(max_length=64)] = None,
    method: Annotated[str | None, Form()] = None,
    memory: Annotated[str | None, Form()] = None,
    policy: Annotated[str | None, Form()] = None,
    model: Annotated[str | None, Form(max_length=64)] = None,
    base: Annotated[str | None, Form(max_length=64)] = None,
    max_train_steps: Annotated[str | None, Form(description="A number, or auto.")] = None,
    learning_rate: Annotated[str | None, Form(description="A number, or auto.")] = None,
    class_images: Annotated[list[UploadFile] | None, File()] = None,
    seed: Annotated[int, Form(ge=0, lt=2**63)] = 0,
    consent: Annotated[bool, Form(description="You have the right to the photos, and the people's consent.")] = False,
    webhook: Annotated[str | None, Form()] = None,
) -> Response:
    """One lesson: the job. What is wrong with the upload is told before there is one, all of it at once.

    A user's first lesson says `consent=true`, once; else it is refused with the question (`consent_needed`).
    """
    hook = me.hook(webhook)
    wish = {
        "scope": target_model, "name": name, "identifier": identifier, "method": method, "memory": memory,
        "policy": policy, "model": model, "base": base, "steps": number(max_train_steps, int, "max_train_steps"),
        "learning_rate": number(learning_rate, float, "learning_rate"), "seed": seed,
    }  # fmt: skip
    if target_model == "meta" and model is None:
        wish["model"] = wishes.META
    marks = [await run_in_threadpool(digest, f) for f in (*images, *(class_images or []))]
    await run_in_threadpool(permissions.ask, me.store, consent, me.desk.service.settings.photo_days)

    async def do(key: str) -> Document:
        return await run_in_threadpool(taught, me, images, class_images or [], category, wish, key, hook)

    return await me.once(["finetune", category, wish, hook, marks], do, status=202)


def taught(me: Caller, images, beside, category: str, wish: Document, key: str, hook: Document | None) -> Document:
    """Unpack, look at everything, queue."""
    lessons(me, wish)
    folder = Path(tempfile.mkdtemp(prefix="remembrandt-"))
    try:
        given = {}
        for place, files in (("photos", images), ("class", beside)):
            if files:
                arriving.unpack([(f.filename or "file", f.file) for f in files], folder / place)
                arriving.photos(folder / place, 128)
                given[place] = folder / place
        return plain(me.later(key, hook).finetune(given["photos"], category, class_images=given.get("class"), **wish))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def lessons(me: Caller, wish: Document) -> None:
    """`Wrong` if what a lesson stands on is not one of this server's: a client names no paths and no hub ids."""
    known = [row["name"] for row in me.service.families()]
    if wish["base"] is not None and wish["base"] not in known:
        raise Wrong(f"there is no base {wish['base']!r}: there are {', '.join(known)}")


def number(text: str | None, kind: type, what: str) -> Any:
    if text in (None, "", "auto"):
        return text or None
    try:
        return kind(text)
    except ValueError:
        raise Wrong(f"{what} must be a number or auto, not {text!r}") from None


def digest(file: UploadFile) -> str:
    """Of an upload's content: boundaries of multipart differ from call to call."""
    file.file.seek(0)
    found = hashlib.file_digest(file.file, "sha256").hexdigest()  # type: ignore[arg-type]
    file.file.seek(0)
    return found


@router.get("/list_identifiers_n_categories")
def identifiers(me: Me) -> dict[str, dict[str, str]]:
    """What this caller may call up, by scope."""
    found: dict[str, dict[str, str]] = {"private": {}, "private_meta": {}, "meta": {}}
    for model in me.store.models():
        for concept in me.store.concepts(model):
            found.setdefault(model.scope, {})[concept.identifier] = concept.category
    return found


@router.delete("/me")
def leave(
    me: Me, name: Annotated[str, Query(description="the caller's own, so that nobody leaves by mistake")]
) -> Document:
    """The caller goes, with photos, adapters, pictures and uploads: the receipt. Shared weights are rebuilt by jobs."""
    if name != me.user.name:
        raise Wrong("to leave, say your own name")
    if not me.user.id:
        raise Wrong("the home is yours: delete what is in it, or the home")
    return me.desk.service.leave(me.user.name)
