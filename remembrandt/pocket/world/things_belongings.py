"""Shoe, backpack, ball, potted flower."""

from __future__ import annotations

import math

import skia

from .look import CHARCOAL, CREAM, Look, Pose, Rgb, dark, light
from .pen import Pen
from .shapes import blob, box, curve, oval, poly, ribbon, symbol, way


def shoe(pen: Pen, look: Look, pose: Pose) -> None:
    """Cut, sole, heel, laces or strap, toe cap and emblem are its own."""
    cut, sole_h = look.pick("cut", ("sneaker", "hightop", "boot", "slipper", "pump")), look.gene("sole", 0.06, 0.12)
    tall = {"sneaker": 0.5, "hightop": 0.74, "boot": 0.96, "slipper": 0.4, "pump": 0.46}[cut]
    heel = look.gene("heel", 0.1, 0.2) if cut in ("pump", "boot") else 0.0
    sole_c, trim = look.pick("sole colour", (CREAM, CHARCOAL, (178, 120, 74), dark(look.rgb, 0.5))), look.accent("trim")
    k, toe = min(1.12, 1.0 / (tall + heel + sole_h)), look.pick("toe", (0.14, 0.2, 0.27))
    back = -0.5 if cut == "boot" else -0.52
    with (
        pen.at(-0.06 * k, sx=k),
        pen.at(0.5, 0, turn=max(0.0, pose.swing("heel up", -10, 14))),
        pen.at(-0.5, sy=1 + 0.05 * pose.turn),
    ):

        def up(x):
            return -sole_h - heel * max(0.0, min(1.0, (0.12 - x) / 0.5))

        top = up(back) - tall
        shaft = {"boot": (-0.04, top), "hightop": (-0.06, top)}.get(cut, (-0.16, top + 0.08))
        upper = skia.Path().moveTo(back, up(back)).quadTo(back - 0.05, up(back) - tall * 0.5, back + 0.02, top)
        upper.lineTo(*shaft) if cut != "slipper" else upper.quadTo(-0.3, top + 0.16, -0.05, top + 0.02)
        upper.quadTo(0.02, -sole_h - 0.36, 0.26, -sole_h - toe - 0.06).quadTo(
            0.62, -sole_h - toe, 0.63, up(0.6)
        ).lineTo(0.1, up(0.12))
        upper.close()
        pen.fill(
            oval((back + shaft[0]) / 2 + 0.02, (top + shaft[1]) / 2 + 0.02, (shaft[0] - back) / 2, 0.06),
            dark(look.rgb, 0.6),
            bulge=0,
        )
        if cut in ("sneaker", "hightop"):
            pen.fill(
                ribbon([(shaft[0] + 0.12, -sole_h - 0.34), (shaft[0] - 0.0, top - 0.03)], [0.08, 0.075]),
                trim,
                bulge=0.4,
            )
        pen.body(upper, look, bulge=0.5)
        with pen.inside(upper):
            if look.pick("cap", (1, 0)):
                pen.fill(oval(0.62, up(0.6), 0.23, 0.3), trim, bulge=0.3)
            if look.pick("counter", (1, 0)):
                pen.fill(oval(back, up(back), 0.17, 0.28), dark(look.rgb, 0.4), bulge=0.2)
            if cut == "boot":
                pen.fill(box(-0.7, top - 0.1, 0.2, top + 0.11), trim, bulge=0.2)
        _sole(pen, cut, sole_c, sole_h, heel, back)
        _fastening(pen, look, cut, shaft, sole_h, toe)
        for name, x, y in (
            ("heel", back, -0.02),
            ("toe", 0.64, -sole_h),
            ("collar back", back + 0.02, top),
            ("collar front", *shaft),
            ("instep", 0.2, -sole_h - toe - 0.1),
        ):
            pen.mark(name, x, y)
        pen.edge(-0.1, 0, 0.56, 0)


