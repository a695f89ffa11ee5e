"""What comes over the net, as files in a folder of its own: nothing is believed, nothing is written elsewhere.

All faults are told at once. Sizes are counted while they come, not read from headers, which may lie.
"""

from __future__ import annotations

import base64
import binascii
import stat
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, BinaryIO

from PIL import Image

from remembrandt.settings import Wrong

if TYPE_CHECKING:  # torch, which a list of jobs does without
    from remembrandt.training.photos import Prepared

FILES, ENTRY, WHOLE = 1000, 64 * 2**20, 512 * 2**20  # files, bytes of one, bytes of all
PIXELS = 2**25  # of one picture: some hundred megabytes while it is prepared
RATIO = 200  # a file that packs better than this is no photo
PIECE = 2**16
LABEL = 200  # bytes of a name: file systems take 255
LITTER = {"thumbs.db", "desktop.ini", "__macosx"}
SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp"}


class Faulty(Wrong):
    """Several things are wrong with what was sent; `faults` are all of them, `crops` of what could be used."""

    def __init__(self, faults: list[str], crops: list[dict] | None = None) -> None:
        super().__init__("; ".join(faults[:8]) + (f"; and {len(faults) - 8} more" if len(faults) > 8 else ""))
        self.faults, self.crops = faults, crops or []


def unpack(given: Iterable[tuple[str, BinaryIO]], folder: Path) -> list[Path]:
    """Files, and what is in zips among them, under `folder`; `Faulty` tells everything that may not be."""
    store, faults = _Place(folder), list[str]()
    for name, file in given:
        try:
            if zipfile.is_zipfile(file):
                file.seek(0)
                faults += _zip(name, file, store)
            else:
                file.seek(0)
                store.keep(_plain(name), file)
        except Wrong as fault:
            faults.append(f"{_shown(name)} {fault}")
    if not store.paths and not faults:
        faults.append("no files were sent")
    if faults:
        raise Faulty(faults)
    return store.paths


def inspected(folder: Path, size: int) -> Prepared:
    """As `photos.inspect`; what would take much memory is among the faults, never decoded, and gone from the folder."""
    from remembrandt.training import photos

    large = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        try:
            bounded(path, size)
        except Wrong as fault:
            large.append(f"{_shown(path.relative_to(folder).as_posix())} {fault}")
            path.unlink()
    try:
        found = photos.inspect(folder, size)
    except Wrong as fault:
        raise Faulty(large or [str(fault).replace(str(folder), "what was sent")]) from None
    return replace(found, faults=[*large, *found.faults])


def bounded(path: Path, size: int = 2**15) -> None:
    """`Wrong` if a picture's header tells of too many pixels; of a large JPEG no more is decoded than `size` needs."""
    from remembrandt.training.photo import FORMATS

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            Image.init()  # the rarer formats' readers
            with Image.open(path, formats=FORMATS) as found:
                wide, high = found.size
                sparing = found.format in ("JPEG", "MPO") and min(wide, high) >= 8 * size
    except Image.DecompressionBombError:
        wide, high, sparing = PIXELS, PIXELS, False
    except Exception:  # no picture at all: who opens it says so
        return
    if wide * high > PIXELS and not sparing:
        raise Wrong(f"has more than {PIXELS // 10**6} million pixels: save it smaller")


def photos(folder: Path, size: int) -> None:
    """`Faulty` with the faults of all photos and the crops of the others, if one of them cannot be used."""
    found = inspected(folder, size)
    if found.faults:
        rows = zip(found.names, found.boxes, strict=True)
        raise Faulty(found.faults, [{"photo": name, "crop": list(box)} for name, box in rows])


def data_url(text: str) -> tuple[bytes, str]:
    """The bytes and the media type of a `data:` URL in base64."""
    head, comma, body = text.partition(",")
    if not comma or not head.startswith("data:") or not head.endswith(";base64"):
        raise Wrong("a data URL is data:image/png;base64,...")
    try:
        return base64.b64decode(body, validate=True), head[5:-7].split(";")[0] or "application/octet-stream"
    except (binascii.Error, ValueError):
        raise Wrong("the data URL is not base64") from None


