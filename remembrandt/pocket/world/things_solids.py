"""Things with flat faces, projected in parallel from above: the frame of every face carries the pattern in its plane."""

from __future__ import annotations

import math
from collections.abc import Callable

import skia

from .look import Look, Pose, dark, light
from .pen import Pen
from .shapes import Point, box, oval, poly, ribbon, symbol

Project = Callable[[float, float, float], Point]


def projection(yaw: float, tilt: float) -> Project:
    """Parallel projection of (right, up, towards us), turned about the upright axis and seen from `tilt` degrees above."""
    c, s = math.cos(math.radians(yaw)), math.sin(math.radians(yaw))
    ct, st = math.cos(math.radians(tilt)), math.sin(math.radians(tilt))
    return lambda x, y, z: (c * x + s * z, -ct * y + st * (c * z - s * x))


def plane(pen: Pen, at: Project, o: tuple, u: tuple, v: tuple):
    """The pen's frame on a face: o its origin, u and v its unit directions in space."""
    p0, pu, pv = (
        at(*o),
        at(*(a + b for a, b in zip(o, u, strict=False))),
        at(*(a + b for a, b in zip(o, v, strict=False))),
    )
    return pen.face(p0, (pu[0] - p0[0], pu[1] - p0[1]), (pv[0] - p0[0], pv[1] - p0[1]))


def cube(pen: Pen, look: Look, pose: Pose) -> None:
    """A toy block: its emblem, frame, softness of edges and stoutness are its own."""
    yaw, tilt, tall = 36 + 24 * pose.turn, pose.swing("tilt", 16, 30), look.gene("tall", 0.82, 1.1)
    at = projection(-yaw, tilt)
    corners = [at(x, y, z) for x in (-0.5, 0.5) for y in (0, tall) for z in (-0.5, 0.5)]
    low, high = max(y for _, y in corners), min(y for _, y in corners)
    r, emblem = (
        look.pick("edges", (0.0, 0.06, 0.16)),
        look.pick("emblem", ("none", "star", "heart", "moon", "disc", "diamond", "cross")),
    )
    frame, ink = look.pick("frame", (0.0, 0.0, 0.07)), look.accent("emblem colour")
    k = 1 / (low - high)
    with pen.at(y=-low * k, sx=k):
        base = [
            at(*q)
            for q in (
                (-0.5, 0, 0.5),
                (0.5, 0, 0.5),
                (0.5, 0, -0.5),
                (0.5, tall, -0.5),
                (-0.5, tall, -0.5),
                (-0.5, tall, 0.5),
            )
        ]
        pen.fill(poly(base, r * 0.8), dark(look.rgb, 0.12), bulge=0)
        for o, u, v, w, h, tint in (
            ((-0.5, tall, 0.5), (1, 0, 0), (0, -1, 0), 1, tall, 0.0),
            ((0.5, tall, 0.5), (0, 0, -1), (0, -1, 0), 1, tall, 0.3),
            ((-0.5, tall, -0.5), (1, 0, 0), (0, 0, 1), 1, 1, -0.22),
        ):
            with plane(pen, at, o, u, v):
                pen.body(box(0, 0, w, h, r), look, bulge=0.25, tint=tint, pitch=0.25)
                if frame and look.pattern == "plain":
                    pen.line(box(frame, frame, w - frame, h - frame, r), dark(ink, max(tint, 0)), 0.045)
                if emblem != "none" and (look.pattern == "plain" or tint == 0):  # else the emblems hide the pattern
                    with pen.at(w / 2, h / 2, sx=look.gene("emblem size", 0.42, 0.6)):
                        if look.pattern != "plain":
                            pen.fill(oval(0, 0, 0.6), dark(look.rgb, max(tint, 0)), bulge=0.2)
                        pen.fill(symbol(emblem), dark(ink, max(tint, 0)), bulge=0.2)
        for name, q in (
            ("top front", (0.5, tall, 0.5)),
            ("top left", (-0.5, tall, 0.5)),
            ("top right", (0.5, tall, -0.5)),
            ("top back", (-0.5, tall, -0.5)),
            ("bottom front", (0.5, 0, 0.5)),
            ("bottom left", (-0.5, 0, 0.5)),
            ("bottom right", (0.5, 0, -0.5)),
        ):
            pen.mark(name, *at(*q))
        pen.mark("seat", *at(0, tall, 0))
        a, b, c, d = (at(x, tall, z) for x, z in ((0.5, 0.5), (-0.5, 0.5), (-0.5, -0.5), (0.5, -0.5)))
        e, f, g = (at(x, 0, z) for x, z in ((0.5, 0.5), (-0.5, 0.5), (0.5, -0.5)))
        for p, q in ((a, b), (b, c), (c, d), (d, a), (a, e), (b, f), (d, g), (e, f), (e, g)):
            pen.edge(*p, *q)