def _sole(pen: Pen, cut: str, c: Rgb, sole_h: float, heel: float, back: float) -> None:
    if heel:
        pen.fill(
            poly([(back - 0.02, -sole_h - heel), (-0.18, -sole_h - heel * 0.8), (-0.26, 0), (back, 0)], 0.01),
            c,
            bulge=0.3,
        )
        pen.fill(
            poly(
                [
                    (back - 0.02, -sole_h - heel),
                    (-0.2, -sole_h - heel),
                    (0.12, -sole_h),
                    (0.66, -sole_h),
                    (0.62, 0),
                    (0.1, 0),
                    (-0.2, -heel),
                    (back, -heel),
                ],
                0.03,
            ),
            c,
            bulge=0.2,
        )
    else:
        pen.fill(box(back - 0.04, -sole_h - 0.015, 0.67, 0, 0.04), c, bulge=0.2)
        if cut in ("sneaker", "hightop"):
            pen.line(way((back, -sole_h * 0.5), (0.63, -sole_h * 0.5)), dark(c, 0.35), 0.018)


def _fastening(pen: Pen, look: Look, cut: str, shaft, sole_h: float, toe: float) -> None:
    kind, c, n = (
        look.pick("fastening", ("laces", "laces", "strap", "bow", "emblem")),
        look.accent("fastening colour"),
        4 if cut in ("hightop", "boot") else 3,
    )
    end = (0.25, -sole_h - toe - 0.08)
    if kind == "laces":
        for k in range(n):
            t = (k + 0.5) / n
            x, y = shaft[0] + (end[0] - shaft[0]) * t + 0.02, shaft[1] + (end[1] - shaft[1]) * (t**0.75) + 0.02
            pen.line(way((x - 0.11, y + 0.05), (x + 0.03, y + 0.0)), c, 0.042)
    elif kind == "strap":
        for y in (0.0, 0.15)[: 2 if cut == "hightop" else 1]:
            pen.line(
                way((-0.44, shaft[1] + 0.17 + y), (-0.15, shaft[1] + 0.22 + y), (0.0 + y * 0.5, shaft[1] + 0.14 + y)),
                c,
                0.075,
            )
        pen.fill(box(-0.2, shaft[1] + 0.13, -0.1, shaft[1] + 0.24, 0.02), (226, 190, 92), bulge=0.3)
    elif kind == "bow":
        with pen.at(end[0] - 0.1, end[1] - 0.02, turn=22):
            for s in (-1, 1):
                pen.fill(poly([(0, 0), (0.13 * s, -0.08), (0.13 * s, 0.07)], 0.02), c, bulge=0.3)
            pen.fill(oval(0, 0, 0.036), dark(c, 0.2), bulge=0.2)
    else:
        with pen.at(-0.24, -sole_h - 0.23, sx=0.2):
            pen.fill(symbol(look.pick("emblem", ("star", "heart", "moon", "diamond"))), c, bulge=0.1)


