"""Content by its SHA-256, stored once: uploads and pictures are rows that point to it.

A file appears in one piece, under the write lock, and goes under it: between a sweep and a put of the same content one
of them waits. What a crash leaves behind (a file without a row, a row that nothing points to) the next sweep takes.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from contextlib import suppress
from dataclasses import asdict
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

from sqlalchemy import Connection, Table, delete, func, insert, select, update

from remembrandt.settings import Full, Missing
from remembrandt.store import schema
from remembrandt.store.connect import writing
from remembrandt.store.rows import Image, Upload
from remembrandt.store.store import Store
from remembrandt.store.transaction import new_id

GRACE = 3600.0  # seconds that content without an owner stays
RESERVE = 256_000_000  # bytes of the disk that are left to what already runs
PIECE = 1 << 20


class Damaged(RuntimeError):
    """What lies on the disk is not what was written."""


def put(
    store: Store,
    home: Path,
    data: bytes | BinaryIO,
    name: str,
    media: str,
    quota: int | None = None,
    expires: float | None = None,
) -> Upload:
    """Keep a file of the owner's. `Full` if the owner then has more than `quota` bytes, or the disk too little room."""

    def row(sha: str, size: int) -> tuple[Table, Any]:
        return schema.uploads, Upload(new_id(), store.owner, sha, name, media, size, time.time(), expires)

    return _put(store, home, data, quota, row)


def add_image(
    store: Store,
    home: Path,
    data: bytes | BinaryIO,
    recipe: dict[str, Any],
    job: str | None = None,
    model: str | None = None,
    quota: int | None = None,
) -> Image:
    """Keep a painted picture, as its file is, with its recipe."""

    def row(sha: str, size: int) -> tuple[Table, Any]:
        return schema.images, Image(new_id(), store.owner, sha, job, model, recipe, size, time.time())

    return _put(store, home, data, quota, row)


def get(store: Store, home: Path, key: str) -> tuple[Upload, Path]:
    """An upload of the owner's and its content; `Damaged` if that has changed on the disk."""
    t = schema.uploads
    found = store._one(Upload, select(t).where(t.c.id == key, t.c.owner == store.owner))
    if found is None or (found.expires is not None and found.expires < time.time()):
        raise Missing(f"there is no upload {key!r}")
    return found, _whole(home, found.sha)


def image(store: Store, home: Path, key: str) -> tuple[Image, Path]:
    """A picture of the owner's and its content."""
    t = schema.images
    found = store._one(Image, select(t).where(t.c.id == key, t.c.owner == store.owner))
    if found is None:
        raise Missing(f"there is no image {key!r}")
    return found, _whole(home, found.sha)


def uploads(store: Store) -> list[Upload]:
    """The owner's, newest first."""
    t = schema.uploads
    return store._all(Upload, select(t).where(t.c.owner == store.owner).order_by(t.c.created.desc(), t.c.id))


def drop(store: Store, key: str) -> None:
    """Give an upload up; its content goes with the next sweep, if nothing else holds it."""
    _drop(store, schema.uploads, key, "upload")


def drop_image(store: Store, key: str) -> None:
    """Give a picture up."""
    _drop(store, schema.images, key, "image")


def images_of(store: Store, job: str) -> list[Image]:
    """The owner's pictures of one job."""
    t = schema.images
    return store._all(Image, select(t).where(t.c.job == job, t.c.owner == store.owner))


def drop_images(store: Store, keys: list[str]) -> None:
    """Give these up."""
    for key in keys:
        with suppress(Missing):
            drop_image(store, key)


def used(store: Store) -> int:
    """Bytes that the owner's uploads and pictures take, each content once."""
    with store.engine.begin() as connection:
        return _used(connection, store.owner)