def chair(pen: Pen, look: Look, pose: Pose) -> None:
    """Back, legs, arms, cushion, height of the seat and of the back are its own."""
    g = look.gene
    seat, w, d = g("seat", 0.4, 0.52), g("width", 0.27, 0.34), g("depth", 0.25, 0.31)
    back, kind, leg_c = (
        g("back", 0.92, 1.08),
        look.pick("back kind", ("slats", "solid", "round", "ladder", "heart")),
        look.pick("wood", (look.rgb, look.rgb, (150, 104, 66), (66, 58, 64))),
    )
    at, thick = projection(22 + 30 * pose.turn, pose.swing("tilt", 14, 24)), g("thick", 0.05, 0.075)
    splay = look.pick("splay", (0.0, 0.05))
    feet = {(x, z): at(x * (w + splay), 0, z * (d + splay)) for x in (-1, 1) for z in (-1, 1)}
    low = max(y for _, y in feet.values()) + thick * 0.6
    with pen.at(sx=1 / (low - min(at(x, back, -d)[1] for x in (-w, w)) + 0.03)), pen.at(0, -low):

        def rods(ends, c=leg_c):
            return [pen.fill(ribbon([at(*a), at(*b)], [thick * 0.62] * 2), c, bulge=0.3) for a, b in ends]

        rods([((x * w * 0.9, seat, -d * 0.9), (x * (w + splay), 0, -d - splay)) for x in (-1, 1)], dark(leg_c, 0.3))
        if look.pick("stretcher", (1, 0)):
            rods([((-w, seat * 0.4, -d), (w, seat * 0.4, -d))], dark(leg_c, 0.3))
        rods([((x * w * 0.9, seat, d * 0.9), (x * (w + splay), 0, d + splay)) for x in (-1, 1)])
        _seat(pen, look, at, w, d, seat, thick)
        _back(pen, look, at, kind, w, d, seat, back, thick)
        if look.pick("arms", (1, 0, 0)):
            for x in (-1, 1):
                pen.fill(
                    curve_rod(
                        [at(x * w, seat + 0.2, -d), at(x * w * 1.06, seat + 0.22, d * 0.3), at(x * w, seat, d * 0.75)],
                        thick * 0.6,
                    ),
                    leg_c,
                    bulge=0.3,
                )
        for name, (x, z) in (
            ("front left foot", (-1, 1)),
            ("front right foot", (1, 1)),
            ("back left foot", (-1, -1)),
            ("back right foot", (1, -1)),
        ):
            pen.mark(name, *feet[x, z])
            pen.edge(*at(x * w * 0.9, seat, z * d * 0.9), *feet[x, z])
        for name, q in (
            ("seat left", (-w, seat, d)),
            ("seat right", (w, seat, d)),
            ("back left", (-w, back, -d)),
            ("back right", (w, back, -d)),
        ):
            pen.mark(name, *at(*q))
        pen.mark("seat", *at(0, seat, d * 0.2))
        pen.edge(*at(-w, seat, d), *at(w, seat, d))


def curve_rod(points: list[Point], half: float) -> skia.Path:
    """A bent rod of even thickness."""
    return ribbon(points, [half] * len(points))


def _seat(pen: Pen, look: Look, at: Project, w: float, d: float, seat: float, thick: float) -> None:
    top = [(-w, d), (w, d), (w, -d), (-w, -d)]
    pen.fill(poly([at(x, seat - thick, z) for x, z in top], 0.03), dark(look.rgb, 0.35), bulge=0)
    for x in (-w, w):  # only the side that faces us stays visible under the top
        with plane(pen, at, (x, seat, d), (0, 0, -1), (0, -1, 0)):
            pen.fill(box(0, 0, 2 * d, thick), dark(look.rgb, 0.35), bulge=0)
    with plane(pen, at, (-w, seat, d), (1, 0, 0), (0, -1, 0)):
        pen.fill(box(0, 0, 2 * w, thick, 0.01), dark(look.rgb, 0.12), bulge=0.2)
    with plane(pen, at, (-w, seat, -d), (1, 0, 0), (0, 0, 1)):
        pen.body(box(0, 0, 2 * w, 2 * d, 0.04), look, bulge=0.3, tint=-0.12, pitch=0.2)
        if look.pick("cushion", (1, 0, 0)):
            pen.fill(oval(w, d, w * 0.74, d * 0.74), look.accent("cushion colour"), bulge=0.5)


