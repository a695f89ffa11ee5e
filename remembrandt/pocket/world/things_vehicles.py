"""Car and boat: things to travel with."""

from __future__ import annotations

import math

import skia

from .look import CHARCOAL, CREAM, Look, Pose, Rgb, dark, light
from .pen import Pen
from .shapes import Point, blob, box, oval, poly, symbol, way

GLASS: Rgb = (176, 216, 232)

_CARS = {  # body outline above the sill, windows
    "sedan": (
        [
            (-0.68, -0.2),
            (-0.69, -0.42),
            (-0.45, -0.46),
            (-0.3, -0.7),
            (0.16, -0.7),
            (0.36, -0.46),
            (0.66, -0.4),
            (0.7, -0.2),
        ],
        (
            [(-0.36, -0.47), (-0.25, -0.64), (-0.06, -0.64), (-0.06, -0.47)],
            [(0.0, -0.47), (0.0, -0.64), (0.13, -0.64), (0.26, -0.47)],
        ),
    ),
    "beetle": (
        [
            (-0.66, -0.2),
            (-0.66, -0.4),
            (-0.5, -0.62),
            (-0.2, -0.8),
            (0.12, -0.78),
            (0.32, -0.55),
            (0.58, -0.46),
            (0.68, -0.2),
        ],
        (
            [(-0.42, -0.5), (-0.22, -0.7), (-0.06, -0.72), (-0.06, -0.5)],
            [(0.01, -0.5), (0.01, -0.72), (0.1, -0.7), (0.23, -0.5)],
        ),
    ),
    "van": (
        [
            (-0.68, -0.2),
            (-0.69, -0.78),
            (-0.64, -0.85),
            (0.36, -0.85),
            (0.5, -0.74),
            (0.62, -0.46),
            (0.68, -0.4),
            (0.69, -0.2),
        ],
        (
            [(-0.6, -0.55), (-0.6, -0.75), (-0.26, -0.75), (-0.26, -0.55)],
            [(-0.18, -0.55), (-0.18, -0.75), (0.1, -0.75), (0.1, -0.55)],
            [(0.18, -0.55), (0.18, -0.75), (0.38, -0.75), (0.48, -0.55)],
        ),
    ),
    "pickup": (
        [
            (-0.7, -0.2),
            (-0.7, -0.44),
            (-0.12, -0.44),
            (-0.08, -0.76),
            (0.24, -0.76),
            (0.38, -0.48),
            (0.68, -0.44),
            (0.7, -0.2),
        ],
        ([(-0.02, -0.5), (0.01, -0.69), (0.2, -0.69), (0.29, -0.5)],),
    ),
    "roadster": (
        [
            (-0.68, -0.2),
            (-0.68, -0.42),
            (-0.4, -0.5),
            (-0.1, -0.44),
            (0.12, -0.44),
            (0.2, -0.48),
            (0.66, -0.38),
            (0.7, -0.2),
        ],
        (),
    ),
}


def car(pen: Pen, look: Look, pose: Pose) -> None:
    """Body, wheels, trim, roof load, lamps and sill are its own."""
    kind, wheel = look.pick("kind", tuple(_CARS)), look.gene("wheel", 0.135, 0.175)
    outline, windows = _CARS[kind]
    far = (0.05 * pose.turn, -0.055 - 0.015 * abs(pose.turn))
    k = 1 / (0.9 if kind == "van" else 0.86 if kind == "beetle" else 0.82 if kind == "pickup" else 0.78)
    with pen.at(sx=min(k, 1.12)), pen.at(turn=pose.swing("pitch", -3, 3)):
        axles = [(-0.42, -wheel), (0.43, -wheel)]
        for x, y in axles:
            pen.fill(oval(x + far[0], y + far[1] * 0.7, wheel), (44, 40, 50), bulge=0.2)
        with pen.at(*far):
            pen.fill(poly(outline, 0.06), dark(look.rgb, 0.4), bulge=0.2)
        if kind == "roadster":
            pen.fill(poly([(0.1, -0.44), (0.02, -0.66), (0.06, -0.67), (0.19, -0.46)], 0.01), GLASS, bulge=0.2)
            pen.fill(blob((-0.24, -0.42), (-0.26, -0.58), (-0.16, -0.6), (-0.1, -0.42)), (96, 62, 48), bulge=0.4)
        _roof(pen, look, kind)
        hull = poly(outline, 0.08)
        pen.body(hull, look, bulge=0.5)
        with pen.inside(hull):
            if look.pick("stripe", (0, 0, 1)):
                pen.line(way((-1, -0.34), (1, -0.34)), look.accent("stripe colour"), 0.06)
            pen.fill(
                box(-1, -0.25, 1, -0.1), look.pick("sill", (dark(look.rgb, 0.35), CHARCOAL, (206, 206, 210))), bulge=0
            )
        for w in windows:
            pen.fill(poly(w, 0.03), GLASS, bulge=0.3)
            pen.glow(poly([w[1], ((w[1][0] + w[2][0]) / 2, w[1][1]), w[0]], 0), (255, 255, 255), 0.4)
        pen.line(
            way((-0.03 if kind != "van" else 0.14, -0.45), (-0.03 if kind != "van" else 0.14, -0.26)),
            dark(look.rgb, 0.5),
            0.014,
        )
        pen.line(way((0.04, -0.4), (0.1, -0.4)), dark(look.rgb, 0.65), 0.026)
        pen.fill(oval(0.62, -0.35, 0.045, 0.055), (255, 240, 170), bulge=0.4)
        pen.fill(box(-0.69, -0.41, -0.63, -0.31, 0.015), (206, 44, 44), bulge=0.3)
        _wheels(pen, look, pose, axles, wheel)
        for name, (x, y) in (
            ("front wheel", axles[1]),
            ("rear wheel", axles[0]),
            ("head lamp", (0.62, -0.35)),
            ("tail lamp", (-0.66, -0.36)),
            ("roof", (-0.05, min(y for _, y in outline))),
        ):
            pen.mark(name, x, y)
        pen.mark(
            "seat", -0.05 if kind != "roadster" else 0.4, min(y for _, y in outline) if kind != "roadster" else -0.43
        )
        pen.edge(-0.66, -0.2, 0.68, -0.2)