def sweep(store: Store, home: Path, grace: float = GRACE) -> int:
    """Throw away what expired and what nobody points to any more since `grace` seconds; bytes freed."""
    b, old, freed = schema.blobs, time.time() - grace, 0
    with writing(store.engine) as connection:
        u = schema.uploads
        connection.execute(delete(u).where(u.c.expires.is_not(None), u.c.expires < time.time()))
        held = select(schema.uploads.c.sha).union(select(schema.images.c.sha))
        for row in connection.execute(select(b).where(b.c.touched < old, b.c.sha.not_in(held))).all():
            _place(home, row.sha).unlink(missing_ok=True)
            connection.execute(delete(b).where(b.c.sha == row.sha))
            freed += row.size
        known = {row.sha for row in connection.execute(select(b.c.sha))}
        for path in (home / "blobs").glob("*/*"):
            if path.name not in known and path.stat().st_mtime < old:
                freed += path.stat().st_size
                path.unlink(missing_ok=True)
    return freed


def _put(store: Store, home: Path, data: bytes | BinaryIO, quota: int | None, row) -> Any:
    folder = home / "blobs" / "new"
    folder.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            sha, size = _copy(BytesIO(data) if isinstance(data, bytes) else data, file, home, quota)
        with writing(store.engine) as connection:
            b, place = schema.blobs, _place(home, sha)
            now = {"size": size, "touched": time.time()}
            if not connection.execute(update(b).where(b.c.sha == sha).values(**now)).rowcount:
                connection.execute(insert(b), {"sha": sha, **now})
            table, made = row(sha, size)
            connection.execute(insert(table), asdict(made))
            if quota is not None and _used(connection, store.owner) > quota:
                raise Full(f"that is more than the {quota:,} bytes that you may keep: delete uploads or pictures first")
            place.parent.mkdir(exist_ok=True)
            os.replace(draft, place)
            _sync(place.parent)
        return made
    finally:
        Path(draft).unlink(missing_ok=True)


def _copy(source: BinaryIO, target: BinaryIO, home: Path, quota: int | None) -> tuple[str, int]:
    """Its address and size; what is too large is refused while it comes."""
    digest, size = hashlib.sha256(), 0
    while piece := source.read(PIECE):
        digest.update(piece)
        size += len(piece)
        if quota is not None and size > quota:
            raise Full(f"that is more than the {quota:,} bytes that you may keep")
        if shutil.disk_usage(home).free - len(piece) < RESERVE:
            raise Full("the disk is nearly full: `remembrandt clean` frees what nothing needs")
        target.write(piece)
    target.flush()
    os.fsync(target.fileno())
    return digest.hexdigest(), size


def _used(connection: Connection, owner: str) -> int:
    u, i = schema.uploads, schema.images
    lives = u.c.expires.is_(None) | (u.c.expires > time.time())
    own = select(u.c.sha).where(u.c.owner == owner, lives).union(select(i.c.sha).where(i.c.owner == owner))
    b = schema.blobs
    return connection.execute(select(func.coalesce(func.sum(b.c.size), 0)).where(b.c.sha.in_(own))).scalar_one()


def _whole(home: Path, sha: str) -> Path:
    place = _place(home, sha)
    if not place.is_file():
        raise Damaged(f"the content {sha[:12]} is gone from the disk")
    with place.open("rb") as file:
        if hashlib.file_digest(file, "sha256").hexdigest() != sha:
            raise Damaged(f"the content {sha[:12]} has changed on the disk")
    return place


def _place(home: Path, sha: str) -> Path:
    return home / "blobs" / sha[:2] / sha


def _drop(store: Store, t: Table, key: str, what: str) -> None:
    b = schema.blobs
    with writing(store.engine) as connection:
        mine = (t.c.id == key) & (t.c.owner == store.owner)
        sha = connection.execute(select(t.c.sha).where(mine)).scalar()
        if sha is None:
            raise Missing(f"there is no {what} {key!r}")
        connection.execute(delete(t).where(mine))
        connection.execute(update(b).where(b.c.sha == sha).values(touched=time.time()))


def _sync(folder: Path) -> None:
    if os.name != "nt":  # there a folder cannot be opened
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
