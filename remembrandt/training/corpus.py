"""Many pictures to train on: a folder, a JSON-lines file, or tars as WebDataset writes them, read as a stream.

What cannot be used is left out and counted: of a million pictures from anywhere some are damaged, and one of them must
not end a training. That nothing is left is an error.
"""

from __future__ import annotations

import json
import re
import tarfile
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from remembrandt.conditions import spatial
from remembrandt.settings import Wrong
from remembrandt.training import photo, photo_hints, photos

PATHS = ("path", "image", "file_name")
CAPTIONS = ("caption", "text", "TEXT")
HINTED = ("hint", "conditioning_image", "source")
PAIR = ".hint.png"  # in place of a picture's own suffix, as it is called that its control is to see
SCORES = ("aesthetic", "aesthetic_score", "AESTHETIC_SCORE")
BESIDE = "metadata.jsonl"  # says in a folder of pictures what its pictures are
RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")  # as WebDataset writes {00000..01209}
DETAIL = re.compile(r" \(.*?\)|:.*")  # of a fault: reasons are counted, not pictures
TWINS = 0.95  # correlation at 16 x 16 in colour: other pictures of one world reach 0.93, copies saved anew have 0.97


@dataclass(frozen=True, eq=False)
class Item:
    """A picture as it is found: a file, or bytes out of a tar, and what is said of it."""

    name: str
    data: Path | bytes
    caption: str = ""
    score: float | None = None
    hint: Path | bytes | None = None


@dataclass(frozen=True, eq=False)
class Picture:
    """A picture that is trained on: `number` is its place in the source; `square`, `wide`, `hint` uint8 (s, s, 3)."""

    number: int
    name: str
    square: np.ndarray
    wide: np.ndarray
    caption: str = ""
    hint: np.ndarray | None = None


@dataclass(frozen=True)
class Filters:
    """What a picture must have: pixels on its shorter side, an aesthetic score, no twin before it, a hint beside it."""

    min_side: int = 0
    aesthetic: float = 0.0
    dedup: bool = False
    paired: bool = False


@dataclass(eq=False)
class Twins:
    """What was seen before, up to light, a new compression, a little shift, or a mirror."""

    seen: list[np.ndarray] = field(default_factory=list)

    def look(self, square: np.ndarray) -> bool:
        """Whether a picture like this was shown before; else it is remembered."""
        both = signatures([square, square[:, ::-1]])
        if any(float((known @ both.T).max()) > TWINS for known in self.seen):
            return True
        if self.seen and len(self.seen[-1]) < 4096:  # few large products instead of many small ones
            self.seen[-1] = np.concatenate([self.seen[-1], both[:1]])
        else:
            self.seen.append(both[:1])
        return False


def signatures(squares: Sequence[np.ndarray]) -> np.ndarray:
    """Rows (n, 768) whose products are the correlations of small pictures."""
    small = [Image.fromarray(square).resize((16, 16), Image.Resampling.BOX) for square in squares]
    return photo_hints.standard(np.stack([np.asarray(s, np.float32) for s in small]))


def items(data: str | Path) -> Iterator[Item]:
    """Everything a source holds, in its own order; `Wrong` where there is no source, or one that cannot be read."""
    place = Path(data).expanduser()
    if found := _tars(place):
        for tar in found:
            yield from _tar(tar)
    elif place.suffix.lower() in (".jsonl", ".ndjson"):
        yield from _lines(place)
    elif (place / BESIDE).is_file():
        yield from _lines(place / BESIDE)
    else:
        for path, name in photos.files(place):
            if path.stem.endswith(PAIR.removesuffix(".png")) and path.suffix == ".png":
                continue
            beside, hint = path.with_suffix(photos.CAPTION), path.with_suffix(PAIR)
            said = _said(beside.read_text("utf-8", "replace")) if beside.is_file() else ""
            yield Item(name, path, said, hint=hint if hint.is_file() else None)


def pictures(
    source: Iterator[Item], filters: Filters, size: int, seen_at: int, out: Counter[str], after: int = -1,
    twins: Twins | None = None,
) -> Iterator[Picture]:  # fmt: skip
    """The squares that pass, `size` and `seen_at` pixels a side; `out` counts why others were left out.

    Those up to number `after` were seen to before.
    """
    twins = twins or Twins()
    with tempfile.TemporaryDirectory() as folder:
        for number, item in enumerate(source):
            if number <= after:
                continue
            try:
                yield _picture(number, item, filters, (size, seen_at), twins, Path(folder))
            except Wrong as fault:
                out[DETAIL.sub("", str(fault))] += 1


def count(data: str | Path, filters: Filters) -> int:
    """How many pictures there are; those too small or shown before are not known before they are opened."""
    return sum(filters.aesthetic <= (item.score or 0) for item in items(data))


