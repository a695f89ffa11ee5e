"""The two indoor places, and the table of all eight."""

from __future__ import annotations

import itertools

import skia

from . import places
from .places import Place, block, brush, disc, mix, oval
from .vocabulary import PLACES as PHRASES


def floorboards(canvas, rng, y: float, light_tone, dark_tone) -> None:
    """A floor of boards that run towards the viewer."""
    block(canvas, -0.1, y, 1.2, 1.1 - y, light_tone, dark_tone)
    for i in range(-9, 10):
        x = 0.5 + i * 0.11
        canvas.drawLine(
            x, y, 0.5 + (x - 0.5) * 2.6, 1.05, brush(mix(light_tone, (60, 36, 20), 0.28), alpha=0.5, width=0.005)
        )


def window(canvas, x, y, w, h, frame, light) -> None:
    """A window onto sky and a green hill."""
    block(canvas, x - 0.018, y - 0.018, w + 0.036, h + 0.036, frame, round=0.01)
    warm = (255, 214, 168) if light > 0 else (214, 224, 246)
    block(canvas, x, y, w, h, mix((164, 208, 240), warm, abs(light) * 0.6), (238, 246, 250))
    canvas.save()
    canvas.clipRect(skia.Rect.MakeXYWH(x, y, w, h))
    oval(canvas, x + w * 0.3, y + h, w * 0.7, h * 0.28, (160, 200, 132))
    canvas.restore()
    block(canvas, x + w / 2 - 0.007, y, 0.014, h, frame)
    block(canvas, x, y + h * 0.5 - 0.007, w, 0.014, frame)


def room(canvas, rng, light) -> None:
    """A papered wall, a window with curtains, a picture or a shelf, boards and a rug."""
    walls = ((222, 200, 176), (190, 208, 204), (206, 200, 222), (228, 206, 196), (204, 212, 186))
    wall = walls[int(rng.integers(len(walls)))]
    floor = 0.66
    canvas.drawPaint(brush(mix(wall, (255, 255, 255), 0.25), wall, y0=0, y1=floor))
    for i in range(8):
        block(canvas, i * 0.14 - 0.03, 0, 0.05, floor, mix(wall, (255, 252, 244), 0.35), alpha=0.5)
    block(canvas, -0.1, floor - 0.04, 1.2, 0.04, (246, 240, 230), (222, 212, 198))
    floorboards(canvas, rng, floor, (196, 152, 108), (172, 124, 80))
    left = rng.random() < 0.5
    x = 0.09 if left else 0.62
    window(canvas, x, 0.12, 0.29, 0.32, (250, 246, 238), light)
    cloth = ((206, 128, 112), (120, 150, 176), (214, 180, 110), (142, 160, 118))[int(rng.integers(4))]
    for s in (x - 0.045, x + 0.245):
        curtain = (
            skia.Path()
            .moveTo(s, 0.07)
            .lineTo(s + 0.09, 0.07)
            .quadTo(s + 0.07, 0.3, s + 0.1, 0.5)
            .lineTo(s - 0.01, 0.5)
            .quadTo(s + 0.02, 0.3, s, 0.07)
        )
        canvas.drawPath(curtain, brush(mix(cloth, (255, 255, 255), 0.2), cloth, y0=0.07, y1=0.5))
    canvas.drawLine(x - 0.07, 0.07, x + 0.36, 0.07, brush((130, 96, 70), width=0.016))
    hang = picture if rng.random() < 0.5 else shelf
    hang(canvas, rng, 0.62 if left else 0.1, 0.16)
    rug = ((196, 118, 104), (112, 136, 164), (200, 172, 116))[int(rng.integers(3))]
    oval(canvas, 0.5, 0.88, 0.46, 0.095, mix(rug, (255, 255, 255), 0.2), rug)
    oval(canvas, 0.5, 0.88, 0.40, 0.076, mix(rug, (255, 255, 255), 0.55), width=0.01)


def picture(canvas, rng, x, y) -> None:
    """A framed landscape."""
    block(canvas, x, y, 0.28, 0.22, (160, 116, 74), round=0.006)
    block(canvas, x + 0.022, y + 0.022, 0.236, 0.176, (226, 222, 196), (240, 200, 160))
    canvas.save()
    canvas.clipRect(skia.Rect.MakeXYWH(x + 0.022, y + 0.022, 0.236, 0.176))
    disc(canvas, x + rng.uniform(0.08, 0.2), y + 0.08, 0.03, (240, 150, 96))
    oval(canvas, x + 0.08, y + 0.22, 0.16, 0.09, (132, 160, 140))
    oval(canvas, x + 0.22, y + 0.23, 0.14, 0.08, (104, 132, 120))
    canvas.restore()


