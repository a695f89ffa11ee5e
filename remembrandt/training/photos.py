"""Photos as they come, as the squares that are trained: all faults at once, hints as hints.

`photo.py` opens one, `photo_hints.py` judges the set; here is what a lesson and `prepare` call.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from remembrandt import report
from remembrandt.settings import Wrong
from remembrandt.training import photo, photo_hints
from remembrandt.training.photo import Photo

Images = str | os.PathLike | Sequence[str | os.PathLike]
LITTER = {"thumbs.db", "desktop.ini", "__macosx"}
CAPTION = ".txt"
TOLD = 8  # faults in the one line of an error; `prepare` prints and draws them all
FRAME = (214, 84, 40)


@dataclass(frozen=True, eq=False)
class Prepared:
    """What would be trained, what cannot be (`faults`), what could be better (`hints`)."""

    photos: list[Photo]
    faults: list[str] = field(default_factory=list)
    hints: list[str] = field(default_factory=list)
    captions: list[str | None] = field(default_factory=list)  # of each photo, where a `.txt` lies beside it

    @property
    def squares(self) -> list[np.ndarray]:
        """Each uint8 (size, size, 3)."""
        return [photo.square for photo in self.photos]

    @property
    def names(self) -> list[str]:
        return [photo.name for photo in self.photos]

    @property
    def boxes(self) -> list[tuple[int, int, int, int]]:
        """Each crop (left, top, right, bottom) in the pixels of the upright photo."""
        return [photo.box for photo in self.photos]


def prepare(images: Images, size: int) -> Prepared:
    """Squares of `size` pixels from a folder or from files; `Wrong` tells all faults at once."""
    found = inspect(images, size)
    if found.faults:
        bad, count = len(found.faults), len(found.faults) + len(found.photos)
        told = found.faults[:TOLD] + ([f"and {bad - TOLD} more"] if bad > TOLD else [])
        which = "the photo" if count == 1 else f"{bad} of {count} photos"
        raise Wrong(f"{which} cannot be used: {'; '.join(told)}")
    return found


def inspect(images: Images, size: int) -> Prepared:
    """As `prepare`, but the faults of single photos are in `faults`.

    Raises `Wrong` if there is nothing to look at, or no model paints at `size`.
    """
    if not 64 <= size <= 2048 or size % 8:
        raise Wrong(f"the size must be a multiple of 8 from 64 to 2048 pixels, not {size}")
    found, faults, captions = [], [], []
    for path, name in files(images):
        try:
            found.append(photo.prepare(path, size, name))
            captions.append(_caption(path))
        except Wrong as fault:
            faults.append(f"{name} {fault}")
    return Prepared(found, faults, photo_hints.hints(found, size) if found else [], captions[: len(found)])


def masks(given: str | os.PathLike | Sequence[Path], prepared: Prepared) -> list[np.ndarray]:
    """The mask (uint8 (size, size), white counts) of each photo: `given` in their order, or in a folder by their names.

    A photo that has none there counts whole. `Wrong` tells all faults at once.
    """
    if isinstance(given, str | os.PathLike):
        place = Path(given).expanduser()
        if not place.is_dir():
            raise Wrong(f"there is no folder {place}: give the one that holds the masks")
        inside = sorted(p.relative_to(place) for p in place.rglob("*") if p.is_file())
        known = {path.with_suffix(""): place / path for path in inside if not litter(path)}
        stems = [Path(name).with_suffix("") for name in prepared.names]
        faults = [f"{path.name} has the name of no photo" for stem, path in known.items() if stem not in stems]
    else:
        stems, faults = [Path(str(k)) for k in range(len(given))], []
        known = dict(zip(stems, given, strict=True))
    if not known:
        raise Wrong(f"there are no masks in {given}: name each as its photo")
    found = []
    for one, stem in zip(prepared.photos, stems, strict=True):
        try:
            whole = np.full(one.square.shape[:2], 255, np.uint8)
            found.append(photo.mask(known[stem], one) if stem in known else whole)
        except Wrong as fault:
            faults.append(f"{known[stem].name} {fault}")
    if faults:
        raise Wrong(f"masks cannot be used: {'; '.join(faults[:TOLD])}")
    return found


def write(prepared: Prepared, folder: Path) -> dict:
    """`00.png` ... and `sheet.png` under `folder`: `{"squares": [path, ...], "sheet": path}`."""
    squares = [
        report.write_atomic(folder / f"{number:02d}.png", _png(Image.fromarray(square)))
        for number, square in enumerate(prepared.squares)
    ]
    return {
        "squares": squares,
        "sheet": report.write_atomic(folder / "sheet.png", _png(sheet(prepared))),
    }


def sheet(prepared: Prepared, columns: int = 6) -> Image.Image:
    """Every photo whole, its crop framed and the rest dimmed; faults and hints below."""
    drawn = [_drawn(photo) for photo in prepared.photos]
    parts = [slice(k, k + columns) for k in range(0, len(drawn), columns)]
    notes = [f"Cannot be used: {fault}" for fault in prepared.faults]
    notes += [f"Hint: {hint}" for hint in prepared.hints]
    return report.sheet(
        [("", drawn[part]) for part in parts],
        f"{len(drawn)} photo{'s' * (len(drawn) != 1)}",
        subtitle="What lies inside the frame is trained." if drawn else "",
        captions=[prepared.names[part] for part in parts],
        foot="\n".join(notes),
    )


def files(images: Images) -> list[tuple[Path, str]]:
    """(path, name); the files of a folder with those of the folders in it, in order of name."""
    if not isinstance(images, str | os.PathLike):
        if not images:
            raise Wrong("no photos were given: give 4 to 20 of one thing")
        return [(Path(image).expanduser(), Path(image).name) for image in images]
    folder = Path(images).expanduser()
    if folder.is_file():
        return [(folder, folder.name)]
    if not folder.exists():
        raise Wrong(f"there is no folder {folder}, nor a picture of that name")
    try:
        inside = [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]
    except OSError as fault:
        raise Wrong(f"the photos in {folder} cannot be read: {fault.strerror}") from None
    pictures = {path.with_suffix("") for path in inside if path.suffix.lower() != CAPTION and not litter(path)}
    told = {path for path in inside if path.suffix.lower() == CAPTION and path.with_suffix("") in pictures}
    names = sorted(path.as_posix() for path in inside if not litter(path) and path not in told)
    if not names:
        raise Wrong(f"there are no photos in {folder}: put yours into it")
    return [(folder / name, name) for name in names]


def _caption(path: Path) -> str | None:
    """What the text beside a photo says; `Wrong`, as of the photo, if it cannot be read."""
    place = path.with_suffix(CAPTION)
    if not place.is_file():
        return None
    try:
        said = " ".join(place.read_text(encoding="utf-8-sig").split())
    except (OSError, UnicodeDecodeError):
        raise Wrong("has a caption beside it that is no readable text") from None
    return said or None


def litter(path: Path) -> bool:
    """What systems leave in folders."""
    return any(part.startswith(".") or part.lower() in LITTER for part in path.parts)


def _drawn(photo: Photo) -> Image.Image:
    whole = Image.fromarray(photo.view)
    fx, fy = whole.width / photo.size[0], whole.height / photo.size[1]
    left, top, right, bottom = photo.box
    box = (round(left * fx), round(top * fy), round(right * fx), round(bottom * fy))
    made = Image.blend(whole, Image.new("RGB", whole.size, report.PAPER), 0.6)
    made.paste(whole.crop(box), box[:2])
    frame = (box[0], box[1], box[2] - 1, box[3] - 1)
    ImageDraw.Draw(made).rectangle(frame, outline=FRAME, width=2)
    return made


def _png(image: Image.Image) -> bytes:
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
