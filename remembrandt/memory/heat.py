"""The heat map of a retention report: concepts by lessons, as a picture."""

from __future__ import annotations

from typing import Any

from PIL import Image, ImageDraw, ImageFont

from remembrandt.report import FAINT, INK, PAPER

Document = dict[str, Any]
CELL, HIGH, GAP, MARGIN = 64, 40, 4, 40  # pixels


def colour(value: float) -> tuple[int, int, int]:
    """From dark red (0) over amber to green (1); lightness rises too, for eyes that do not tell red from green."""
    stops = ((0.0, (128, 28, 42)), (0.5, (236, 164, 72)), (1.0, (146, 214, 164)))
    x = min(max(value, 0.0), 1.0)
    (a, low), (b, high) = (stops[0], stops[1]) if x <= 0.5 else (stops[1], stops[2])
    part = (x - a) / (b - a)
    r, g, b = (round(p + (q - p) * part) for p, q in zip(low, high, strict=True))
    return r, g, b


def ink(value: float) -> tuple[int, int, int]:
    """What can be read on `colour(value)`."""
    return (16, 36, 26) if value > 0.3 else (255, 255, 255)


def draw(told: Document, title: str, subtitle: str) -> Image.Image:
    """A row for each concept, a column for each lesson; below the heading, above nothing."""
    head, text, small = (ImageFont.load_default(size) for size in (26, 15, 13))
    names = [f"{row['identifier']} {row['category']}" for row in told["concepts"]]
    left = MARGIN + 16 + round(max((text.getlength(name) for name in names), default=0))
    columns, top = len(told["lessons"]), MARGIN + 26 * 3 + 20
    wide = max(left + columns * (CELL + GAP), round(max(head.getlength(title), text.getlength(subtitle))) + MARGIN)
    made = Image.new("RGB", (wide + MARGIN, top + len(names) * (HIGH + GAP) + GAP), PAPER)
    pen = ImageDraw.Draw(made)
    pen.text((MARGIN, MARGIN), title, font=head, fill=INK)
    pen.text((MARGIN, MARGIN + 36), subtitle, font=text, fill=FAINT)
    for k in range(columns):
        where = (left + k * (CELL + GAP) + CELL // 2, top - 8)
        pen.text(where, f"lesson {k + 1}", font=small, fill=FAINT, anchor="ms")
    for r, (row, name) in enumerate(zip(told["concepts"], names, strict=True)):
        y = top + r * (HIGH + GAP)
        pen.text((MARGIN, y + HIGH // 2), name, font=text, fill=INK, anchor="lm")
        for k in range(row["lesson"] - 1, columns):
            _cell(pen, left + k * (CELL + GAP), y, row["fidelity"][k], text)
    return made


def _cell(pen: ImageDraw.ImageDraw, x: int, y: int, value: float | None, font) -> None:
    middle = (x + CELL // 2, y + HIGH // 2)
    if value is None:
        pen.text(middle, "n/a", font=font, fill=FAINT, anchor="mm")
        return
    pen.rounded_rectangle((x, y, x + CELL - 1, y + HIGH - 1), 6, fill=colour(value))
    pen.text(middle, f"{value:.2f}", font=font, fill=ink(value), anchor="mm")


def above(top: Image.Image, below: Image.Image) -> Image.Image:
    """One picture over the other."""
    made = Image.new("RGB", (max(top.width, below.width), top.height + below.height), PAPER)
    made.paste(top, (0, 0))
    made.paste(below, (0, top.height))
    return made
