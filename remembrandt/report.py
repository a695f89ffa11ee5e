"""What long work says while it runs, files that are whole or not there, and contact sheets."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the command line needs the events and must not pay for the pictures
    import numpy as np
    from PIL import Image, ImageFont

    Picture = Image.Image | np.ndarray | str | os.PathLike

PAPER, INK, FAINT, EMPTY = (252, 251, 248), (38, 36, 34), (128, 124, 118), (238, 236, 230)


@dataclass(frozen=True)
class Event:
    """Where work stands: `step` of `total` done in `stage`; `preview` is a picture on the way."""

    stage: str
    step: int
    total: int
    loss: float | None = None
    preview: Path | None = None
    message: str | None = None


Progress = Callable[[Event], None]


def silent(event: Event) -> None:
    """The progress that nobody watches."""


def write_atomic(path: str | os.PathLike, data: bytes | str) -> Path:
    """Write `data`: a reader, or a crash, sees the old file or the new one. Makes the folder."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, staging = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data.encode() if isinstance(data, str) else data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(staging, 0o666 & ~_umask())
        os.replace(staging, path)
    except BaseException:
        Path(staging).unlink(missing_ok=True)
        raise
    return path


def link(source: Path, target: Path, **how) -> None:
    """A copy of a folder whose files lie on the disk once, where the disk allows it; `how` as for `copytree`."""
    shutil.copytree(source, target, copy_function=_link, **how)


