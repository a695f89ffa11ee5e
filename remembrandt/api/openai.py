"""The image routes of OpenAI's API: the official `openai` client works against them.

`model`, `seed`, `steps`, `guidance`, `sampler` and `negative` of ours may be sent as extra fields; what has no meaning
here (quality, style, background, moderation ...) is taken and does nothing.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from io import BytesIO
from typing import Annotated, Any, Literal

from fastapi import APIRouter, File, Form, Request, Response, UploadFile
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from remembrandt.api import replicate, varied
from remembrandt.api.desk import KEPT, Caller, Me
from remembrandt.api.native import digest, pictures
from remembrandt.jobs import arriving, wishes
from remembrandt.jobs.painters import VARIATIONS
from remembrandt.settings import Wrong
from remembrandt.store import blobs

router = APIRouter(prefix="/v1/images", tags=["OpenAI"])
THEIRS = ("dall-e-2", "dall-e-3", "gpt-image-1", "gpt-image-1-mini", "gpt-image-1.5")  # say nothing here: ours is meant
VARIED = 0.75  # how much of a picture is painted over where a model has no eyes of its own
Size = Annotated[str | None, Field(pattern=r"^(auto|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})$")]
Form_ = Literal["url", "b64_json"]
Document = dict[str, Any]


class Generation(BaseModel):
    model_config = ConfigDict(extra="ignore")

    prompt: str = Field(max_length=32000)
    model: str | None = None
    n: int | None = Field(1, ge=1, le=10)
    size: Size = None
    response_format: Form_ | None = None
    output_format: Literal["png", "jpeg", "webp"] | None = None
    seed: int | None = Field(None, ge=0, lt=2**63)
    steps: Annotated[int | None, Field(ge=1, le=1000)] = None
    guidance: Annotated[float | None, Field(ge=0, le=1000)] = None
    sampler: str | None = None
    negative: str = ""


@router.post("/generations")
async def generations(me: Me, request: Request, asked: Generation) -> Response:
    """Pictures of a prompt."""
    wish = asked.model_dump(include={"seed", "steps", "guidance", "sampler", "negative"}) | {"n": asked.n}
    return await answer(me, request, ["generations", asked.model_dump()], asked, asked.prompt, wish)


@router.post("/edits")
async def edits(
    me: Me,
    request: Request,
    prompt: Annotated[str, Form(max_length=32000)],
    mask: Annotated[UploadFile | None, File()] = None,
    model: Annotated[str | None, Form()] = None,
    n: Annotated[int, Form(ge=1, le=10)] = 1,
    size: Annotated[str | None, Form(pattern=r"^(auto|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})$")] = None,
    response_format: Annotated[Form_ | None, Form()] = None,
    seed: Annotated[int | None, Form(ge=0, lt=2**63)] = None,
    image: Annotated[list[UploadFile] | None, File()] = None,
) -> Response:
    """A picture painted anew where the mask (else the picture itself) is transparent; over, where nothing is."""
    given = [*(image or []), *[f for f in (await request.form()).getlist("image[]") if not isinstance(f, str)]]
    if len(given) != 1:
        raise Wrong("send one image")
    marks = [await run_in_threadpool(digest, f) for f in (*given, *([mask] if mask else []))]  # type: ignore[arg-type]

    def wish(until: float) -> Document:
        picture = opened(given[0], "the image")
        hole = opened(mask, "the mask") if mask else picture
        if mask and not hole.has_transparency_data:
            raise Wrong("the mask has no transparency: what is transparent is painted anew")
        found = {"n": n, "seed": seed, "image": kept(me, picture.convert("RGB"), until)}
        if hole.has_transparency_data:
            anew = hole.convert("RGBA").getchannel("A").point([255] * 128 + [0] * 128)
            if anew.size != picture.size:
                raise Wrong("the mask must be as large as the image")
            found["mask"] = kept(me, anew, until) if anew.getextrema()[1] else None
        return found

    form = Generation(prompt=prompt, model=model, n=n, size=size, response_format=response_format, seed=seed)
    return await answer(me, request, ["edits", form.model_dump(), marks], form, prompt, wish)


@router.post("/variations")
async def variations(
    me: Me,
    request: Request,
    image: Annotated[UploadFile, File()],
    model: Annotated[str | None, Form()] = None,
    n: Annotated[int, Form(ge=1, le=10)] = 1,
    size: Annotated[str | None, Form(pattern=r"^(auto|[1-9][0-9]{1,3}x[1-9][0-9]{1,3})$")] = None,
    response_format: Annotated[Form_ | None, Form()] = None,
    seed: Annotated[int | None, Form(ge=0, lt=2**63)] = None,
) -> Response:
    """Others like a picture: by a model that sees pictures if it is one, else painted over from its larger forms."""
    mark = await run_in_threadpool(digest, image)

    def wish(until: float) -> Document:
        found = kept(me, opened(image, "the image").convert("RGB"), until)
        return {"n": n, "seed": seed, "image": found, "strength": VARIED}

    form = Generation(prompt="", model=model, n=n, size=size, response_format=response_format, seed=seed)
    return await answer(me, request, ["variations", form.model_dump(), mark], form, "", wish)


async def answer(
    me: Caller,
    request: Request,
    mark: list,
    asked: Generation,
    prompt: str,
    wish: Document | Callable[[float], Document],
) -> Response:
    """Paint and tell as OpenAI does."""
    format = {"jpeg": "jpg"}.get(asked.output_format or "png", asked.output_format or "png")

    def queued(key: str):
        found = wish(time.time() + KEPT) if callable(wish) else dict(wish)
        found["size"] = None if asked.size in (None, "auto") else [int(s) for s in asked.size.split("x")]
        name, seen = None if asked.model in THEIRS else asked.model, None
        if mark[0] == VARIATIONS and (name == VARIATIONS or (name is None and varied.embedded())):
            name, seen = VARIATIONS, varied.sees(me, found.pop("image"), varied.Seen())
            found.pop("strength")
        requests = me.requests([prompt], wishes.model(me.store, name), found)
        return me.paint(varied.varying(requests, seen) if seen else requests, format, None, key)

    async def do(key: str):
        images = await pictures(me, await run_in_threadpool(queued, key))
        shown = [await run_in_threadpool(shape, image) for image in images]
        return 200, {"created": int(time.time()), "data": shown, "size": images[0]["size"], "output_format": format}

    def shape(image: Document) -> Document:
        if asked.response_format == "url":
            return {"url": str(request.base_url).rstrip("/") + image["url"]}
        path = blobs.image(me.store, me.desk.home.path, image["id"])[1]
        return {"b64_json": base64.b64encode(path.read_bytes()).decode()}

    return await me.once(mark, do)


def opened(file, what: str) -> Image.Image:
    """A picture that was sent, decoded; `Wrong` if it is none or too large."""
    file.file.seek(0)
    try:
        with Image.open(file.file, formats=["PNG", "JPEG", "WEBP"]) as found:
            if found.width * found.height > arriving.PIXELS:
                raise Wrong(f"{what} has more than {arriving.PIXELS:,} pixels")
            found.load()
            return found.copy()
    except Wrong:
        raise
    except Exception as fault:  # whatever a decoder of damaged bytes raises
        raise Wrong(f"{what} is not a PNG, JPEG or WebP ({type(fault).__name__})") from None


def kept(me: Caller, picture: Image.Image, until: float) -> str:
    data = BytesIO()
    picture.save(data, "PNG")
    return me.keep(data.getvalue(), "picture.png", "image/png", until)


models = APIRouter(prefix="/v1/models", tags=["OpenAI"])


@models.get("")
def list_models(me: Me) -> Document:
    """The models that may be named, as OpenAI lists them; with `results` as Replicate does."""
    rows = me.service.models()
    data = [{"id": m["name"], "object": "model", "created": 0, "owned_by": m["scope"]} for m in rows]
    return {"object": "list", "data": data, "next": None, "previous": None, "results": replicate.taught(me)}
