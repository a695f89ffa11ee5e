"""Pictures and uploads: what was painted, what was sent, and what jobs made."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, File, Query, Response, UploadFile
from fastapi.responses import FileResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool

from remembrandt.api import desk
from remembrandt.api.desk import Before, Limit, Me, following
from remembrandt.api.native import digest
from remembrandt.jobs import arriving
from remembrandt.settings import Missing, Wrong
from remembrandt.store import blobs, paging

router = APIRouter(tags=["pictures"])
SAFE = {"x-content-type-options": "nosniff"}
Document = dict[str, Any]


@router.get("/images")
def images(me: Me, limit: Limit = 50, before: Before = None) -> Document:
    """The caller's pictures, newest first; `next` is the `before` of the next page."""
    rows = paging.images(me.store, before, limit + 1)
    return {"images": [desk.image(r) for r in rows[:limit]], "next": following(rows, limit)}


@router.get("/images/{id}", responses={200: {"content": {"image/png": {}, "image/jpeg": {}, "image/webp": {}}}})
def image(me: Me, id: str) -> FileResponse:
    """A picture, as its file is, with its recipe inside."""
    return file(blobs.image(me.store, me.desk.home.path, id)[1])


@router.get("/images/{id}/recipe")
def recipe(me: Me, id: str) -> Document:
    """What paints it again."""
    return desk.image(blobs.image(me.store, me.desk.home.path, id)[0])


@router.delete("/images/{id}", status_code=204)
def delete_image(me: Me, id: str) -> None:
    """A picture, for good."""
    blobs.drop_image(me.store, id)


@router.post("/uploads", status_code=201)
async def upload(me: Me, file: Annotated[UploadFile, File()]) -> Response:
    """Keep a file, to be named by its id."""

    def do(key: str) -> Document:
        return uploaded(me.receive(file))

    mark = await run_in_threadpool(digest, file)
    return await me.once(["upload", file.filename, mark], lambda key: run_in_threadpool(do, key))


@router.get("/uploads")
def uploads(me: Me, limit: Limit = 50, before: Before = None) -> Document:
    """The caller's files, newest first."""
    rows = paging.uploads(me.store, before, limit + 1)
    return {"uploads": [uploaded(r) for r in rows[:limit]], "next": following(rows, limit)}


@router.get("/uploads/{id}", responses={200: {"content": {"application/octet-stream": {}}}})
def uploaded_file(me: Me, id: str) -> FileResponse:
    """The file."""
    row, path = blobs.get(me.store, me.desk.home.path, id)
    return sent(path, row.name)


@router.delete("/uploads/{id}", status_code=204)
def delete_upload(me: Me, id: str) -> None:
    """A file, for good."""
    blobs.drop(me.store, id)


@router.post("/prepare")
async def prepare(me: Me, images: Annotated[list[UploadFile], File()], size: Annotated[int, Query(ge=64)] = 128):
    """The crops that would be trained on, all faults and hints: nothing is kept."""
    return await run_in_threadpool(looked, images, size)


def looked(images: list[UploadFile], size: int) -> Document:
    folder = Path(tempfile.mkdtemp(prefix="remembrandt-"))
    try:
        arriving.unpack([(f.filename or "file", f.file) for f in images], folder)
        found = arriving.inspected(folder, size)
        rows = zip(found.photos, found.names, found.boxes, strict=True)
        crops = [{"photo": name, "size": list(p.size), "crop": list(box)} for p, name, box in rows]
        return {"size": size, "images": crops, "faults": found.faults, "hints": found.hints}
    except arriving.Faulty as fault:
        return {"size": size, "images": [], "faults": fault.faults, "hints": []}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@router.get("/jobs/{id}/files", responses={200: {"content": {"application/zip": {}}}})
def files(me: Me, id: str) -> FileResponse:
    """What an export or an evaluation made, as one zip."""
    me.row(id)
    folder = me.desk.home.job(id)
    found = next((folder / name for name in ("export", "report") if (folder / name).is_dir()), None)
    if found is None:
        raise Missing(f"job {id} made no files")
    made = tempfile.mkdtemp(prefix="remembrandt-")
    path = shutil.make_archive(f"{made}/{id}", "zip", found)
    gone = BackgroundTask(shutil.rmtree, made, ignore_errors=True)
    return FileResponse(path, media_type="application/zip", filename=f"{id}.zip", background=gone)


@router.get("/jobs/{id}/preview", responses={200: {"content": {"image/png": {}, "image/jpeg": {}}}})
def preview(me: Me, id: str) -> FileResponse:
    """The newest picture on the way."""
    me.row(id)
    found = sorted((me.desk.home.job(id) / "previews").glob("*"), key=lambda p: p.stat().st_mtime)
    if not found:
        raise Missing(f"job {id} has no preview yet")
    return file(found[-1])


@router.get("/jobs/{id}/ladder", responses={200: {"content": {"image/png": {}}}})
def ladder(me: Me, id: str) -> FileResponse:
    """The pictures of every rung, of a lesson that looked for its own number of steps."""
    me.row(id)
    found = me.desk.home.job(id) / "ladder.png"
    if not found.is_file():
        raise Missing(f"job {id} climbed no ladder")
    return file(found)


def uploaded(row) -> Document:
    return {"id": row.id, "name": row.name, "media": row.media, "bytes": row.size, "sha256": row.sha} | {
        "url": f"/uploads/{row.id}", "created": row.created, "expires": row.expires,
    }  # fmt: skip


def file(path: Path) -> FileResponse:
    """A picture, by what it is and not by what it is called."""
    with path.open("rb") as opened:
        head = opened.read(12)
    kinds = {b"\x89PNG": "image/png", b"\xff\xd8\xff": "image/jpeg", b"RIFF": "image/webp"}
    media = next((kind for start, kind in kinds.items() if head.startswith(start)), None)
    if media is None:
        raise Wrong("that is no picture")
    return FileResponse(path, media_type=media, headers={"cache-control": "private, max-age=86400", **SAFE})


def sent(path: Path, name: str) -> FileResponse:
    """A file that was uploaded: saved, never shown, whatever it says it is."""
    return FileResponse(path, media_type="application/octet-stream", filename=name, headers=SAFE)