class _Place:
    """Counts what is written, and stops it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.paths, self.room = folder, list[Path](), WHOLE

    def keep(self, name: PurePosixPath, source) -> None:
        if len(self.paths) >= FILES:
            raise Wrong(f"is one file too many: send at most {FILES}")
        path = self.folder / name
        if path.exists():
            path = path.with_name(f"{len(self.paths)}-{path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        size = 0
        with path.open("wb") as target:
            while piece := source.read(PIECE):
                size += len(piece)
                if size > ENTRY:
                    raise Wrong(f"is larger than {ENTRY // 2**20} MiB")
                if size > self.room:
                    raise Wrong(f"makes more than {WHOLE // 2**20} MiB in all")
                target.write(piece)
        self.room -= size
        self.paths.append(path)


def _zip(name: str, file: BinaryIO, store: _Place) -> list[str]:
    faults = []
    if _listed(file) > 10 * FILES:
        return [f"{_shown(name)} holds too many files: send at most {FILES}"]
    try:
        with zipfile.ZipFile(file) as archive:
            infos = [i for i in archive.infolist() if not i.is_dir() and not _litter(i.filename)]
            if len(infos) > FILES:
                return [f"{_shown(name)} holds {len(infos)} files: send at most {FILES}"]
            if not infos:
                return [f"{_shown(name)} is empty"]
            for info in infos:
                try:
                    with archive.open(_safe(info)) as source:
                        store.keep(_inside(info.filename), source)
                except Wrong as fault:
                    faults.append(f"{_shown(info.filename)} {fault}")
                except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, NotImplementedError, OSError):
                    faults.append(f"{_shown(info.filename)} is damaged")
                if len(faults) >= 50 or store.room <= 0:
                    break
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError):
        faults.append(f"{_shown(name)} is a damaged zip")
    return faults


def _listed(file: BinaryIO) -> int:
    """How many files a zip may list, counted in passing: `zipfile` reads the whole list into memory."""
    found, tail = 0, b""
    while piece := file.read(2**20):
        found += (tail + piece).count(b"PK\x01\x02")
        tail = (tail + piece)[-3:]
    file.seek(0)
    return found


def _safe(info: zipfile.ZipInfo) -> zipfile.ZipInfo:
    mode = info.external_attr >> 16
    if mode and not stat.S_ISREG(mode) and stat.S_IFMT(mode):
        raise Wrong("is a link or a device, not a file")
    if info.flag_bits & 1:
        raise Wrong("is encrypted: send it without a password")
    if info.file_size > ENTRY:
        raise Wrong(f"is larger than {ENTRY // 2**20} MiB")
    if info.file_size > RATIO * max(info.compress_size, 1) and info.file_size > 2**20:
        raise Wrong("unpacks to more than any picture: it is a zip bomb")
    return info


def _inside(name: str) -> PurePosixPath:
    """A path that stays within its folder; one that would not is refused, not mended."""
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name or "\0" in name or not path.parts:
        raise Wrong("lies outside its folder")
    if len(path.parts) > 8 or any(len(part.encode()) > LABEL for part in path.parts):
        raise Wrong("has a path that is too long")
    return path


def _plain(name: str) -> PurePosixPath:
    """The last part of the name of a file that came by itself."""
    last = PurePosixPath(name.replace("\\", "/")).name
    plain = "".join(c for c in last if c.isprintable() and c not in '/:*?"<>|')
    short = plain.encode()[-LABEL:].decode(errors="ignore").strip(".")
    return PurePosixPath(short or "file")


def _litter(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return any(part.lower() in LITTER or (part.startswith(".") and part != "..") for part in parts)


def _shown(name: str) -> str:
    return "".join(c for c in name if c.isprintable())[:100] or "a file"
