"""Cup, bottle, lamp."""

from __future__ import annotations

import skia

from .look import Look, Pose, dark, light
from .pen import Pen
from .shapes import blob, box, curve, mirror, oval, poly, ribbon, symbol, way


def cup(pen: Pen, look: Look, pose: Pose) -> None:
    """A mug or teacup: belly, handle, rim band, saucer and drink are its own."""
    top, base, ry = look.gene("mouth", 0.34, 0.46), look.gene("base", 0.2, 0.42), pose.swing("tilt", 0.07, 0.12)
    belly, tall = look.pick("belly", (0.0, 0.0, 0.09, -0.06)), look.pick("tall", (0.62, 0.8, 0.96))
    base, x = min(base, top), look.gene("handle reach", 0.17, 0.27)
    saucer = look.pick("saucer", (True, False, False))
    lift, height = (0.07, tall + ry + 0.07) if saucer else (0.0, tall + ry)
    left, right = (
        (0.6, max(0.6, (top + base) / 2 + x))
        if saucer
        else (max(top, base + belly), (top + base) / 2 + max(belly, 0) + x + 0.04)
    )
    k = min(1 / height, 1.32 / (left + right))
    with pen.at((left - right) / 2 * k, sx=k), pen.at(turn=pose.swing("lean", -4, 4)):
        if saucer:
            pen.fill(oval(0, -0.09, 0.6, 0.1), light(look.rgb, 0.3), bulge=0.3)
        kind, hy = look.pick("handle", ("round", "ear", "square", "double")), -lift - tall * 0.52
        with pen.at((top + base) / 2 + belly * 0.5 - 0.03, hy):
            _handle(pen, look, kind, x, tall * 0.3)
        side = [
            (top, -tall - lift),
            ((top + base) / 2 + belly, -tall * 0.5 - lift),
            (base, -0.08 - lift),
            (base - 0.06, -lift + 0.005),
        ]
        hull = curve(mirror(side), ease=1 / 7)
        hull.close()
        pen.body(hull, look, bulge=0.55)
        with pen.inside(hull):
            band = look.pick("band", ("none", "rim", "foot", "middle"))
            if band != "none":
                y = {"rim": -tall * 0.83, "foot": -tall * 0.14, "middle": -tall * 0.45}[band] - lift
                bow = skia.Path().moveTo(-0.8, y - ry * 0.6).quadTo(0, y + ry * 1.6, 0.8, y - ry * 0.6)
                pen.line(bow, look.accent("band colour"), 0.1)
            pen.glow(
                ribbon([(-top * 0.72, -tall * 0.85 - lift), (-base * 0.72 - belly, -tall * 0.3 - lift)], [0.035, 0.02]),
                (255, 255, 255),
                0.4,
            )
        pen.fill(oval(0, -tall - lift, top, ry), light(look.rgb, 0.35), bulge=0.1)
        drink = look.pick("drink", ((74, 44, 30), (170, 92, 30), (248, 240, 226), (96, 130, 60)))
        pen.fill(oval(0, -tall - lift + 0.015, top - 0.045, ry - 0.028), drink, bulge=0.35)
        for name, mx, my in (
            ("rim left", -top, -tall - lift),
            ("rim right", top, -tall - lift),
            ("base left", -base, -lift),
            ("base right", base, -lift),
            ("handle", (top + base) / 2 + x, hy),
        ):
            pen.mark(name, mx, my)
        pen.edge(-top, -tall - lift, -base, -lift - 0.08)
        pen.edge(top, -tall - lift, base, -lift - 0.08)


def _handle(pen: Pen, look: Look, kind: str, x: float, h: float) -> None:
    if kind == "square":
        loop = poly([(-0.1, -h), (x, -h), (x, h * 0.9), (-0.1, h * 0.9)], 0.07)
    elif kind == "ear":
        loop = curve([(-0.1, -h), (x, -h * 1.1), (x * 1.1, -h * 0.3), (x * 0.4, h * 0.5), (-0.1, h * 1.2)])
    else:
        loop = oval(0, 0, x, h * (0.95 if kind == "round" else 0.62))
    pen.line(loop, dark(look.rgb, 0.45), 0.115)
    pen.line(loop, dark(look.rgb, 0.08), 0.09)
    if kind == "double":
        lower = oval(0, h * 0.85, x * 0.6, h * 0.4)
        pen.line(lower, dark(look.rgb, 0.45), 0.095)
        pen.line(lower, dark(look.rgb, 0.08), 0.07)


