"""Replicate's files: sent with a token, or by a link that opens once; and inputs that name them."""

from __future__ import annotations

import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, File, Form, Query, Request, Response, UploadFile
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool

from remembrandt.api.auth import Links
from remembrandt.api.desk import DAY, Caller, Me, following
from remembrandt.api.native import digest
from remembrandt.api.pictures import sent
from remembrandt.api.problems import Problem
from remembrandt.jobs import arriving
from remembrandt.jobs.gallery import quota
from remembrandt.settings import Missing, Wrong
from remembrandt.store import blobs, paging, users
from remembrandt.store.rows import Upload

router = APIRouter(prefix="/v1", tags=["Replicate"])
PAGE = 100  # rows of a list
Document = dict[str, Any]


def mark(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def when(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def listed(request: Request, rows: Sequence[Any], told: Callable[[Any], Document]) -> Document:
    """A page of rows, one more than it holds if there is another, as Replicate tells it."""
    last = following(rows, PAGE)
    after = last and f"{base(request)}{request.url.path}?cursor={last}"
    return {"previous": None, "next": after, "results": [told(row) for row in rows[:PAGE]]}


@router.post("/files", status_code=201)
async def create_file(
    me: Me, request: Request, content: Annotated[UploadFile, File()], metadata: Annotated[str, Form()] = "{}"
) -> Response:
    """Keep a file for a day."""

    def do(key: str) -> Document:
        return file(me.receive(content, time.time() + DAY), base(request)) | {"metadata": told}

    try:
        told = json.loads(metadata)
    except ValueError:
        raise Wrong("metadata must be JSON") from None
    seen = await run_in_threadpool(digest, content)
    return await me.once(["file", content.filename, seen], lambda key: run_in_threadpool(do, key))


@router.get("/files")
def files(me: Me, request: Request, cursor: Annotated[str | None, Query()] = None) -> Document:
    """The caller's files, newest first."""
    rows = paging.uploads(me.store, cursor, PAGE + 1)
    return listed(request, rows, lambda row: file(row, base(request)))


@router.get("/files/{id}")
def one_file(me: Me, request: Request, id: str) -> Document:
    """What is known of a file."""
    return file(blobs.get(me.store, me.desk.home.path, id)[0], base(request))


@router.get("/files/{id}/download", responses={200: {"content": {"application/octet-stream": {}}}})
def download(me: Me, id: str) -> FileResponse:
    """A file."""
    row, path = blobs.get(me.store, me.desk.home.path, id)
    return sent(path, row.name)


@router.delete("/files/{id}", status_code=204)
def delete_file(me: Me, id: str) -> None:
    """A file, for good."""
    blobs.drop(me.store, id)


def file(row: Upload, host: str) -> Document:
    return {
        "id": row.id,
        "name": row.name,
        "content_type": row.media,
        "size": row.size,
        "etag": row.sha,
        "checksums": {"sha256": row.sha},
        "metadata": {},
        "created_at": when(row.created),
        "expires_at": when(row.expires),
        "urls": {"get": f"{host}/v1/files/{row.id}"},
    }


@router.post("/upload/{name}")
def upload_link(me: Me, request: Request, name: str) -> Document:
    """Where to PUT a file, once and without a header, and by which URL a training names it."""
    if not 0 < len(name) <= 200:
        raise Wrong("a file's name has 1 to 200 characters")
    signature = me.desk.links.upload(me.user.id, name)
    place = f"{base(request)}/v1/upload/{name}"
    return {"upload_url": f"{place}?signature={signature}", "serving_url": f"{place}?file={served(signature)}"}


@router.put("/upload/{name}", include_in_schema=False)
async def uploaded(request: Request, name: str, signature: str = "") -> Document:
    """The one route that a signature opens; it is looked at before the body."""
    desk = request.app.state.desk
    links: Links = desk.links
    owner = links.take(signature, name)
    if owner is None:
        raise Problem(401, "unauthorized", "this link was used, has expired or never was")
    store, held = desk.store.of(owner), users.user(desk.store, owner)
    with tempfile.TemporaryFile() as spool:
        async for piece in request.stream():
            spool.write(piece)
        spool.seek(0)
        label, until = f"{served(signature)}/{name}", time.time() + DAY
        most = held and quota(held, desk.service.settings)
        row = await run_in_threadpool(blobs.put, store, desk.home.path, spool, label, "application/zip", most, until)
    return {"id": row.id, "size": row.size}


@router.get("/upload/{name}", responses={200: {"content": {"application/octet-stream": {}}}})
def serve_upload(me: Me, name: str, file: Annotated[str, Query()]) -> FileResponse:
    """What was uploaded by a link."""
    return sent(blobs.get(me.store, me.desk.home.path, by_link(me, f"{file}/{name}"))[1], name)


def served(signature: str) -> str:
    """How a served file is called: who sees it cannot upload in its place."""
    return mark(signature)[:32]


def by_link(me: Caller, label: str) -> str:
    found = next((row.id for row in blobs.uploads(me.store) if row.name == label), None)
    if found is None:
        raise Missing("nothing was uploaded there, or it has expired")
    return found


def named(me: Caller, host: str, text: Any, what: str) -> str:
    """The upload that an input names: a URL of our own, which is read and never fetched, a data URL, or an id."""
    if not isinstance(text, str):
        raise Wrong(f"{what} must be a URL of /v1/files, a serving_url or a data URL")
    if text.startswith("data:"):
        data, media = arriving.data_url(text)
        return me.keep(data, what, media, time.time() + DAY)
    path = text.removeprefix(host)
    if path.startswith("/v1/files/"):
        key = path.removeprefix("/v1/files/").removesuffix("/download")
    elif path.startswith("/v1/upload/"):
        name, _, label = path.removeprefix("/v1/upload/").partition("?file=")
        key = by_link(me, f"{label}/{name}")
    elif path.startswith(("http://", "https://")):
        raise Wrong(f"{what} is elsewhere: upload it here first (POST /v1/files); this server fetches nothing")
    else:
        key = path
    return blobs.get(me.store, me.desk.home.path, key)[0].id