def backpack(pen: Pen, look: Look, pose: Pose) -> None:
    """Outline, flap, pockets, straps, badge and keyring are its own."""
    g = look.gene
    kind, w, low = (
        look.pick("outline", ("round", "square", "roll", "tear")),
        g("width", 0.32, 0.4),
        g("low", 0.33, 0.42),
    )
    trim, t, hw = (
        look.accent("trim"),
        pose.turn * 0.05,
        w * {"round": 0.86, "square": 1.0, "roll": 0.94, "tear": 0.62}[kind],
    )
    with pen.at(turn=pose.swing("lean", -6, 6)):
        top = -0.9
        pen.line(
            blob((-0.08, top + 0.02), (-0.07, top - 0.06), (0.07, top - 0.06), (0.08, top + 0.02)),
            dark(trim, 0.1),
            0.045,
        )
        strap = dark(look.rgb, 0.5)
        for side in (-1, 1):
            pen.line(
                curve([(side * w * 0.7, -0.78), (side * (w + 0.1) + t, -0.5), (side * w * 0.9, -0.1)]), strap, 0.085
            )
        with pen.at(-t * 1.6, -0.01):
            pen.fill(_bag(w, hw, top), dark(look.rgb, 0.4), bulge=0.2)
        bag = _bag(w, hw, top)
        pen.body(bag, look, bulge=0.5)
        pockets = look.pick("side pockets", (1, 0))
        for side in (-1, 1) if pockets else ():
            pen.fill(box(side * w * 0.98, -0.34, side * (w + 0.1), -0.04, 0.05), dark(look.rgb, 0.2), bulge=0.4)
        _flap(pen, look, pose, bag, w, trim, t)
        y = -low
        pen.fill(
            box(-w * 0.72 + t, y, w * 0.72 + t, -0.07, 0.07),
            look.rgb if look.pick("pocket tone", (1, 0)) else dark(look.rgb, 0.25),
            bulge=0.4,
        )
        pen.line(way((-w * 0.58 + t, y + 0.09), (w * 0.58 + t, y + 0.09)), trim, 0.026)
        pen.line(way((w * 0.3 + t, y + 0.09), (w * 0.3 + t + pose.swing("tag", -0.03, 0.03), y + 0.17)), trim, 0.03)
        badge = look.pick("badge", ("none", "star", "heart", "disc", "moon"))
        if badge != "none":
            with pen.at(t - w * 0.25, y + 0.2, sx=0.15):
                pen.fill(symbol(badge), trim, bulge=0.2)
        for name, mx, my in (
            ("handle", 0, top - 0.05),
            ("top left", -hw, top + 0.12),
            ("top right", hw, top + 0.12),
            ("base left", -w, -0.04),
            ("base right", w, -0.04),
            ("pocket", t, y + 0.09),
        ):
            pen.mark(name, mx, my)
        pen.edge(-w * 0.8, 0, w * 0.8, 0)


def _bag(w: float, hw: float, top: float) -> skia.Path:
    return poly([(-hw, top), (hw, top), (w, -0.42), (w, 0), (-w, 0), (-w, -0.42)], 0.15)


def _flap(pen: Pen, look: Look, pose: Pose, bag: skia.Path, w: float, trim: Rgb, t: float) -> None:
    kind = look.pick("flap", ("flap", "zip", "buckles", "roll"))
    with pen.inside(bag):
        if kind in ("flap", "buckles"):
            pen.fill(
                skia.Path().moveTo(-0.6, -1.1).lineTo(0.6, -1.1).lineTo(0.6, -0.66).quadTo(t, -0.48, -0.6, -0.66),
                dark(look.rgb, 0.22),
                bulge=0.3,
            )
        elif kind == "zip":
            pen.line(curve([(-w * 0.85, -0.5), (-w * 0.6, -0.78), (w * 0.6, -0.78), (w * 0.85, -0.5)]), trim, 0.032)
        else:
            pen.fill(box(-0.6, -0.84, 0.6, -0.72, 0.02), trim, bulge=0.3)
    if kind == "buckles":
        for x in (-w * 0.45, w * 0.45):
            pen.line(way((x + t, -0.74), (x + t, -0.5)), trim, 0.05)
            pen.fill(box(x + t - 0.045, -0.6, x + t + 0.045, -0.53, 0.01), (226, 190, 92), bulge=0.2)
    elif kind == "flap":
        pen.fill(oval(t, -0.58, 0.04), trim, bulge=0.4)


