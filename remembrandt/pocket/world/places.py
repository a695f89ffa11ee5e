"""Eight places to stand in, painted in the unit square (y down), calm where a subject will stand and muted so that it stands out."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import numpy as np
import skia

RGB = tuple[float, float, float]


@dataclass(frozen=True)
class Place:
    """How a place is painted, where its ground ends, how near its far wall is (0 = infinitely far), and where a sign may hang."""

    draw: Callable[[skia.Canvas, np.random.Generator, float], None]
    horizon: float
    wall: float
    phrase: str
    sign_y: float = 0.30
    indoors: bool = False


def mix(a: RGB, b: RGB, t: float) -> RGB:
    """The colour at share t of the way from a to b."""
    return tuple(x + (y - x) * t for x, y in zip(a, b, strict=False))  # type: ignore[return-value]


def ink(colour: RGB, alpha: float = 1.0) -> int:
    """A skia colour from an RGB triple of 0..255."""
    r, g, b = (int(min(255, max(0, c))) for c in colour)
    return skia.ColorSetARGB(int(alpha * 255), r, g, b)


def brush(
    *colours: RGB, y0: float = 0, y1: float = 1, alpha: float = 1, blur: float = 0, width: float = 0
) -> skia.Paint:
    """A paint: one colour, or a gradient from y0 down to y1; a stroke when a width is given; soft when blurred."""
    paint = skia.Paint(AntiAlias=True, Color=ink(colours[0], alpha))
    if len(colours) > 1:
        paint.setShader(skia.GradientShader.MakeLinear([(0, y0), (0, y1)], [ink(c, alpha) for c in colours]))
    if blur:
        paint.setMaskFilter(skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, blur))
    if width:
        paint.setStyle(skia.Paint.kStroke_Style)
        paint.setStrokeWidth(width)
        paint.setStrokeCap(skia.Paint.kRound_Cap)
    return paint


def smooth(points, closed: bool = False) -> skia.Path:
    """A curve through the midpoints of a polyline, so that nothing has a corner."""
    path, points = skia.Path(), list(points)
    if closed:
        points = [*points, points[0], points[1]]
        path.moveTo((points[0][0] + points[1][0]) / 2, (points[0][1] + points[1][1]) / 2)
    else:
        path.moveTo(*points[0])
    for (x, y), (u, v) in itertools.pairwise(points):
        path.quadTo(x, y, (x + u) / 2, (y + v) / 2)
    if closed:
        path.close()
    else:
        path.lineTo(*points[-1])
    return path


def hill(canvas, rng, y: float, swell: float, *colours: RGB, steps: int = 5, fall: float = 0.35) -> None:
    """A rolling silhouette across the whole picture, filled down to the lower edge."""
    ys = y + swell * rng.uniform(-1, 1, steps + 2)
    path = smooth([(-0.2, ys[0]), *((-0.1 + 1.2 * i / steps, v) for i, v in enumerate(ys[1:])), (1.3, ys[-1])])
    path.lineTo(1.3, 1.1)
    path.lineTo(-0.2, 1.1)
    canvas.drawPath(path, brush(*colours, y0=y - swell, y1=y + fall))


def cloud(canvas, rng, x: float, y: float, w: float, colour: RGB = (255, 255, 255), alpha: float = 0.85) -> None:
    """A flat-bottomed heap of soft puffs."""
    paint = brush(colour, alpha=alpha, blur=w * 0.035)
    path = skia.Path()
    path.addRoundRect(skia.Rect.MakeXYWH(x - w / 2, y - w * 0.12, w, w * 0.16), w * 0.08, w * 0.08)
    for i in range(4):
        path.addCircle(
            x - w * 0.3 + i * w * 0.2, y - w * 0.13 + w * rng.uniform(-0.05, 0.03), w * rng.uniform(0.12, 0.2)
        )
    canvas.drawPath(path, paint)


def block(canvas, x, y, w, h, *colours: RGB, round: float = 0.0, **how) -> None:
    """A box with soft corners, x and y at its upper left."""
    canvas.drawRoundRect(skia.Rect.MakeXYWH(x, y, w, h), round, round, brush(*colours, y0=y, y1=y + h, **how))


def disc(canvas, x, y, r, *colours: RGB, **how) -> None:
    """A circle."""
    canvas.drawCircle(x, y, r, brush(*colours, y0=y - r, y1=y + r, **how))


def oval(canvas, x, y, rx, ry, *colours: RGB, **how) -> None:
    """An ellipse."""
    canvas.drawOval(skia.Rect.MakeLTRB(x - rx, y - ry, x + rx, y + ry), brush(*colours, y0=y - ry, y1=y + ry, **how))


def sky(canvas, light: float, top: RGB, low: RGB, y: float) -> None:
    """A vertical wash, peach low down in the evening and lilac in the morning."""
    glow = (255, 196, 150) if light > 0 else (214, 206, 240)
    strength = abs(light)
    canvas.drawPaint(brush(mix(top, glow, 0.25 * strength), mix(low, glow, 0.75 * strength), y0=0, y1=y))


def patches(canvas, rng, count: int, top: float, colour: RGB, alpha: float = 0.35) -> None:
    """Soft flat ovals on the ground, larger towards the viewer, so that the ground lies down."""
    for y in np.sort(rng.uniform(top, 1, count)):
        near = 0.3 + (y - top) / (1 - top)
        oval(canvas, rng.uniform(0, 1), y, 0.13 * near, 0.022 * near, colour, alpha=alpha, blur=0.006)


def side(rng) -> float:
    """An x near the left or the right edge, where the subject is not."""
    x = rng.uniform(0.05, 0.2)
    return x if rng.random() < 0.5 else 1 - x


def beach(canvas, rng, light) -> None:
    """Sky, a band of sea with foam, sand; a palm or a parasol at one side."""
    shore = rng.uniform(0.60, 0.66)
    sky(canvas, light, (120, 190, 232), (226, 242, 246), 0.42)
    disc(canvas, rng.uniform(0.15, 0.85), rng.uniform(0.1, 0.2), 0.055, (255, 246, 200), blur=0.012)
    cloud(canvas, rng, rng.uniform(0.1, 0.9), rng.uniform(0.14, 0.3), rng.uniform(0.25, 0.4))
    block(canvas, -0.1, 0.42, 1.2, 0.4, (58, 146, 188), (120, 208, 208))
    for y in (0.465, 0.505, 0.55):
        x = rng.uniform(0, 0.9)
        canvas.drawLine(x, y, x + rng.uniform(0.1, 0.25), y, brush((214, 240, 242), alpha=0.6, width=0.008))
    for drop, colour in ((0, (250, 252, 250)), (0.022, (206, 176, 128)), (0.034, (240, 218, 168))):
        hill(
            canvas,
            np.random.Generator(np.random.PCG64(int(shore * 1e6))),
            shore + drop,
            0.014,
            colour,
            mix(colour, (226, 190, 132), 0.6),
        )
    patches(canvas, rng, 5, 0.75, (214, 180, 124))
    x = side(rng)
    if rng.random() < 0.6:
        palm(canvas, rng, x)
    else:
        parasol(canvas, rng, x)


def palm(canvas, rng, x) -> None:
    """A leaning palm tree."""
    lean = 0.06 if x < 0.5 else -0.06
    canvas.drawPath(
        smooth([(x - lean, 0.74), (x - lean, 0.5), (x, 0.3), (x + lean * 0.6, 0.2)]), brush((150, 112, 72), width=0.03)
    )
    top = (x + lean * 0.5, 0.2)
    for i, angle in enumerate(np.linspace(-pi * 1.12, pi * 0.12, 6) + rng.uniform(-0.1, 0.1)):
        dx, dy = 0.2 * np.cos(angle), 0.13 * np.sin(angle)
        tip = (top[0] + dx, top[1] + dy + 0.07)
        leaf = skia.Path().moveTo(*top).quadTo(top[0] + dx * 0.6, top[1] + dy - 0.05, *tip)
        leaf.quadTo(top[0] + dx * 0.5, top[1] + dy + 0.035, *top)
        canvas.drawPath(leaf, brush(((72, 140, 84), (92, 160, 92))[i % 2]))


def parasol(canvas, rng, x) -> None:
    """A parasol planted in the sand, in two soft colours."""
    first, second = ((232, 128, 110), (250, 236, 210)) if rng.random() < 0.5 else ((240, 196, 96), (252, 246, 226))
    canvas.drawLine(x, 0.36, x, 0.76, brush((170, 140, 108), width=0.014))
    for k, colour in ((0.19, first), (0.115, second), (0.045, first)):
        dome = (
            skia.Path()
            .moveTo(x - k, 0.44)
            .quadTo(x - k * 0.9, 0.3, x, 0.27)
            .quadTo(x + k * 0.9, 0.3, x + k, 0.44)
            .close()
        )
        canvas.drawPath(dome, brush(colour))


def forest(canvas, rng, light) -> None:
    """Trunks in layers that fade into green mist, a canopy above, moss below."""
    sky(canvas, light, (166, 204, 168), (226, 238, 204), 0.6)
    for depth, count in ((0.0, 7), (0.4, 5), (1.0, 3)):
        base = 0.57 + 0.07 * depth
        bark, width = mix((164, 186, 158), (92, 76, 62), 0.25 + 0.7 * depth), 0.026 + 0.05 * depth
        for i in range(count):
            x = (i + rng.uniform(0.1, 0.9)) / count
            if depth == 1.0:  # the near trunks keep clear of the middle
                x = (0.02, 0.98, 0.14 if rng.random() < 0.5 else 0.86)[i] + rng.uniform(-0.03, 0.03)
            trunk = skia.Path().moveTo(x - width * 0.4, -0.05).lineTo(x + width * 0.4, -0.05)
            trunk.quadTo(x + width * 0.4, base, x + width, base + 0.03).lineTo(x - width, base + 0.03).quadTo(
                x - width * 0.4, base, x - width * 0.4, -0.05
            )
            canvas.drawPath(trunk, brush(mix(bark, (230, 240, 210), 0.15), bark))
        for _ in range(6):
            leaf = mix((158, 196, 140), (62, 112, 66), depth * 0.9)
            oval(
                canvas,
                rng.uniform(0, 1),
                rng.uniform(-0.03, 0.13 - 0.06 * depth),
                rng.uniform(0.12, 0.2),
                rng.uniform(0.06, 0.1),
                mix(leaf, (220, 236, 160), 0.2),
                leaf,
            )
        hill(
            canvas,
            rng,
            base + 0.03,
            0.012,
            mix((168, 198, 130), (104, 138, 74), depth),
            mix((124, 160, 96), (78, 106, 60), depth),
        )
    for _ in range(2):
        x = rng.uniform(0.2, 0.8)
        shaft = skia.Path().moveTo(x, -0.1).lineTo(x + 0.12, -0.1).lineTo(x - 0.1, 0.8).lineTo(x - 0.32, 0.8).close()
        canvas.drawPath(shaft, brush((255, 252, 214), alpha=0.18, blur=0.02))
    patches(canvas, rng, 6, 0.68, (142, 164, 84))
    x = side(rng)
    for i in range(2):
        block(canvas, x + i * 0.05, 0.8 - i * 0.02, 0.018, 0.05, (238, 226, 204), round=0.008)
        oval(canvas, x + 0.009 + i * 0.05, 0.8 - i * 0.02, 0.036, 0.02, (206, 110, 88))


def pine(canvas, x, y, h, green: RGB, snowy: bool = False) -> None:
    """A fir of three skirts."""
    canvas.drawLine(x, y, x, y - h * 0.2, brush((120, 96, 80), width=h * 0.09))
    for k, w in ((0.12, 0.30), (0.36, 0.24), (0.60, 0.17)):
        skirt = (
            skia.Path()
            .moveTo(x - w * h, y - k * h)
            .quadTo(x, y - (k - 0.07) * h, x + w * h, y - k * h)
            .quadTo(x + w * h * 0.3, y - (k + 0.2) * h, x, y - (k + 0.4) * h)
        )
        skirt.quadTo(x - w * h * 0.3, y - (k + 0.2) * h, x - w * h, y - k * h)
        canvas.drawPath(
            skirt,
            brush(
                (246, 250, 254) if snowy else mix(green, (230, 240, 200), 0.2),
                green,
                y0=y - (k + 0.36) * h,
                y1=y - (k + 0.02) * h,
            ),
        )


def snow(canvas, rng, light) -> None:
    """White hills under a pale sky, snowy firs, a few soft flakes."""
    sky(canvas, light, (152, 184, 216), (232, 240, 248), 0.55)
    peak = rng.uniform(0.2, 0.8)
    for x, top, colour in ((peak, 0.2, (188, 206, 228)), (peak + 0.35 * np.sign(0.5 - peak), 0.28, (204, 218, 236))):
        mountain = (
            skia.Path()
            .moveTo(x - 0.5, 0.62)
            .lineTo(x - 0.06, top + 0.03)
            .quadTo(x, top - 0.02, x + 0.06, top + 0.03)
            .lineTo(x + 0.5, 0.62)
            .close()
        )
        canvas.drawPath(mountain, brush((246, 250, 255), colour, y0=top, y1=0.46))
    hill(canvas, rng, 0.52, 0.02, (238, 244, 252), (206, 220, 238), fall=0.15)
    for i in range(6):
        x = rng.uniform(0, 0.3) + (0.7 if i % 2 else 0)
        pine(canvas, x, 0.56 + 0.02 * i, rng.uniform(0.16, 0.22) + 0.025 * i, (94, 132, 130), True)
    hill(canvas, rng, 0.63, 0.02, (252, 253, 255), (220, 230, 244))
    patches(canvas, rng, 5, 0.72, (198, 212, 236), 0.5)
    for x, y in rng.uniform(0, 1, (14, 2)):
        disc(canvas, x, y * 0.7, 0.009, (255, 255, 255), alpha=0.9)


def city(canvas, rng, light) -> None:
    """Two rows of towers with big windows, a pavement and a road."""
    sky(canvas, light, (150, 186, 222), (232, 230, 226), 0.55)
    cloud(canvas, rng, rng.uniform(0.2, 0.8), 0.16, 0.3, alpha=0.7)
    for row, (low, high) in enumerate(((0.1, 0.3), (0.16, 0.42))):
        x = -0.05
        while x < 1:
            w = rng.uniform(0.12, 0.2)
            top = rng.uniform(low, high) + (0.12 * row if 0.25 < x + w / 2 < 0.75 else 0)
            wall = (
                ((190, 202, 218), (200, 208, 220))
                if row == 0
                else ((202, 166, 148), (176, 182, 196), (214, 196, 168), (160, 172, 176))
            )
            colour = wall[int(rng.integers(len(wall)))]
            block(canvas, x, top, w - 0.006, 0.8, mix(colour, (255, 255, 255), 0.12), colour)
            if row:
                block(canvas, x - 0.006, top - 0.012, w + 0.006, 0.02, mix(colour, (90, 90, 110), 0.35))
                for i in range(2):
                    for j in range(int((0.6 - top) / 0.095)):
                        lit = (255, 232, 168) if rng.random() < 0.3 else (112, 130, 154)
                        block(
                            canvas, x + w * (0.16 + 0.4 * i), top + 0.035 + 0.095 * j, w * 0.26, 0.055, lit, round=0.004
                        )
            x += w
    block(canvas, -0.1, 0.6, 1.2, 0.5, (216, 212, 206), (196, 192, 188))
    block(canvas, -0.1, 0.66, 1.2, 0.014, (236, 234, 228))
    block(canvas, -0.1, 0.674, 1.2, 0.4, (118, 122, 132), (142, 144, 150))
    for i in range(5):
        x = rng.uniform(0, 0.05) + i * 0.26 - 0.1
        dash = (
            skia.Path().moveTo(x, 0.83).lineTo(x + 0.14, 0.83).lineTo(x + 0.125, 0.857).lineTo(x - 0.02, 0.857).close()
        )
        canvas.drawPath(dash, brush((226, 220, 200)))
    x = side(rng)
    canvas.drawLine(x, 0.67, x, 0.5, brush((110, 88, 72), width=0.018))
    disc(canvas, x, 0.44, rng.uniform(0.08, 0.1), (150, 186, 120), (94, 138, 86))


def desert(canvas, rng, light) -> None:
    """Dunes in bands under a yellow sky with a great sun; mesas; a cactus."""
    sky(canvas, light, (246, 196, 138), (254, 234, 190), 0.5)
    disc(canvas, rng.uniform(0.15, 0.85), rng.uniform(0.14, 0.26), 0.09, (255, 250, 220), blur=0.008)
    for _ in range(2):
        x, w, top = rng.uniform(0, 1), rng.uniform(0.1, 0.16), rng.uniform(0.32, 0.4)
        mesa = (
            skia.Path()
            .moveTo(x - w * 1.3, 0.56)
            .lineTo(x - w, top + 0.01)
            .quadTo(x - w, top, x - w * 0.9, top)
            .lineTo(x + w * 0.8, top)
            .quadTo(x + w, top, x + w, top + 0.02)
            .lineTo(x + w * 1.3, 0.56)
        )
        canvas.drawPath(mesa, brush((222, 146, 108), (234, 182, 136), y0=top, y1=0.54))
    hill(canvas, rng, 0.53, 0.03, (240, 186, 124), (222, 158, 98), steps=3)
    hill(canvas, rng, 0.60, 0.03, (246, 204, 142), (226, 168, 106), steps=3)
    hill(canvas, rng, 0.70, 0.03, (248, 214, 156), (230, 178, 116), steps=3)
    patches(canvas, rng, 5, 0.76, (218, 160, 100), 0.45)
    for x, k in ((side(rng), 1.0), (rng.uniform(0.3, 0.7), 0.45)):
        y, green = 0.6 + 0.1 * k, mix((150, 170, 120), (92, 138, 92), k)
        paint = brush(green, width=0.05 * k)
        canvas.drawLine(x, y, x, y - 0.3 * k, paint)
        paint = brush(green, width=0.036 * k)
        for s, h in ((-1, 0.12), (1, 0.18)):
            paint.setStyle(skia.Paint.kStroke_Style)
            canvas.drawPath(
                skia.Path()
                .moveTo(x, y - h * k)
                .lineTo(x + s * 0.05 * k, y - h * k)
                .quadTo(x + s * 0.075 * k, y - h * k, x + s * 0.075 * k, y - (h + 0.04) * k)
                .lineTo(x + s * 0.075 * k, y - (h + 0.09) * k),
                paint,
            )


def meadow(canvas, rng, light) -> None:
    """Green hills, clouds, a far round tree and a fence; flowers as soft dots."""
    sky(canvas, light, (132, 190, 236), (226, 242, 250), 0.5)
    for _ in range(2):
        cloud(canvas, rng, rng.uniform(0, 1), rng.uniform(0.12, 0.3), rng.uniform(0.25, 0.42))
    hill(canvas, rng, 0.46, 0.05, (168, 204, 156), (138, 184, 122), steps=3)
    x = side(rng)
    canvas.drawLine(x, 0.58, x, 0.44, brush((134, 104, 76), width=0.024))
    for dx, dy in ((-0.05, 0), (0.055, 0.01), (0, -0.06)):
        disc(canvas, x + dx, 0.4 + dy, 0.075, (150, 194, 104), (96, 152, 84))
    hill(canvas, rng, 0.56, 0.035, (174, 212, 122), (138, 188, 96), steps=3)
    if rng.random() < 0.5:
        for i in range(8):
            block(canvas, i * 0.14 - 0.02, 0.53, 0.022, 0.12, (244, 238, 224), round=0.008)
        for y in (0.56, 0.605):
            block(canvas, -0.1, y, 1.2, 0.015, (244, 238, 224))
    hill(canvas, rng, 0.65, 0.015, (166, 206, 104), (112, 168, 80))
    patches(canvas, rng, 5, 0.72, (132, 182, 84), 0.5)
    for u, v in rng.uniform(0, 1, (16, 2)):
        y = 0.69 + 0.3 * v
        colour = ((255, 250, 236), (250, 226, 120), (240, 168, 190))[int(u * 29) % 3]
        disc(canvas, u, y, 0.008 + 0.012 * v, colour)
        disc(canvas, u, y, 0.004 + 0.004 * v, (236, 178, 70) if colour[2] > 200 else (190, 130, 60))