def _roof(pen: Pen, look: Look, kind: str) -> None:
    load, c, y = (
        look.pick("load", ("none", "none", "rack", "trunk", "siren")),
        look.accent("load colour"),
        {"sedan": -0.7, "van": -0.85, "beetle": -0.79, "pickup": -0.76}.get(kind),
    )
    if y is None or load == "none":
        return
    x = 0.08 if kind == "pickup" else -0.08
    if load == "rack":
        pen.line(way((x - 0.2, y - 0.05), (x + 0.18, y - 0.05)), c, 0.03)
    elif load == "trunk":
        pen.fill(box(x - 0.17, y - 0.13, x + 0.13, y + 0.02, 0.03), c, bulge=0.3)
    else:
        pen.fill(box(x - 0.06, y - 0.08, x + 0.06, y + 0.02, 0.03), (96, 190, 240), bulge=0.4)


def _wheels(pen: Pen, look: Look, pose: Pose, axles: list[Point], r: float) -> None:
    cap, c = (
        look.pick("cap", ("disc", "spokes", "ring", "star")),
        look.pick("cap colour", ((212, 212, 216), CREAM, look.accent("cap accent"))),
    )
    for x, y in axles:
        with pen.at(x, y, turn=pose.swing("roll", 0, 90)):
            pen.fill(oval(0, 0, r), (48, 44, 54), bulge=0.3)
            if cap == "ring":
                pen.line(oval(0, 0, r * 0.68), c, 0.03)
            if cap == "star":
                with pen.at(sx=r * 1.35):
                    pen.fill(symbol("star"), c, bulge=0)
            else:
                pen.fill(oval(0, 0, r * (0.58 if cap != "ring" else 0.34)), c, bulge=0.4)
            for k in range(3 if cap == "spokes" else 0):
                a = k * math.pi / 3
                pen.line(
                    way(
                        (-math.cos(a) * r * 0.5, -math.sin(a) * r * 0.5), (math.cos(a) * r * 0.5, math.sin(a) * r * 0.5)
                    ),
                    CHARCOAL,
                    0.022,
                )


def boat(pen: Pen, look: Look, pose: Pose) -> None:
    """Rig, hull, stripe, flag, portholes and sails are its own."""
    kind, deep, long = (
        look.pick("rig", ("sloop", "cutter", "tug", "steamer", "junk")),
        look.gene("deep", 0.26, 0.36),
        look.gene("long", 0.56, 0.66),
    )
    deck, bow = -deep, look.pick("bow", (0.12, 0.2, 0.05))
    with pen.at(turn=pose.swing("heel", -6, 6)):
        flag = look.accent("flag")
        {"tug": _tug, "steamer": _steamer}.get(kind, _sails)(pen, look, pose, kind, deck, long, flag)
        hull = (
            skia.Path()
            .moveTo(-long, deck - 0.03)
            .quadTo(0, deck + 0.07, long + 0.04, deck - bow * 0.6)
            .quadTo(long * 0.9, -0.04, long * 0.6, 0)
            .lineTo(-long * 0.7, 0)
            .quadTo(-long * 0.95, -0.02, -long, deck - 0.03)
        )
        hull.close()
        pen.body(hull, look, bulge=0.5)
        with pen.inside(hull):
            trim = look.pick("trim", ("none", "keel", "rail", "both"))
            if trim in ("keel", "both"):
                pen.fill(box(-1, -0.075, 1, 0.1), look.accent("keel colour"), bulge=0)
            if trim in ("rail", "both"):
                pen.line(
                    skia.Path().moveTo(-long, deck - 0.01).quadTo(0, deck + 0.09, long + 0.04, deck - bow * 0.6 + 0.02),
                    look.accent("rail colour"),
                    0.05,
                )
        for k in range(look.pick("portholes", (0, 3, 2))):
            pen.fill(oval(-0.2 + 0.22 * k, deck * 0.52, 0.05), CREAM, bulge=0)
            pen.fill(oval(-0.2 + 0.22 * k, deck * 0.52, 0.034), (92, 148, 178), bulge=0.2)
        for name, x, y in (
            ("bow", long + 0.04, deck - bow * 0.6),
            ("stern", -long, deck - 0.03),
            ("keel front", long * 0.6, 0),
            ("keel back", -long * 0.7, 0),
            ("mast foot", 0, deck),
        ):
            pen.mark(name, x, y)
        pen.edge(long * 0.6, 0, -long * 0.7, 0)