def _link(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
    return target


def sheet(
    rows: Sequence[tuple[str, Sequence[Picture | None]]],
    title: str = "",
    *,
    subtitle: str = "",
    captions: Sequence[Sequence[str]] | None = None,
    foot: str = "",
    cell: int = 160,
) -> Image.Image:
    """One RGB picture of labelled rows of pictures, each fitted into a square of `cell` pixels.

    `rows` are (label, pictures); a picture is PIL, a path, or uint8 (h, w) or (h, w, 3), and None
    leaves its place empty. `captions[row][column]` goes under a picture, `foot` under everything.
    Without any label there is no column for labels.
    """
    from PIL import Image, ImageDraw

    gap, margin, size = cell // 16, cell // 4, max(12, cell // 11)
    heading, text, small = _font(size * 2), _font(size), _font(max(11, size * 4 // 5))
    wide = cell * 5 // 4 if any(label for label, _ in rows) else 0
    columns = max((len(pictures) for _, pictures in rows), default=0)
    under = [_under(captions, r, cell, small) for r in range(len(rows))]
    width = 2 * margin + wide + columns * (cell + gap) - gap
    width = max(width, 2 * margin + 3 * cell)
    head, about, last = (
        _wrap(words, font, width - 2 * margin)
        for words, font in ((title, heading), (subtitle, text), (foot, small))
    )
    tall = len(head) * _line(heading) + len(about) * _line(text)
    top = margin + tall + (margin // 2 if tall else 0)
    heights = [
        max(cell, len(_wrap(label, text, wide - gap)) * _line(text) if wide else 0)
        + max((len(lines) for lines in below), default=0) * _line(small)
        + gap
        for (label, _), below in zip(rows, under, strict=True)
    ]
    bottom = margin + (len(last) * _line(small) + gap if last else 0)
    made = Image.new("RGB", (width, top + sum(heights) - gap + bottom), PAPER)
    pen = ImageDraw.Draw(made)
    _write(pen, (margin, margin), head, heading, INK)
    _write(pen, (margin, margin + len(head) * _line(heading)), about, text, FAINT)
    y = top
    for (label, pictures), below, height in zip(rows, under, heights, strict=True):
        lines = _wrap(label, text, wide - gap) if wide else []
        _write(pen, (margin, y + max(0, cell - len(lines) * _line(text)) // 2), lines, text, INK)
        for column, picture in enumerate(pictures):
            x = margin + wide + column * (cell + gap)
            _place(made, pen, picture, x, y, cell)
            if column < len(below):
                _write(pen, (x, y + cell + 2), below[column], small, FAINT)
        y += height
    _write(pen, (margin, y), last, small, FAINT)
    return made


def plot(curves: Sequence[tuple[str, Sequence[tuple[float, float]]]], title: str, axes: tuple[str, str]) -> Image.Image:
    """An RGB picture of named curves of (x, y), both > 0 and drawn on logarithmic axes, with a legend."""
    from math import ceil, floor, log10

    from PIL import Image, ImageDraw

    wide, high, margin, text = 720, 480, 64, _font(14)
    logs = [(name, [(log10(x), log10(y)) for x, y in points if x > 0 and y > 0]) for name, points in curves]
    flat = [point for _, points in logs for point in points] or [(0.0, 0.0)]
    (left, right), (low, top) = ((floor(min(c)), ceil(max(c))) for c in zip(*flat, strict=True))
    line = _line(text)
    legend = 64 + round(max((text.getlength(name) for name, _ in curves), default=0))
    size = (2 * margin + wide + legend, max(high + 2 * margin + 2 * line, 2 * margin + line * (len(curves) + 2)))
    made = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(made)
    pen.text((margin, margin // 3), title, font=_font(20), fill=INK)

    def at(x: float, y: float) -> tuple[float, float]:
        across, up = (x - left) / max(right - left, 1), (y - low) / max(top - low, 1)
        return margin + across * wide, margin + line + (1 - up) * high

    for decade in range(left, right + 1):
        pen.line((*at(decade, low), *at(decade, top)), fill=EMPTY)
        pen.text((at(decade, low)[0], at(decade, low)[1] + 4), f"{10.0**decade:g}", font=text, fill=FAINT, anchor="mt")
    for decade in range(low, top + 1):
        pen.line((*at(left, decade), *at(right, decade)), fill=EMPTY)
        pen.text((margin - 6, at(left, decade)[1]), f"{10.0**decade:g}", font=text, fill=FAINT, anchor="rm")
    pen.text((margin + wide, margin + high + 2 * line), axes[0], font=text, fill=INK, anchor="rm")
    pen.text((margin, margin), axes[1], font=text, fill=INK)
    for number, (name, points) in enumerate(logs):
        colour, y = _colour(number), margin + line * (number + 1)
        places = [at(*point) for point in points]
        pen.line([c for place in places for c in place], fill=colour, width=2)
        for x, up in places:
            pen.ellipse((x - 3, up - 3, x + 3, up + 3), fill=colour)
        pen.line((margin + wide + 20, y + line // 2, margin + wide + 40, y + line // 2), fill=colour, width=4)
        pen.text((margin + wide + 48, y), name, font=text, fill=INK)
    return made


def grid(axes: Mapping[str, Sequence[Any]], pictures: Sequence[Picture], title: str = "") -> Image.Image:
    """Pictures over the values of one or two options, the last option's side by side."""
    *first, (across, columns) = axes.items()
    down = [f"{name} {value}" for name, values in first for value in values] or [""]
    rows = [pictures[k * len(columns) : (k + 1) * len(columns)] for k in range(len(down))]
    captions = [[f"{across} {value}" for value in columns]] * len(down)
    return sheet(list(zip(down, rows, strict=True)), title, captions=captions)


def pie(parts: Sequence[tuple[str, float]], title: str = "", *, size: int = 360) -> Image.Image:
    """An RGB picture of labelled shares (all >= 0), the first at noon and on clockwise, with a legend."""
    from PIL import Image, ImageDraw

    margin, text = size // 9, _font(max(12, size // 24))
    whole = sum(share for _, share in parts) or 1
    names = [f"{label}: {share:g} ({share / whole:.1%})" for label, share in parts]
    colours = [_colour(k) for k in range(len(parts))]
    head, line = _line(_font(size // 15)) + margin // 2 if title else 0, _line(text)
    wide = round(max(map(text.getlength, names), default=0)) + 2 * line
    high = head + 2 * margin + max(size, line * len(parts))
    made = Image.new("RGB", (3 * margin + size + wide, high), PAPER)
    pen, drawn = ImageDraw.Draw(made), 0.0
    _write(pen, (margin, margin), [title], _font(size // 15), INK)
    top = margin + head
    for (_, share), colour, name, k in zip(parts, colours, names, range(len(parts)), strict=True):
        begin, drawn = drawn, drawn + 360 * share / whole
        if share:
            box = (margin, top, margin + size, top + size)
            pen.pieslice(box, begin - 90, drawn - 90, fill=colour, outline=PAPER, width=2)
        y = top + k * line
        pen.rectangle((2 * margin + size, y + 2, 2 * margin + size + line - 6, y + line - 4), fill=colour)
        _write(pen, (2 * margin + size + line, y), [name], text, INK)
    return made


def _colour(number: int) -> tuple[int, ...]:
    """Colours that tell neighbours apart."""
    from colorsys import hls_to_rgb

    return tuple(round(255 * c) for c in hls_to_rgb(number * 0.382 % 1, 0.55 + 0.12 * (number % 3), 0.5))


def _place(made: Image.Image, pen, picture, x: int, y: int, cell: int) -> None:
    from PIL import Image

    if picture is None:
        pen.rectangle((x, y, x + cell - 1, y + cell - 1), fill=EMPTY)
        return
    if isinstance(picture, str | os.PathLike):
        picture = Image.open(picture)
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image = image.convert("RGB")
    scale = cell / max(image.size)
    fitted = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    if fitted != image.size:
        image = image.resize(fitted, Image.Resampling.LANCZOS)
    made.paste(image, (x + (cell - fitted[0]) // 2, y + (cell - fitted[1]) // 2))


def _under(captions, row: int, cell: int, font) -> list[list[str]]:
    given = captions[row] if captions and row < len(captions) else []
    return [_wrap(text, font, cell) for text in given]


def _write(pen, at: tuple[int, int], lines: list[str], font, colour) -> None:
    for n, line in enumerate(lines):
        pen.text((at[0], at[1] + n * _line(font)), line, font=font, fill=colour)


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: int) -> list[str]:
    lines: list[str] = []
    for paragraph in text.splitlines():
        lines.append("")
        for word in paragraph.split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and font.getlength(longer) > width:
                lines.append(_cut(word, font, width))
            else:
                lines[-1] = longer if lines[-1] else _cut(word, font, width)
    return lines


def _cut(word: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """A word that fits, so that a file name of 200 letters cannot run over its neighbour."""
    if font.getlength(word) <= width:
        return word
    while word and font.getlength(word + "…") > width:
        word = word[:-1]
    return word + "…"


def _line(font: ImageFont.FreeTypeFont) -> int:
    return round(font.size * 1.3)


def _font(size: int) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.load_default(size)  # type: ignore[return-value]  # FreeType is in every wheel of Pillow


def _umask() -> int:
    """This process's umask, which can only be read by setting it."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask
