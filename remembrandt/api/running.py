"""Replicate's trainings and predictions: jobs of ours in their form."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from remembrandt.api import files, replicate
from remembrandt.api.desk import Caller, Me
from remembrandt.api.files import base, named
from remembrandt.api.replicate import OURS, TRAINER, TRAINS, find
from remembrandt.api.shapes import real, shape, text, whole
from remembrandt.jobs import arriving, painters
from remembrandt.jobs.gallery import Entered
from remembrandt.settings import Missing, Wrong
from remembrandt.store import blobs, paging
from remembrandt.store.rows import ENDED, Job

router = APIRouter(prefix="/v1", tags=["Replicate"])
EVENTS = {"start": ("running",), "output": ("progress",), "logs": ("progress",), "completed": ENDED}
SCHEDULERS = {
    "DDIM": "ddim", "K_EULER": "euler", "K_EULER_ANCESTRAL": "euler-a", "DPMSolverMultistep": "dpmpp-2m",
    "PNDM": "plms", "KLMS": "lms",
}  # fmt: skip
ARTICLES = {"a", "an", "the"}
WAIT = 60.0
Document = dict[str, Any]


class Asked(BaseModel):
    model_config = ConfigDict(extra="ignore")

    input: dict[str, Any]
    webhook: str | None = None
    webhook_completed: str | None = None
    webhook_events_filter: list[str] | None = None


class Training(Asked):
    destination: str | None = None
    model: str | None = Field(None, description="the destination, as the experimental API called it")
    version: str | None = None
    trainer_version: str | None = None
    notes: str | None = None


class Prediction(Asked):
    version: str | None = None


@router.post("/trainings", status_code=201)
async def train(me: Me, request: Request, asked: Training) -> Response:
    """A lesson, as Replicate's experimental API asks for it; every trainer's version means our one trainer."""
    return await training(me, request, asked, asked.destination or asked.model)


@router.post("/models/{owner}/{name}/versions/{id}/trainings", status_code=201)
async def train_version(me: Me, request: Request, owner: str, name: str, id: str, asked: Training) -> Response:
    """A lesson by the trainer remembrandt/dreambooth; the result is a new version of `destination`."""
    if (owner, name) != (OURS, TRAINER) or id != TRAINS:
        raise Missing(f"there is no trainer {owner}/{name}:{id}: there is {OURS}/{TRAINER}:{TRAINS}")
    return await training(me, request, asked, asked.destination)


async def training(me: Caller, request: Request, asked: Training, destination: str | None) -> Response:
    if not destination or "/" not in destination:
        raise Wrong("destination must be owner/name: it is made if there is none")
    host = base(request)

    def do(key: str) -> Document:
        about = {"kind": "training", "destination": destination, "version": TRAINS, "input": asked.input}
        hook = hooked(me, asked, {**about, "notes": asked.notes, "base": host})
        teach(me, host, asked.input, destination.split("/", 1)[1], key, hook)
        return shape(me.store, me.row(key))

    return await me.once(["training", destination, asked.model_dump()], lambda key: run_in_threadpool(do, key))


def teach(me: Caller, host: str, given: Mapping[str, Any], name: str, key: str, hook: Document) -> None:
    """Read the inputs, unpack and look at the photos, queue the lesson."""
    word, category = called(text(given, "instance_prompt") or "", text(given, "class_prompt") or "")
    held = me.store.model(name)
    memory = held.memory if held and held.version else text(given, "memory") or "gated"
    wish: Document = {
        "model": name, "scope": "private_meta", "memory": memory, "identifier": word,
        "steps": whole(given, "max_train_steps"),
        "instance_prompt": str(given["instance_prompt"]), "method": text(given, "method"),
        "learning_rate": real(given, "learning_rate"), "seed": whole(given, "seed") or 0,
    }  # fmt: skip
    warm = whole(given, "lr_warmup_steps")
    wish["options"] = {"warmup": warm} if warm else {}
    kinds = {"photos": "instance_data", "class": "class_data"}
    folder = Path(tempfile.mkdtemp(prefix="remembrandt-"))
    try:
        places = {}
        for place, field in kinds.items():
            if place == "photos" or given.get(field):
                row, path = blobs.get(me.store, me.desk.home.path, named(me, host, given.get(field), field))
                with path.open("rb") as file:
                    arriving.unpack([(row.name, file)], folder / place)
                arriving.photos(folder / place, 128)
                places[place] = folder / place
        if memory == "replay":  # gated memory forgets nothing, and takes no pictures of the class
            wish["class_prompt"] = str(given["class_prompt"])
            wish["num_class_images"] = whole(given, "num_class_images")
            wish["class_images"] = places.get("class")
        me.later(key, hook).finetune(places["photos"], category, **wish)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def called(instance: str, plain: str) -> tuple[str, str]:
    """Identifier and category: the one word of the photos' prompt that the class prompt lacks, and what follows it."""
    words, known = (re.findall(r"\w+(?:-\w+)*", prompt.lower()) for prompt in (instance, plain))
    own = list(dict.fromkeys(w for w in words if w not in known and w not in ARTICLES))
    if len(own) != 1:
        which = ", ".join(own) or "none"
        raise Wrong(f"instance_prompt must have one word that class_prompt lacks, which calls it up; it has {which}")
    after = [w for w in words[words.index(own[0]) + 1 :] if w in known]
    if not after and not known:
        raise Wrong("class_prompt must say what it is, for example `a photo of a dog`")
    return own[0], after[0] if after else known[-1]


@router.post("/predictions", status_code=201)
async def predict(
    me: Me, request: Request, asked: Prediction, prefer: Annotated[str | None, Header()] = None
) -> Response:
    """Paint with a version: a bare id or `owner/name:id`, such as a training's `output.version`."""
    if not asked.version:
        raise Wrong("say which version")
    return await prediction(me, request, asked, asked.version, prefer)


@router.post("/models/{owner}/{name}/predictions", status_code=201)
async def predict_model(
    me: Me, request: Request, owner: str, name: str, asked: Prediction, prefer: Annotated[str | None, Header()] = None
) -> Response:
    """Paint with the newest version of a model."""
    rows = await run_in_threadpool(replicate.versions_of, me, owner, name)
    return await prediction(me, request, asked, rows[0]["id"], prefer)


async def prediction(me: Caller, request: Request, asked: Prediction, version: str, prefer: str | None) -> Response:
    host = base(request)

    def queued(key: str) -> Entered:
        found = wanted(me, host, version, asked.input)
        key_of = version.rpartition(":")[2]
        about = {"kind": "prediction", "version": key_of, "input": asked.input, "base": host}
        return me.paint([found], "png", hooked(me, asked, about), key)

    async def do(key: str):
        entered = await run_in_threadpool(queued, key)
        if wait := re.match(r"wait(?:=([0-9]{1,4}))?$", (prefer or "").strip()):
            try:
                await me.painted(entered, min(WAIT, float(wait[1] or WAIT)))
            except Exception:  # it is in the job, which is what the answer tells
                await asyncio.sleep(0)
        return await run_in_threadpool(lambda: shape(me.store, me.row(entered.job.id)))

    return await me.once(["prediction", version, asked.model_dump()], do)


def wanted(me: Caller, host: str, version: str, given: Mapping[str, Any]) -> Document:
    """A prediction's inputs as a request to the painter."""
    held, number = find(me, version)
    scheduler, concepts = text(given, "scheduler"), []
    if held is not None:
        concepts = me.store.concepts(replace(held, version=number))
    wish: Document = {
        "n": whole(given, "num_outputs") or 1, "steps": whole(given, "num_inference_steps"),
        "guidance": real(given, "guidance_scale"), "seed": whole(given, "seed"),
        "negative": text(given, "negative_prompt"),
        "safety": "off" if str(given.get("disable_safety_check", "")).lower() == "true" else None,
        "sampler": SCHEDULERS.get(scheduler, scheduler) if scheduler else None,
    }  # fmt: skip
    if not 1 <= wish["n"] <= 10:
        raise Wrong("num_outputs must be from 1 to 10")
    for ours, theirs in (("image", "image"), ("mask", "mask")):
        wish[ours] = me.picture(named(me, host, given[theirs], theirs), 0) if given.get(theirs) else None
    if wish["image"]:
        share = real(given, "prompt_strength")
        wish["strength"] = 0.8 if share is None and not wish["mask"] else share
    wide, high = whole(given, "width"), whole(given, "height")
    if (wide or high) and not wish["image"]:
        wish["size"] = [wide or high, high or wide]
    prompt = text(given, "prompt")
    if prompt is None:
        prompt = f"a {concepts[-1].identifier} {concepts[-1].category}" if concepts else ""
    [found] = me.requests([prompt], held.name if held else painters.PRETRAINED, wish)
    if held is not None and number != held.version:
        row = me.store.version(held.id, number)
        past = {"version": number, "weights": row.weights if row else None}
        found |= {**past, "older": [painters.known(c) for c in concepts]}
    return found


def hooked(me: Caller, asked: Asked, about: Document) -> Document:
    """The job's webhook, which also keeps what only Replicate's form of it tells."""
    if asked.webhook_completed and not asked.webhook:
        return me.hook(asked.webhook_completed, replicate=about) or {}
    chosen = asked.webhook_events_filter or list(EVENTS)
    for name in chosen:
        if name not in EVENTS:
            raise Wrong(f"there is no webhook event {name!r}: there are {', '.join(EVENTS)}")
    events = tuple(dict.fromkeys(event for name in chosen for event in EVENTS[name]))
    return me.hook(asked.webhook, events, replicate=about) or {"url": None, "events": [], "replicate": about}


@router.get("/trainings")
def trainings(me: Me, request: Request, cursor: Annotated[str | None, Query()] = None) -> Document:
    """The caller's, newest first."""
    return several(me, request, "training", cursor)


@router.get("/trainings/{id}")
def one_training(me: Me, id: str) -> Document:
    """One of them."""
    return shape(me.store, theirs(me, id, "training"))


@router.post("/trainings/{id}/cancel")
def cancel_training(me: Me, id: str) -> Document:
    """Stop it."""
    return stopped(me, id, "training")


@router.get("/predictions")
def predictions(me: Me, request: Request, cursor: Annotated[str | None, Query()] = None) -> Document:
    """The caller's, newest first."""
    return several(me, request, "prediction", cursor)


@router.get("/predictions/{id}")
def one_prediction(me: Me, id: str) -> Document:
    """One of them."""
    return shape(me.store, theirs(me, id, "prediction"))


@router.post("/predictions/{id}/cancel")
def cancel_prediction(me: Me, id: str) -> Document:
    """Stop it."""
    return stopped(me, id, "prediction")


def theirs(me: Caller, key: str, kind: str) -> Job:
    row = me.row(key)
    if (row.webhook or {}).get("replicate", {}).get("kind") != kind:
        raise Missing(f"there is no {kind} {key!r}")
    return row


def stopped(me: Caller, key: str, kind: str) -> Document:
    if theirs(me, key, kind).state not in ENDED:
        me.service.cancel(key)
        me.desk.gallery.cancel(key)
    return shape(me.store, me.row(key))


def several(me: Caller, request: Request, kind: str, cursor: str | None) -> Document:
    rows = paging.jobs(me.store, cursor, files.PAGE + 1, kind)
    return files.listed(request, rows, lambda row: shape(me.store, row))
