"""Path builders: each returns one closed (or open, where said) skia path."""

from __future__ import annotations

import math
from collections.abc import Sequence

import skia

Point = tuple[float, float]


def oval(x: float, y: float, rx: float, ry: float | None = None) -> skia.Path:
    """An ellipse round (x, y)."""
    ry = rx if ry is None else ry
    return skia.Path().addOval(skia.Rect(x - rx, y - ry, x + rx, y + ry))


def box(x0: float, y0: float, x1: float, y1: float, r: float = 0.0) -> skia.Path:
    """A rectangle, rounded by r."""
    return skia.Path().addRoundRect(skia.Rect(min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1)), r, r)


def poly(points: Sequence[Point], r: float = 0.0) -> skia.Path:
    """A polygon with corners rounded by r."""
    p, n = skia.Path(), len(points)
    if not r:
        return p.addPoly([skia.Point(*q) for q in points], True)
    p.moveTo(*midpoint(points[-1], points[0]))
    for i in range(n):
        a, b = points[i], midpoint(points[i], points[(i + 1) % n])
        p.arcTo(skia.Point(*a), skia.Point(*b), r)
        p.lineTo(*b)
    p.close()
    return p


def way(*points: Point) -> skia.Path:
    """An open line through two points, or a bow when a control point stands between them."""
    p = skia.Path().moveTo(*points[0])
    return p.lineTo(*points[1]) if len(points) == 2 else p.quadTo(*points[1], *points[2])


def midpoint(a: Point, b: Point) -> Point:
    """Half way."""
    return ((a[0] + b[0]) / 2, (a[1] + b[1]) / 2)


def curve(points: Sequence[Point], closed: bool = False, ease: float = 1 / 6) -> skia.Path:
    """A smooth (Catmull-Rom) curve through the points, open unless said."""
    n, p = len(points), skia.Path()
    at = (lambda i: points[i % n]) if closed else (lambda i: points[min(max(i, 0), n - 1)])
    p.moveTo(*points[0])
    for i in range(n if closed else n - 1):
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = at(i - 1), at(i), at(i + 1), at(i + 2)
        p.cubicTo(bx + (cx - ax) * ease, by + (cy - ay) * ease, cx - (dx - bx) * ease, cy - (dy - by) * ease, cx, cy)
    if closed:
        p.close()
    return p


def blob(*points: Point) -> skia.Path:
    """A soft closed shape through the points."""
    return curve(points, closed=True)


def ribbon(points: Sequence[Point], widths: Sequence[float]) -> skia.Path:
    """A soft limb along points with the given half widths, round at both ends."""
    n, left, right = len(points), [], []
    for i, (x, y) in enumerate(points):
        (ax, ay), (bx, by) = points[max(i - 1, 0)], points[min(i + 1, n - 1)]
        d = math.hypot(bx - ax, by - ay) or 1.0
        nx, ny, w = -(by - ay) / d, (bx - ax) / d, widths[i]
        left.append((x + nx * w, y + ny * w))
        right.append((x - nx * w, y - ny * w))
    return blob(
        _tip(points[0], points[1], widths[0]), *left, _tip(points[-1], points[-2], widths[-1]), *reversed(right)
    )


def _tip(a: Point, b: Point, w: float) -> Point:
    d = math.dist(a, b) or 1.0
    return (a[0] + (a[0] - b[0]) / d * w, a[1] + (a[1] - b[1]) / d * w)


def mirror(points: Sequence[Point]) -> list[Point]:
    """A left-right symmetric outline from its right half, listed top to bottom."""
    return [*points, *((-x, y) for x, y in reversed(points))]


def step(p: Point, angle: float, length: float) -> Point:
    """The end of a bone that starts at p; angle in degrees, 0 points down, positive swings forward (+x)."""
    a = math.radians(angle)
    return (p[0] + math.sin(a) * length, p[1] + math.cos(a) * length)


def symbol(name: str) -> skia.Path:
    """A toy-block emblem about one unit across, round the origin."""
    if name == "star":
        return poly(
            [
                (math.sin(k * math.pi / 5) * (0.5, 0.22)[k % 2], -math.cos(k * math.pi / 5) * (0.5, 0.22)[k % 2])
                for k in range(10)
            ]
        )
    if name == "heart":
        return (
            skia.Path()
            .moveTo(0, 0.45)
            .cubicTo(-0.95, -0.2, -0.3, -0.75, 0, -0.22)
            .cubicTo(0.3, -0.75, 0.95, -0.2, 0, 0.45)
        )
    if name == "moon":
        return (
            skia.Path()
            .moveTo(0.15, -0.48)
            .cubicTo(-0.7, -0.45, -0.6, 0.6, 0.25, 0.45)
            .cubicTo(-0.2, 0.3, -0.25, -0.25, 0.15, -0.48)
        )
    if name == "diamond":
        return poly([(0, -0.5), (0.38, 0), (0, 0.5), (-0.38, 0)])
    if name == "cross":
        a, b = 0.16, 0.48
        return poly(
            [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]
        )
    return oval(0, 0, 0.42)