def _picture(number: int, item: Item, filters: Filters, sizes: Sequence[int], twins: Twins, folder: Path) -> Picture:
    if filters.aesthetic and (item.score is None or item.score < filters.aesthetic):
        raise Wrong("has no aesthetic score" if item.score is None else "has too low an aesthetic score")
    path = item.data
    if isinstance(path, bytes):
        path = folder / f"picture{Path(item.name).suffix}"
        path.write_bytes(item.data)  # type: ignore[arg-type]
    found = photo.prepare(path, sizes[0], item.name)
    if min(found.size) < filters.min_side:
        raise Wrong("is smaller than wanted")
    if filters.dedup and twins.look(found.square):
        raise Wrong("is nearly the same as one before it")
    wide = found.square if sizes[0] == sizes[1] else photo.prepare(path, sizes[1], item.name).square
    hint = _hint(item.hint, found, folder) if filters.paired else None
    return Picture(number, item.name, found.square, wide, item.caption, hint)


def _hint(given: Path | bytes | None, like: photo.Photo, folder: Path) -> np.ndarray:
    """The hint of a picture, cut and sized as it was."""
    if given is None:
        raise Wrong("has no hint beside it")
    path = given if isinstance(given, Path) else folder / PAIR
    if isinstance(given, bytes):
        path.write_bytes(given)
    whole, side = photo.whole(path), len(like.square)
    high, wide = whole.shape[:2]
    if abs(wide * like.size[1] - high * like.size[0]) > 0.02 * high * like.size[0]:
        raise Wrong("has a hint of another shape")
    left, top, right, bottom = photo.middle((wide, high))
    return spatial.resized(whole[top:bottom, left:right], (side, side))


def _tars(place: Path) -> list[Path]:
    """The tars that a path, a folder, a pattern or a range stands for."""
    if place.is_dir():
        return sorted(place.glob("*.tar"))
    if place.suffix.lower() != ".tar":
        return []
    names = [str(place)]
    while found := RANGE.search(names[0]):
        first, last = found.groups()
        numbers = [f"{n:0{len(first)}}" for n in range(int(first), int(last) + 1)]
        names = [name.replace(found[0], n) for name in names for n in numbers]
    paths = [Path(p) for name in names for p in (sorted(glob(name)) if "*" in name or "?" in name else [name])]
    lost = [path for path in paths if not path.is_file()]
    if lost or not paths:
        raise Wrong(f"there is no tar {lost[0] if lost else place}")
    return paths


def _tar(path: Path) -> Iterator[Item]:
    """Members with one name up to the first dot are one picture with what is said of it."""
    try:
        with tarfile.open(path, "r|*") as tar:
            key, members = "", dict[str, bytes]()
            for member in tar:
                if not member.isfile() or photos.litter(Path(member.name)):
                    continue
                stem, _, kind = member.name.rpartition("/")[2].partition(".")
                own = member.name.rpartition("/")[0] + "/" + stem
                if own != key:
                    yield from _sample(key, members)
                    key, members = own, {}
                opened = tar.extractfile(member)
                members[kind.lower()] = opened.read() if opened else b""
            yield from _sample(key, members)
    except (tarfile.TarError, EOFError, OSError) as fault:
        raise Wrong(f"{path} cannot be read as a tar ({fault}): copy it again") from None


def _sample(key: str, members: Mapping[str, bytes]) -> Iterator[Item]:
    told = _facts(members.get("json", b"{}"))
    text = members.get("txt", b"").decode("utf-8", "replace")
    for kind, data in members.items():
        if kind not in ("json", "txt", PAIR[1:]):
            yield _item(f"{key.strip('/')}.{kind}", data, told, text, members.get(PAIR[1:]))


def _lines(path: Path) -> Iterator[Item]:
    """One JSON object a line: the path of a picture, beside this file or absolute, and what is said of it."""
    try:
        lines = path.open(encoding="utf-8-sig")
    except OSError as fault:
        raise Wrong(f"{path} cannot be read: {fault.strerror}") from None
    with lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            told = _facts(line)
            name = _first(told, PATHS)
            if not isinstance(name, str):
                raise Wrong(f'line {number} of {path} is no picture: each holds a JSON object with "path"')
            hint = _first(told, HINTED)
            yield _item(name, path.parent / name, told, "", path.parent / hint if isinstance(hint, str) else None)


def _facts(text: str | bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _item(
    name: str, data: Path | bytes, told: Mapping[str, Any], text: str, hint: Path | bytes | None = None
) -> Item:
    score = _first(told, SCORES)
    known = float(score) if isinstance(score, int | float) else None
    return Item(name, data, _said(text or str(_first(told, CAPTIONS) or "")), known, hint)


def _first(told: Mapping[str, Any], names: Sequence[str]) -> Any:
    return next(islice((told[name] for name in names if told.get(name) is not None), 1), None)


def _said(text: str) -> str:
    """One line, without what prompts would take for weights: "(red:1.3)"."""
    return re.sub(r":(?=\s*[+-]?\.?\d)", " ", " ".join(text.split()))