_BOTTLES = {  # outline of the right half from the neck down: (half width, height above ground)
    "wine": [(0.075, 0.92), (0.075, 0.7), (0.1, 0.62), (0.19, 0.52), (0.2, 0.4), (0.2, 0.04), (0.17, 0.0)],
    "milk": [(0.12, 0.92), (0.11, 0.76), (0.16, 0.66), (0.22, 0.52), (0.23, 0.3), (0.23, 0.04), (0.2, 0.0)],
    "round": [(0.07, 0.92), (0.07, 0.68), (0.12, 0.58), (0.27, 0.42), (0.31, 0.26), (0.25, 0.08), (0.15, 0.0)],
    "square": [(0.09, 0.92), (0.09, 0.74), (0.13, 0.7), (0.24, 0.67), (0.25, 0.6), (0.25, 0.04), (0.22, 0.0)],
    "hourglass": [(0.1, 0.92), (0.1, 0.74), (0.2, 0.64), (0.21, 0.5), (0.14, 0.36), (0.21, 0.18), (0.2, 0.0)],
    "cone": [(0.075, 0.92), (0.08, 0.7), (0.12, 0.5), (0.18, 0.32), (0.25, 0.12), (0.26, 0.05), (0.22, 0.0)],
}


def bottle(pen: Pen, look: Look, pose: Pose) -> None:
    """Silhouette, stoutness, stopper, label and its emblem, and the neck ring are its own."""
    stout, kind = look.gene("stout", 0.95, 1.35), look.pick("kind", tuple(_BOTTLES))
    side = [(x * stout, -y * 0.96) for x, y in _BOTTLES[kind]]
    with pen.at(turn=pose.swing("lean", -7, 7)):
        cap, c = look.pick("cap", ("cork", "crown", "screw", "ball", "spout")), look.accent("cap colour")
        neck = side[0][0]
        if cap == "ball":
            pen.fill(oval(0, -0.93, 0.085), c, bulge=0.5)
        elif cap == "spout":
            pen.fill(
                poly([(-neck, -0.86), (neck, -0.86), (0.05, -0.94), (0.13, -1.0), (0.08, -1.0), (-0.04, -0.96)], 0.01),
                c,
                bulge=0.3,
            )
        else:
            wide, tall, tone = {
                "cork": (neck * 0.72, 1.0, (196, 150, 98)),
                "crown": (neck * 1.35, 0.95, c),
                "screw": (neck * 1.12, 1.0, c),
            }[cap]
            pen.fill(box(-wide, -tall, wide, -0.86, 0.02), tone, bulge=0.3)
        hull = curve(mirror(side), ease=1 / 7.5)
        hull.close()
        pen.body(hull, look, bulge=0.6)
        wide = max(x for x, _ in side)
        with pen.inside(hull):
            pen.glow(ribbon([(-wide * 0.68, -0.5), (-wide * 0.7, -0.1)], [0.03, 0.022]), (255, 255, 255), 0.45)
            pen.glow(ribbon([(-neck * 0.5, -0.84), (-neck * 0.5, -0.68)], [0.014, 0.012]), (255, 255, 255), 0.45)
            if look.pick("ring", (1, 0)):
                pen.line(skia.Path().moveTo(-0.3, -0.73).quadTo(0, -0.68, 0.3, -0.73), look.accent("ring colour"), 0.05)
        _label(pen, look, pose, wide)
        for name, x, y in (
            ("top", 0, -1.0),
            ("neck left", -neck, -0.88),
            ("neck right", neck, -0.88),
            ("base left", -side[-2][0], -0.02),
            ("base right", side[-2][0], -0.02),
        ):
            pen.mark(name, x, y)
        pen.edge(-neck, -0.88, -neck, -0.72)
        pen.edge(neck, -0.88, neck, -0.72)


def _label(pen: Pen, look: Look, pose: Pose, wide: float) -> None:
    kind, x = look.pick("label", ("none", "oval", "square", "star", "leaf", "heart")), pose.turn * wide * 0.3
    c, ink = (
        light(look.rgb, 0.88) if look.pick("label tone", (1, 0)) else dark(look.rgb, 0.65),
        look.accent("emblem colour"),
    )
    if kind == "oval":
        pen.fill(oval(x, -0.27, wide * 0.62, 0.12), c, bulge=0.2)
    elif kind == "square":
        pen.fill(box(x - wide * 0.6, -0.4, x + wide * 0.6, -0.16, 0.02), c, bulge=0.2)
        pen.line(way((x - wide * 0.35, -0.31), (x + wide * 0.35, -0.31)), ink, 0.03)
        pen.line(way((x - wide * 0.35, -0.23), (x + wide * 0.15, -0.23)), ink, 0.03)
    elif kind == "leaf":
        pen.fill(
            blob((x - wide * 0.4, -0.2), (x - wide * 0.1, -0.38), (x + wide * 0.4, -0.36), (x + wide * 0.1, -0.2)),
            c,
            bulge=0.2,
        )
    elif kind != "none":
        with pen.at(x, -0.28, sx=0.26):
            pen.fill(symbol(kind), c, bulge=0.2)


