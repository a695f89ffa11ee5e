"""Signs: three capitals built from strokes, because a font would differ from machine to machine."""

from __future__ import annotations

import skia

from .places import Place, block, brush

# Each letter on a grid 2 wide and 4 high (y down): polylines; three numbers mark a bowl through (x, y0, y1) bulging right.
GLYPHS: dict[str, tuple[tuple, ...]] = {
    "b": (((0, 0), (0, 4)), ("bowl", 0, 2), ("bowl", 2, 4)),
    "c": (("open",),),
    "d": (((0, 0), (0, 4)), ("bowl", 0, 4)),
    "f": (((2, 0), (0, 0), (0, 4)), ((0, 2), (1.6, 2))),
    "g": (("open",), ((1.1, 2.3), (2, 2.3), (2, 3.4))),
    "k": (((0, 0), (0, 4)), ((2, 0), (0, 2.2)), ((0.7, 1.6), (2, 4))),
    "l": (((0, 0), (0, 4), (2, 4)),),
    "m": (((-0.2, 4), (-0.2, 0), (1, 2.4), (2.2, 0), (2.2, 4)),),
    "p": (((0, 4), (0, 0)), ("bowl", 0, 2.2)),
    "r": (((0, 4), (0, 0)), ("bowl", 0, 2.2), ((0.9, 2.2), (2, 4))),
    "s": (("snake",),),
    "t": (((-0.1, 0), (2.1, 0)), ((1, 0), (1, 4))),
    "x": (((0, 0), (2, 4)), ((2, 0), (0, 4))),
    "z": (((0, 0), (2, 0), (0, 4), (2, 4)),),
}


def letter(name: str) -> skia.Path:
    """The strokes of one letter."""
    path = skia.Path()
    for stroke in GLYPHS[name]:
        if stroke[0] == "bowl":
            _, top, low = stroke
            path.moveTo(0, top).lineTo(0.9, top).cubicTo(2.4, top, 2.4, low, 0.9, low).lineTo(0, low)
        elif stroke[0] == "open":
            path.moveTo(2, 0.8).cubicTo(1.6, -0.4, 0, -0.3, 0, 2).cubicTo(0, 4.3, 1.6, 4.4, 2, 3.3)
        elif stroke[0] == "snake":
            path.moveTo(1.9, 0.6).cubicTo(1.5, -0.3, 0, -0.2, 0, 1).cubicTo(0, 2.4, 2, 1.6, 2, 3).cubicTo(
                2, 4.3, 0.4, 4.3, 0, 3.3
            )
        else:
            path.moveTo(*stroke[0])
            for point in stroke[1:]:
                path.lineTo(*point)
    return path


def sign(canvas: skia.Canvas, text: str, place: Place, rng, spots) -> None:
    """A cream board with the text, on the wall indoors and on a post outdoors, in the corner farther from the subjects."""
    x = 0.04 if sum(s.x for s in spots) / len(spots) > 0.5 else 0.62
    y = 0.05 + 0.03 * rng.random()
    if not place.indoors:
        canvas.drawLine(x + 0.17, y, x + 0.17, place.horizon + 0.12, brush((130, 98, 70), width=0.024))
    block(canvas, x - 0.012, y - 0.012, 0.364, 0.214, (120, 86, 58), round=0.02)
    block(canvas, x, y, 0.34, 0.19, (252, 246, 228), round=0.014)
    for i, name in enumerate(text):
        canvas.save()
        canvas.translate(x + 0.037 + 0.103 * i, y + 0.035)
        canvas.scale(0.03, 0.03)
        canvas.drawPath(letter(name), brush((44, 38, 46), width=0.75))
        canvas.restore()