def _sails(pen: Pen, look: Look, pose: Pose, kind: str, deck: float, long: float, flag: Rgb) -> None:
    puff, m = pose.swing("wind", 0.02, 0.1), -0.05
    pen.line(way((m, deck + 0.03), (m, -0.97)), (120, 82, 54), 0.036)
    pen.edge(m, deck, m, -0.97)
    pale = light(look.rgb, 0.72)
    if kind == "junk":
        for k, w in enumerate((0.34, 0.4, 0.44)):
            y = -0.92 + k * 0.19
            pen.body(
                poly(
                    [
                        (m - w * 0.75, y),
                        (m + w * 0.8 + puff, y - 0.02),
                        (m + w * 0.86 + puff, y + 0.18),
                        (m - w * 0.85, y + 0.18),
                    ],
                    0.03,
                ),
                look,
                bulge=0.3,
            )
    else:
        jib = (
            skia.Path()
            .moveTo(m + 0.05, -0.86)
            .quadTo(m + 0.32 + puff, -0.55, long * 0.92, deck - 0.08)
            .quadTo(m + 0.25, deck - 0.0, m + 0.05, deck - 0.06)
        )
        jib.close()
        main = (
            skia.Path()
            .moveTo(m - 0.03, -0.93)
            .quadTo(m - 0.22 - puff, -0.5, m - 0.46, deck - 0.09)
            .lineTo(m - 0.03, deck - 0.09)
        )
        main.close()
        pen.body(main, look, bulge=0.35, tint=-0.15)
        pen.fill(jib, pale if kind == "sloop" else look.accent("jib"), bulge=0.3)
        if look.pick("emblem", (1, 0)):
            with pen.at(m - 0.17, deck - 0.26, sx=0.17):
                pen.fill(
                    symbol(look.pick("sail emblem", ("star", "heart", "moon", "disc"))),
                    look.accent("emblem colour"),
                    bulge=0,
                )
    pen.fill(poly([(m, -0.99), (m - 0.17, -0.95 + puff * 0.5), (m, -0.9)], 0.01), flag, bulge=0.2)
    pen.mark("mast top", m, -0.97)


def _cabin(pen: Pen, look: Look, x0: float, x1: float, y0: float, y1: float, c: Rgb, windows: int) -> None:
    pen.fill(box(x0, y0, x1, y1, 0.03), c, bulge=0.3)
    for k in range(windows):
        x = x0 + (x1 - x0) * (k + 0.5) / windows
        pen.fill(box(x - 0.045, y0 + 0.05, x + 0.045, y0 + 0.14, 0.02), GLASS, bulge=0.2)


def _tug(pen: Pen, look: Look, pose: Pose, kind: str, deck: float, long: float, flag: Rgb) -> None:
    pen.fill(box(-0.34, -0.84, -0.16, deck + 0.05, 0.02), look.accent("chimney"), bulge=0.5)
    pen.fill(box(-0.35, -0.86, -0.15, -0.78, 0.02), look.rgb, bulge=0.4)
    _cabin(pen, look, -0.12, 0.32, -0.72, deck + 0.06, light(look.rgb, 0.35), 2)
    pen.fill(box(-0.16, -0.77, 0.37, -0.69, 0.025), look.rgb, bulge=0.3)
    pen.line(way((0.1, -0.77), (0.1, -0.97)), CHARCOAL, 0.026)
    pen.fill(poly([(0.1, -0.98), (-0.06, -0.93), (0.1, -0.87)], 0.01), flag, bulge=0.2)
    pen.mark("mast top", 0.1, -0.97)


def _steamer(pen: Pen, look: Look, pose: Pose, kind: str, deck: float, long: float, flag: Rgb) -> None:
    for x in (-0.2, 0.06) if look.pick("funnels", (1, 0)) else (-0.06,):
        with pen.at(x, deck - 0.2, turn=-6):
            pen.fill(box(-0.075, -0.42, 0.075, 0.05, 0.02), look.rgb, bulge=0.5)
            pen.fill(box(-0.078, -0.36, 0.078, -0.26, 0.01), flag, bulge=0.4)
    _cabin(pen, look, -0.4, 0.38, deck - 0.17, deck + 0.06, CREAM, 4)
    _cabin(pen, look, 0.12, 0.34, deck - 0.36, deck - 0.15, light(look.rgb, 0.35), 1)
    pen.mark("mast top", 0.0, deck - 0.6)