def sphere(pen: Pen, look: Look, pose: Pose) -> None:
    """Pole caps, belt, emblem, gloss, seams and their slant are its own; its pattern bends round it."""
    r, roll, spin = (
        0.5,
        look.gene("slant", -35, 35) + pose.swing("roll", -28, 28),
        0.6 * pose.turn + pose.swing("spin", -0.3, 0.3),
    )
    c, ink = look.accent("belt colour"), look.accent("emblem colour")
    with pen.at(0, -r):
        ball = oval(0, 0, r)
        with pen.at(turn=roll):
            pen.body(ball, look, bulge=0.85, motif=_wrapped(look.pattern, spin))
            with pen.inside(ball):
                kind, tip = (
                    look.pick("marking", ("none", "belt", "caps", "seam", "emblem", "ring", "two belts")),
                    look.gene("belt", 0.06, 0.11),
                )
                for y in {"belt": (0.0,), "two belts": (-0.2, 0.2)}.get(kind, ()):
                    pen.line(_latitude(y), c, tip)
                if kind == "caps":
                    for s in (-1, 1):
                        pen.fill(oval(0, s * 0.47, 0.26, 0.14), c, bulge=0.3)
                elif kind == "seam":
                    for s in (-1, 1):
                        pen.line(
                            way((s * 0.5, -0.45), (s * 0.02 + spin * 0.1, 0), (s * 0.5, 0.45)),
                            dark(look.rgb, 0.6),
                            0.025,
                        )
                elif kind in ("emblem", "ring"):
                    x = 0.42 * math.sin(spin * 0.8)
                    with pen.at(x, 0.03, sx=0.42 * math.cos(spin * 0.6), sy=0.42):
                        shape = (
                            symbol(look.pick("emblem", ("star", "heart", "moon", "diamond", "cross")))
                            if kind == "emblem"
                            else oval(0, 0, 0.5)
                        )
                        pen.fill(shape, ink, bulge=0.2)
                        if kind == "ring":
                            pen.fill(oval(0, 0, 0.28), look.rgb, bulge=0.2)
                if look.pick("valve", (1, 0)):
                    pen.fill(oval(0, -0.44, 0.055, 0.03), CHARCOAL, bulge=0)
        pen.glow(oval(-0.19, -0.23, 0.1, 0.07), (255, 255, 255), look.pick("gloss", (0.12, 0.75)))
        for name, x, y in (("centre", 0, 0), ("top", 0, -r), ("left", -r, 0), ("right", r, 0), ("contact", 0, r)):
            pen.mark(name, x, y)


def _latitude(y: float) -> skia.Path:
    return skia.Path().moveTo(-0.55, y - 0.05).quadTo(0, y + 0.13, 0.55, y - 0.05)


def _wrapped(pattern: str, spin: float) -> skia.Path | None:
    """The pattern as it lies round a ball of radius 1/2: meridian bands, shrinking dots, or both bands crossed."""
    p, n = skia.Path(), 6
    if pattern == "dotted":
        for row, tilt in enumerate((-0.95, -0.32, 0.32, 0.95)):
            for k in range(-4, 5):
                a, b = (k + 0.5 * (row % 2)) * 0.72 / math.cos(tilt) ** 0.5 + spin, tilt
                if abs(a) < 1.5:
                    p.addOval(
                        skia.Rect.MakeXYWH(
                            0.5 * math.sin(a) * math.cos(b) - 0.075 * math.cos(a),
                            0.5 * math.sin(b) - 0.075 * math.cos(b),
                            0.15 * math.cos(a),
                            0.15 * math.cos(b),
                        )
                    )
        return p
    if pattern not in ("striped", "checked"):
        return None
    for k in range(-n, n):
        a, b = (
            max(-1.57, min(1.57, (2 * k + e) * math.pi / 10 + spin))
            for e in (0.0, 0.9 if pattern == "striped" else 1.0)
        )
        if b > a:
            x0, x1 = 0.5 * math.sin(a), 0.5 * math.sin(b)
            p.moveTo(0, -0.5)
            p.conicTo(x0, -0.5, x0, 0, 0.7071).conicTo(x0, 0.5, 0, 0.5, 0.7071)
            p.conicTo(x1, 0.5, x1, 0, 0.7071).conicTo(x1, -0.5, 0, -0.5, 0.7071)
            p.close()
    if pattern == "checked":
        for k in (-2, 0, 2):
            y0, y1 = 0.5 * math.sin(k * 0.42 - 0.21), 0.5 * math.sin(k * 0.42 + 0.21)
            p.addRect(skia.Rect(-0.6, y0, 0.6, y1))
        p.setFillType(skia.PathFillType.kEvenOdd)
    return p