def _back(
    pen: Pen, look: Look, at: Project, kind: str, w: float, d: float, seat: float, back: float, thick: float
) -> None:
    h, cut = back - seat, look.accent("cut colour")
    with plane(pen, at, (-w, back, -d), (1, 0, 0), (0, -1, 0)):
        if kind in ("solid", "heart"):
            pen.body(box(0, 0, 2 * w, h + 0.02, 0.07), look, bulge=0.35, pitch=0.2)
            if kind == "heart":
                with pen.at(w, h * 0.45, sx=0.24):
                    pen.fill(symbol("heart"), cut, bulge=0)
        elif kind == "round":
            pen.body(oval(w, h * 0.5, w * 1.02, h * 0.56), look, bulge=0.45, pitch=0.2)
        else:
            for x in (0.0, 2 * w - thick * 1.3):
                pen.fill(box(x, 0, x + thick * 1.3, h + 0.02, 0.02), look.rgb, bulge=0.3)
            bars = [(0, 0, 2 * w, 0.17)] + (
                [(w * (0.5 + 0.5 * k) - 0.04, 0.1, w * (0.5 + 0.5 * k) + 0.04, h) for k in range(3)]
                if kind == "slats"
                else [(0, 0.26 + 0.0 * h, 2 * w, 0.4)]
            )
            for b in reversed(bars):
                pen.body(box(*b, 0.025), look, bulge=0.3)


def keyboard(pen: Pen, look: Look, pose: Pose) -> None:
    """Outline, rows, key caps, special keys, number block, knob and feet are its own."""
    g, yaw, tilt = look.gene, 16 * pose.turn, pose.swing("tilt", 46, 62)
    w, d, thick = 1.3, g("depth", 0.58, 0.74), g("thick", 0.06, 0.13)
    at, r, rows = projection(-yaw, tilt), look.pick("corners", (0.02, 0.06, 0.14)), look.pick("rows", (3, 4))
    outline = [(x * w / 2, z * d / 2) for x, z in ((-1, 1), (1, 1), (1, -1), (-1, -1))]
    low = max(at(x, 0, z)[1] for x, z in outline)
    span = max(at(x, 0, z)[0] for x, z in outline)
    with pen.at(sx=0.7 / span), pen.at(0, -low):
        for k in range(3):
            pen.fill(poly([at(x, thick * k / 3, z) for x, z in outline], r), dark(look.rgb, 0.45 - 0.07 * k), bulge=0)
        with plane(pen, at, (-w / 2, thick, -d / 2), (1, 0, 0), (0, 0, 1)):
            pen.body(box(0, 0, w, d, r), look, bulge=0.15, tint=look.pick("case", (0.12, 0.3)), pitch=0.26)
            _keys(pen, look, pose, w, d, rows)
        for name, (x, z) in zip(("front left", "front right", "back right", "back left"), outline, strict=False):
            pen.mark(name, *at(x, thick, z))
        pen.mark("seat", *at(0, thick, 0))
        for (a, b), (c, e) in zip(outline, outline[1:] + outline[:1], strict=True):
            pen.edge(*at(a, thick, b), *at(c, thick, e))


def _keys(pen: Pen, look: Look, pose: Pose, w: float, d: float, rows: int) -> None:
    m, block = 0.055, look.pick("block", (0.0, 0.0, 0.27))
    strip = look.pick("strip", (0.0, 0.0, 0.09))
    step, high = (w - 2 * m - block) / (7 if block else 9), (d - 2 * m - strip) / rows
    caps, special, kc = skia.Path(), skia.Path(), look.accent("special")
    spots, r = (
        {look.pick("enter", ((1, -1), (2, -1))), look.pick("escape", ((0, 0), (1, 0), (0, 5)))},
        look.pick("cap shape", (0.015, 0.06)),
    )
    n = 7 if block else 9
    for row in range(rows):
        y = m + strip + row * high
        cells = (
            [(k * step, step) for k in range(n)]
            if row < rows - 1
            else [(0, 2 * step), (2 * step, (n - 4) * step), ((n - 2) * step, 2 * step)]
        )
        for k, (x, cw) in enumerate(cells):
            chosen = (row, k) in spots or (row, k - len(cells)) in spots
            (special if chosen else caps).addRoundRect(
                skia.Rect.MakeXYWH(m + x + 0.01, y + 0.01, cw - 0.022, high - 0.026), r, r
            )
        for k in range(3 if block else 0):
            caps.addRoundRect(skia.Rect.MakeXYWH(w - m - block + 0.04 + k * 0.077, y + 0.01, 0.066, high - 0.026), r, r)
    if look.pattern == "plain":
        pen.glow(_shifted(caps, 0.016), dark(look.rgb, 0.75), 0.5)
        pen.fill(caps, light(look.rgb, look.pick("cap tone", (0.1, 0.3))), bulge=0.25)
    else:  # the pattern runs on under see-through caps, else it breaks up between the keys
        pen.glow(caps, light(look.rgb, 0.5), 0.22)
        pen.line(caps, dark(look.rgb, 0.6), 0.014)
    pen.fill(special, kc, bulge=0.2)
    if strip:
        pen.fill(box(m, m * 0.7, w * 0.45, m * 0.7 + 0.06, 0.02), kc, bulge=0.1)
        pen.fill(oval(w - 0.13, m * 0.7 + 0.035, 0.05), kc, bulge=0.5)


def _shifted(path: skia.Path, dy: float) -> skia.Path:
    p = skia.Path(path)
    p.offset(0, dy)
    return p