def shelf(canvas, rng, x, y) -> None:
    """A shelf of books."""
    block(canvas, x - 0.02, y + 0.18, 0.32, 0.022, (150, 108, 72))
    at = x
    while at < x + 0.25:
        w, h = rng.uniform(0.024, 0.042), rng.uniform(0.1, 0.16)
        tone = ((172, 92, 84), (104, 130, 150), (206, 170, 106), (120, 144, 112), (150, 118, 150))[int(rng.integers(5))]
        block(canvas, at, y + 0.18 - h, w, h, mix(tone, (255, 255, 255), 0.15), tone, round=0.004)
        at += w + 0.003


def kitchen(canvas, rng, light) -> None:
    """A tiled wall, a shelf of plates or a window, a counter with doors, a tiled floor."""
    tones = ((214, 230, 224), (236, 228, 206), (214, 224, 236), (238, 220, 214))
    tile = tones[int(rng.integers(4))]
    canvas.drawPaint(brush(mix(tile, (255, 255, 255), 0.3), tile, y0=0, y1=0.6))
    for i in range(10):
        canvas.drawLine(i * 0.11, 0, i * 0.11, 0.6, brush((255, 255, 255), alpha=0.75, width=0.008))
    for j in range(6):
        canvas.drawLine(0, j * 0.11, 1, j * 0.11, brush((255, 255, 255), alpha=0.75, width=0.008))
    left = rng.random() < 0.5
    window(canvas, 0.10 if left else 0.62, 0.1, 0.28, 0.24, (252, 250, 244), light)
    plates(canvas, rng, 0.58 if left else 0.08)
    hood(canvas, 0.28 if not left else 0.72)
    front = ((176, 196, 186), (206, 186, 158), (170, 186, 206), (214, 176, 160))[int(rng.integers(4))]
    block(canvas, -0.1, 0.47, 1.2, 0.24, mix(front, (255, 255, 255), 0.15), front)
    for i in range(5):
        x = i * 0.235 - 0.08
        block(
            canvas,
            x,
            0.505,
            0.2,
            0.175,
            mix(front, (255, 255, 255), 0.35),
            mix(front, (255, 255, 255), 0.1),
            round=0.012,
        )
        disc(canvas, x + 0.175, 0.55, 0.011, (150, 124, 96))
    block(canvas, -0.1, 0.445, 1.2, 0.035, (186, 146, 106), (156, 116, 80))
    checkered(canvas, 0.71, (244, 238, 228), (204, 190, 176))


def plates(canvas, rng, x) -> None:
    """A board with three plates leaning on the wall."""
    rim = ((112, 150, 186), (206, 132, 110), (140, 170, 120))[int(rng.integers(3))]
    for i in range(3):
        disc(canvas, x + 0.06 + i * 0.115, 0.2, 0.052, rim)
        disc(canvas, x + 0.06 + i * 0.115, 0.2, 0.037, (252, 250, 246))
    block(canvas, x - 0.02, 0.25, 0.39, 0.024, (176, 134, 96), (150, 110, 76))


def hood(canvas, x) -> None:
    """A cooking pot on the counter."""
    block(canvas, x - 0.075, 0.375, 0.15, 0.075, (190, 120, 92), (150, 88, 66), round=0.018)
    block(canvas, x - 0.085, 0.362, 0.17, 0.02, (206, 140, 110), round=0.009)
    disc(canvas, x, 0.356, 0.014, (120, 76, 60))


def checkered(canvas, y: float, one, two) -> None:
    """A floor of two tones in perspective, low in contrast."""
    block(canvas, -0.1, y, 1.2, 1.1 - y, mix(one, two, 0.3), one)
    rows = (y, y + 0.05, y + 0.125, y + 0.24, y + 0.42)
    dark = skia.Path()
    for j, (top, low) in enumerate(itertools.pairwise(rows)):
        a, b = 1 + 5 * (top - y), 1 + 5 * (low - y)
        for i in range(-7, 7):
            if (i + j) % 2:
                x = i * 0.14
                dark.addPoly(
                    [
                        skia.Point(0.5 + x * a, top),
                        skia.Point(0.5 + (x + 0.14) * a, top),
                        skia.Point(0.5 + (x + 0.14) * b, low),
                        skia.Point(0.5 + x * b, low),
                    ],
                    True,
                )
    canvas.drawPath(dark, brush(two, alpha=0.6))


TABLE = {  # place: painter, horizon, nearness of what stands at the horizon
    "beach": Place(places.beach, 0.42, 0.0, PHRASES["beach"]),
    "forest": Place(places.forest, 0.58, 0.08, PHRASES["forest"]),
    "snow": Place(places.snow, 0.52, 0.0, PHRASES["snow"]),
    "city": Place(places.city, 0.60, 0.10, PHRASES["city"]),
    "desert": Place(places.desert, 0.53, 0.0, PHRASES["desert"]),
    "meadow": Place(places.meadow, 0.46, 0.0, PHRASES["meadow"]),
    "kitchen": Place(kitchen, 0.71, 0.30, PHRASES["kitchen"], 0.12, True),
    "room": Place(room, 0.66, 0.25, PHRASES["room"], 0.12, True),
}