def flower(pen: Pen, look: Look, pose: Pose) -> None:
    """Bloom, petals, heart, leaves, pot and its rim are its own; bloom and pot have the named colour."""
    g, kind = look.gene, look.pick("bloom", ("daisy", "tulip", "round", "star", "double"))
    w, pot_h, green = (
        g("pot", 0.23, 0.29),
        g("pot height", 0.28, 0.38),
        look.pick("green", ((74, 150, 70), (48, 122, 84), (122, 160, 60))),
    )
    base, bend = w * look.pick("taper", (0.7, 0.9, 0.55)), pose.swing("bend", -0.14, 0.14)
    head = (bend, -0.67)
    pen.line(way((0, -pot_h), (-bend * 0.3, -0.5), head), dark(green, 0.15), 0.045)
    leaf, size = look.pick("leaf", ("round", "long", "heart")), g("leaf size", 0.85, 1.2)
    for side in (-1, 1):
        with pen.at(0, -pot_h - 0.03, turn=side * pose.swing(f"leaf {side}", 38, 72), sx=size):
            ends = {
                "round": [(0, 0), (0.08, -0.12), (0.0, -0.26), (-0.08, -0.12)],
                "long": [(0, 0), (0.05, -0.18), (0.0, -0.36), (-0.05, -0.18)],
                "heart": [(0, 0), (0.11, -0.08), (0.0, -0.24), (-0.11, -0.08)],
            }[leaf]
            pen.fill(blob(*ends), green, bulge=0.4)
    pot = poly([(-w, -pot_h), (w, -pot_h), (base, 0), (-base, 0)], 0.03)
    pen.body(pot, look, bulge=0.5)
    rim = look.pick("rim", ("lip", "band", "plain"))
    if rim != "plain":
        pen.fill(
            box(-w - 0.035, -pot_h - 0.03, w + 0.035, -pot_h + 0.06, 0.02),
            look.accent("rim colour") if rim == "band" else dark(look.rgb, 0.2),
            bulge=0.4,
        )
    with pen.at(*head, turn=bend * 100 + pose.swing("nod", -10, 10)):
        _bloom(pen, look, kind)
    for name, x, y in (
        ("bloom", *head),
        ("pot left", -w, -pot_h),
        ("pot right", w, -pot_h),
        ("base left", -base, 0),
        ("base right", base, 0),
    ):
        pen.mark(name, x, y)
    pen.edge(-w, -pot_h, -base, 0)
    pen.edge(w, -pot_h, base, 0)


def _bloom(pen: Pen, look: Look, kind: str) -> None:
    heart, r = (
        look.pick("heart colour", ((250, 206, 70), (96, 60, 44), CREAM, CHARCOAL)),
        look.gene("bloom size", 1.1, 1.25),
    )
    n = look.pick("petals", (5, 6, 8))
    with pen.at(sx=r):
        if kind == "tulip":
            cup = [
                (-0.2, -0.2),
                (-0.1, -0.07),
                (0.0, -0.24),
                (0.1, -0.07),
                (0.2, -0.2),
                (0.19, 0.06),
                (0.0, 0.17),
                (-0.19, 0.06),
            ]
            with pen.at(0, 0.04, sx=1.1):
                pen.body(poly(cup, 0.03), look, bulge=0.5)
                pen.fill(blob((0, -0.2), (0.09, -0.02), (0.0, 0.16), (-0.09, -0.02)), light(look.rgb, 0.25), bulge=0.3)
            return
        for ring, (size, shade) in enumerate(((1.0, 0.1), (0.62, -0.2)) if kind == "double" else ((1.0, 0.0),)):
            for k in range(n):
                with pen.at(turn=360 * (k + 0.5 * ring) / n, sx=size):
                    wide = 0.26 * math.pi / n
                    petal = {
                        "daisy": blob((0, 0), (wide * 0.55, -0.17), (0, -0.28), (-wide * 0.55, -0.17)),
                        "star": poly([(-wide * 0.55, -0.06), (0, -0.29), (wide * 0.55, -0.06)], 0.02),
                    }.get(kind) or oval(0, -0.16, wide * 0.8, 0.115)
                    pen.fill(petal, dark(look.rgb, shade) if shade >= 0 else light(look.rgb, -shade), bulge=0.4)
        pen.fill(oval(0, 0, look.gene("heart size", 0.075, 0.115)), heart, bulge=0.5)
