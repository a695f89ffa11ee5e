"""Where everything lies in a home, and what moves there in one piece."""

from __future__ import annotations

import filecmp
import json
import os
import secrets
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from remembrandt.report import write_atomic

if TYPE_CHECKING:
    from remembrandt.family.family import Family


#: Folders of a job that nobody needs once it is published.
WAY = ("checkpoints", "staging", "photos", "masks", "class", "ladder", "scenes")


@dataclass(frozen=True)
class Home:
    """Paths; nothing is made before something is written."""

    path: Path

    @property
    def pictures(self) -> Path:
        return self.path / "pictures"

    @property
    def photos(self) -> Path:
        return self.path / "photos"

    @property
    def bases(self) -> Path:
        return self.path / "bases"

    @property
    def class_pictures(self) -> Path:
        """Class images that lessons share, by a digest of what made them."""
        return self.path / "class"

    @property
    def loras(self) -> Path:
        """What was imported, each in a folder of its name."""
        return self.path / "loras"

    @property
    def controls(self) -> Path:
        """Controls that were trained here, each in a folder of its name."""
        return self.path / "controls"

    def job(self, key: str) -> Path:
        return self.path / "jobs" / key

    def concept(self, model: str, key: str) -> Path:
        return self.path / "models" / model / key

    def base(self, digest: str) -> Path:
        return self.bases / digest

    def relative(self, path: Path) -> str:
        """As the database keeps it."""
        return path.relative_to(self.path).as_posix()


@dataclass(frozen=True)
class Files:
    """The files of one job; `load(source, device, precision)` gives a family."""

    home: Home
    key: str
    load: Callable[..., Family]

    @property
    def folder(self) -> Path:
        return self.home.job(self.key)

    @property
    def result(self) -> Path:
        """Written last: the work is done and only has to be published."""
        return self.folder / "result.json"

    def squares(self, name: str = "photos") -> list[np.ndarray]:
        """The pictures that the job was given, (s, s, 3) uint8, in their order."""
        return [read(path) for path in sorted((self.folder / name).glob("*.png"))]

    def give(self, squares: Sequence[np.ndarray], name: str = "photos") -> None:
        """Leave pictures in the job's folder, before it is queued."""
        for number, square in enumerate(squares):
            place = self.folder / name / f"{number:05d}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(square).save(place)

    def keep_photos(self, name: str = "photos") -> list[str]:
        """The job's photos, or their masks, under their content's address; returns the addresses."""
        kept = []
        for path in sorted((self.folder / name).glob("*.png")):
            data = path.read_bytes()
            kept.append(address(data))
            place = self.home.photos / f"{kept[-1]}.png"
            if not place.is_file():
                write_atomic(place, data)
        return kept

    def tidy(self) -> None:
        tidy(self.folder)


def tidy(job: Path) -> None:
    """After publishing: of the way there the request, the previews and the ladder's strip are kept."""
    for name in WAY:
        shutil.rmtree(job / name, ignore_errors=True)
    for path in (job / "examples.safetensors", job / "before.json", job / "base.json"):
        path.unlink(missing_ok=True)


def address(data: bytes) -> str:
    """The name of content: its SHA-256."""
    import hashlib

    return hashlib.sha256(data).hexdigest()


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def move(source: Path, target: Path) -> None:
    """A folder, in one piece; a move that was already made is left as it is."""
    if source.is_dir():
        shutil.rmtree(target, ignore_errors=True)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.replace(source, target)


def share(folder: Path, others: Iterable[Path]) -> None:
    """Files of a folder that lie in one of the others too, at the same place and equal to the byte, become one file."""
    for other in others:
        for path in (p for p in folder.rglob("*") if p.is_file()):
            same, draft = other / path.relative_to(folder), path.with_name(f".{path.name}.link")
            if same.is_file() and not path.samefile(same) and filecmp.cmp(path, same, shallow=False):
                with suppress(OSError):  # a disk without links: then it is stored twice
                    draft.unlink(missing_ok=True)
                    os.link(same, draft)
                    os.replace(draft, path)


def copy_family(source: Path, target: Path) -> None:
    """The files of a family, as they are, whole or not at all; nothing where they are already."""
    if target.is_dir():
        return
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    try:
        if source.is_dir():
            shutil.copytree(source, draft, ignore=_foreign)
        else:
            draft.mkdir(parents=True)
            shutil.copyfile(source, draft / source.name)
            if (source.parent / "tokenizer").is_dir():  # published checkpoints hold none of their own
                shutil.copytree(source.parent / "tokenizer", draft / "tokenizer")
        os.replace(draft, target)
    except OSError:
        if not target.is_dir():  # else another process was faster
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _foreign(folder: str, names: list[str]) -> list[str]:
    """What lies in a family's folder and is none of it."""

    def own(name: str) -> bool:
        if (Path(folder) / name).is_dir():
            return not name.startswith(".") and name != "ladder"
        return name.endswith((".json", ".txt", ".safetensors")) or name == "README.md"  # which says the licence

    return [name for name in names if not own(name)]


def size(places: Iterable[Path]) -> int:
    """Bytes on disk of files and folders; what several share (a hard link) counts once."""
    seen: dict[tuple[int, int], int] = {}
    for place in places:
        for path in (place, *place.rglob("*")) if place.is_dir() else (place,):
            if path.is_file():
                stat = path.stat()
                seen[stat.st_dev, stat.st_ino] = stat.st_size
    return sum(seen.values())


def remove(places: Iterable[Path]) -> int:
    """Take files and folders away; returns the bytes that became free: of a file with several names, with its last."""
    found = [place for place in dict.fromkeys(places) if place.exists()]
    names = {path: path.stat() for place in found for path in (place, *place.rglob("*")) if path.is_file()}
    gone = Counter((stat.st_dev, stat.st_ino) for stat in names.values())
    sizes = {(s.st_dev, s.st_ino): s.st_size for s in names.values() if s.st_nlink == gone[s.st_dev, s.st_ino]}
    for place in found:
        shutil.rmtree(place) if place.is_dir() else place.unlink(missing_ok=True)  # it may lie in another
    return sum(sizes.values())


def document(path: Path) -> dict | None:
    """A JSON file, or None."""
    return json.loads(path.read_text()) if path.is_file() else None