def lamp(pen: Pen, look: Look, pose: Pose) -> None:
    """Shade, stem, foot, trim, cord and bulb are its own; the shade is the named colour."""
    g, shade, stem = (
        look.gene,
        look.pick("shade", ("cone", "dome", "drum", "tulip", "pagoda")),
        look.pick("stem", ("pole", "vase", "beads", "bent")),
    )
    metal, foot = (
        look.pick("metal", ((202, 164, 84), (80, 74, 84), (206, 208, 212), (132, 88, 56), look.rgb)),
        look.pick("foot", ("disc", "dome", "legs")),
    )
    wide, low = g("width", 0.36, 0.46), g("low", -0.56, -0.48)
    if foot == "legs":
        for x in (-0.22, 0.0, 0.22):
            pen.line(way((0, -0.3), (x, -0.025)), dark(metal, 0.15), 0.045)
    else:
        pen.fill(
            box(-0.22, -0.06, 0.22, 0.0, 0.03)
            if foot == "disc"
            else blob((0, -0.15), (0.16, -0.11), (0.23, -0.01), (-0.23, -0.01), (-0.16, -0.11)),
            metal,
            bulge=0.5,
        )
    x = pose.swing("sway", -0.02, 0.02)
    if stem == "vase":
        pen.body(
            blob((-0.07, -0.46), (0.07, -0.46), (0.17, -0.27), (0.1, -0.06), (-0.1, -0.06), (-0.17, -0.27)),
            look,
            bulge=0.55,
        )
    elif stem == "beads":
        for k, r in enumerate((0.085, 0.1, 0.08, 0.06)):
            pen.fill(oval(0, -0.12 - 0.115 * k, r, 0.075), look.rgb if k % 2 else metal, bulge=0.5)
    elif stem == "bent":
        pen.line(curve([(0, -0.05), (-0.15, -0.28), (0.04, -0.44), (x, low - 0.06)]), dark(metal, 0.1), 0.05)
    else:
        pen.line(way((0, -0.04), (x, low - 0.06)), dark(metal, 0.1), 0.055)
    with pen.at(x, low, turn=pose.swing("tilt", -13, 13) + (8 if stem == "bent" else 0)):
        _shade(pen, look, shade, wide, low, pose)
    pen.mark("foot left", -0.22, -0.01)
    pen.mark("foot right", 0.22, -0.01)
    pen.edge(-0.2, -0.005, 0.2, -0.005)


def _shade(pen: Pen, look: Look, shade: str, wide: float, low: float, pose: Pose) -> None:
    h, ry, trim = 0.98 + low, pose.swing("seen from below", 0.03, 0.07), look.accent("trim colour")
    top = {"cone": 0.42, "dome": 0.3, "drum": 0.82, "tulip": 0.7, "pagoda": 0.22}[shade] * wide
    side = {
        "cone": [(top, -h), (wide, 0)],
        "drum": [(top, -h), (wide * 0.92, 0)],
        "dome": [(0.07, -h), (wide * 0.7, -h * 0.78), (wide * 0.97, -h * 0.35), (wide, 0)],
        "tulip": [(top * 0.6, -h), (wide * 0.9, -h * 0.75), (wide * 0.82, -h * 0.3), (wide, 0)],
        "pagoda": [(top, -h), (wide * 0.42, -h * 0.55), (wide * 0.72, -h * 0.2), (wide, 0)],
    }[shade]
    if look.pick("chain", (1, 0, 0)):
        swing = pose.swing("chain", -0.03, 0.03)
        pen.line(way((wide * 0.5, 0), (wide * 0.5 + swing, 0.15)), trim, 0.018)
        pen.fill(oval(wide * 0.5 + swing, 0.17, 0.032), trim, bulge=0.4)
    pen.fill(oval(0, 0, wide if shade != "drum" else wide * 0.92, ry), (255, 240, 190), bulge=0.1)
    pen.glow(oval(0, 0.0, wide * 0.35, ry * 0.9), (255, 252, 226), 0.9)
    hull = poly(mirror(side)) if len(side) == 2 else curve(mirror(side))
    hull.close()
    pen.body(hull, look, bulge=0.5)
    with pen.inside(hull):
        if look.pick("trim", (1, 0)):
            pen.line(way((-wide, -0.03), (wide, -0.03)), trim, 0.06)
            pen.line(way((-wide, -h + 0.015), (wide, -h + 0.015)), trim, 0.04)
    if look.pick("finial", (1, 0)):
        pen.fill(oval(0, -h - 0.015, 0.035), trim, bulge=0.4)
    for name, x, y in (
        ("shade top left", -side[0][0], -h),
        ("shade top right", side[0][0], -h),
        ("shade left", -wide, 0),
        ("shade right", wide, 0),
    ):
        pen.mark(name, x, y)
    if shade in ("cone", "drum"):
        pen.edge(*side[0], *side[1])
        pen.edge(-side[0][0], side[0][1], -side[1][0], side[1][1])
