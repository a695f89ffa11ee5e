"""Bird and cat."""

from __future__ import annotations

import skia

from .look import CHARCOAL, Look, Pose, dark, light
from .pen import Pen
from .shapes import blob, box, oval, poly, ribbon, way
from .things_animals import PINK, eye, marking


def bird(pen: Pen, look: Look, pose: Pose) -> None:
    """Beak, crest, tail, plumpness, legs and plumage are its own."""
    g, swing = look.gene, pose.swing
    legs, fat, long = look.pick("legs", (0.12, 0.2, 0.34)), g("plump", 0.23, 0.3), g("length", 0.28, 0.36)
    beak_c = look.pick("beak colour", ((244, 168, 44), (62, 54, 66), (226, 96, 52), (232, 206, 150)))
    y, neck = -legs - fat * 0.9, look.pick("neck", (0.0, 0.0, 0.14))
    hx, hy, r = long * 0.72, y - fat * 0.75 - neck + swing("nod", -0.02, 0.04), g("head", 0.16, 0.21)
    left, right = -long - 0.34, hx + r + 0.24
    k = min(1 / (-hy + r + 0.13), 1.36 / (right - left))
    with pen.at(-(left + right) / 2 * k, sx=k):
        feet = []
        for far, x in ((True, 0.1), (False, -0.04)):
            fx = x + swing(f"step {far}", -0.09, 0.09)
            c = dark(beak_c, 0.3 if far else 0.05)
            pen.line(way((x, y + fat * 0.8), (fx, -0.02)), c, 0.04)
            pen.line(way((fx - 0.05, -0.018), (fx + 0.11, -0.018)), c, 0.036)
            feet.append((fx, -0.02))
        with pen.at(0, y, turn=swing("lean", -12, 10)):
            _plumage(pen, look, pose, long, fat)
            hx, hy = hx, hy - y
            pen.body(
                blob(
                    (-long, -0.04),
                    (-long * 0.45, -fat * 0.85),
                    (hx - r * 0.8, hy - 0.02),
                    (hx + r * 0.75, hy + r * 0.5),
                    (long * 1.02, 0.0),
                    (long * 0.5, fat * 0.85),
                    (-long * 0.3, fat * 0.9),
                ),
                look,
                bulge=0.5,
            )
            breast = look.pick("breast", ("none", "pale", "dark", "bib"))
            if breast != "none" and look.pattern == "plain":
                c = dark(look.rgb, 0.55) if breast == "dark" else light(look.rgb, 0.75)
                pen.fill(
                    blob(
                        (hx + 0.06, hy + r * 0.8),
                        (long * 0.98, 0.0),
                        (long * 0.5, fat * 0.8),
                        (0.0, fat * 0.82),
                        (long * 0.45, fat * 0.2),
                    )
                    if breast != "bib"
                    else oval(hx + 0.02, hy + r + 0.04, 0.1, 0.12),
                    c,
                    bulge=0.3,
                )
            _wing(pen, look, pose, long, fat)
            with pen.at(hx, hy, turn=swing("tilt", -14, 14)):
                _bird_head(pen, look, r, beak_c)
            for name, px, py in (
                ("neck", hx - 0.03, hy + r),
                ("back", -0.1, -fat * 0.8),
                ("belly", 0.05, fat * 0.8),
                ("tail", -long - 0.1, -0.05),
            ):
                pen.mark(name, px, py)
        pen.mark("left foot", *feet[0])
        pen.mark("right foot", *feet[1])


def _plumage(pen: Pen, look: Look, pose: Pose, long: float, fat: float) -> None:
    kind, c = look.pick("tail", ("fan", "fork", "long", "stub")), dark(look.rgb, look.pick("tail shade", (0.15, 0.5)))
    with pen.at(-long * 0.8, -0.03, turn=pose.swing("tail", -16, 18)):
        for turn, size in {
            "fan": ((-22, 1), (22, 1), (0, 1.1)),
            "fork": ((16, 1.2), (-14, 1.2)),
            "long": ((3, 1.5), (-6, 1.35)),
            "stub": ((0, 0.7),),
        }[kind]:
            with pen.at(turn=turn):
                pen.fill(
                    blob(
                        (0.08, -0.06), (-0.16 * size, -0.07), (-0.26 * size, -0.01), (-0.16 * size, 0.055), (0.08, 0.06)
                    ),
                    c,
                    bulge=0.35,
                )


def _wing(pen: Pen, look: Look, pose: Pose, long: float, fat: float) -> None:
    c, tip = dark(look.rgb, look.pick("wing shade", (0.18, 0.18, 0.45))), marking(look, "wing bar")
    up = pose.swing("wing", 0, 1)
    with pen.at(long * 0.22, -fat * 0.25, turn=72 * max(0.0, up - 0.6) / 0.4 + pose.swing("fold", -6, 6)):
        wing = blob(
            (0.05, -0.05), (-0.16, -0.13), (-0.4, -0.06), (-0.56, 0.1), (-0.3, 0.13), (-0.06, 0.14), (0.06, 0.06)
        )
        pen.fill(wing, c, pattern=look.pattern, second=dark(look.second, 0.2), bulge=0.4)
        with pen.inside(wing):
            kind = look.pick("wing", ("none", "bar", "tip", "two bars"))
            if kind == "tip":
                pen.fill(oval(-0.52, 0.08, 0.2, 0.2), tip, bulge=0.2)
            for x in {"bar": (-0.22,), "two bars": (-0.14, -0.3)}.get(kind, ()):
                pen.line(skia.Path().moveTo(x - 0.04, -0.2).quadTo(x + 0.06, 0, x - 0.04, 0.2), tip, 0.055)
        pen.mark("wing tip", -0.54, 0.08)


def _bird_head(pen: Pen, look: Look, r: float, beak_c) -> None:
    crest, cap = (
        look.pick("crest", ("none", "none", "spike", "plume", "comb")),
        look.pick("cap", ("none", "cap", "cheek", "stripe", "none")),
    )
    c = look.accent("crest colour")
    if crest == "spike":
        pen.fill(
            poly([(0.05, -r * 0.7), (-r * 1.5, -r * 1.35), (-r * 0.8, -r * 0.3)], 0.03), dark(look.rgb, 0.2), bulge=0.3
        )
    elif crest == "plume":
        pen.fill(ribbon([(0, -r * 0.8), (-0.01, -r * 1.25), (r * 0.5, -r * 1.45)], [0.022, 0.03, 0.04]), c, bulge=0.3)
    elif crest == "comb":
        pen.fill(
            blob(
                (-r * 0.6, -r * 0.7),
                (-r * 0.55, -r * 1.2),
                (-r * 0.2, -r * 1.05),
                (0.0, -r * 1.4),
                (r * 0.3, -r * 1.05),
                (r * 0.6, -r * 1.1),
                (r * 0.5, -r * 0.6),
            ),
            (206, 58, 52),
            bulge=0.3,
        )
    beak, length = look.pick("beak", ("short", "long", "hook", "duck")), look.gene("beak length", 0.9, 1.15)
    shape = {
        "short": [(r * 0.7, -0.07), (r + 0.13, 0.02), (r * 0.7, 0.08)],
        "long": [(r * 0.7, -0.045), (r + 0.27, 0.04), (r * 0.7, 0.06)],
        "hook": [(r * 0.6, -0.11), (r + 0.1, -0.07), (r + 0.13, 0.12), (r + 0.02, 0.07), (r * 0.6, 0.09)],
        "duck": [(r * 0.7, -0.05), (r + 0.09, 0.0), (r + 0.19, 0.0), (r + 0.19, 0.08), (r * 0.7, 0.1)],
    }[beak]
    shape = [(r * 0.7 + (x - r * 0.7) * length, y) for x, y in shape]
    pen.fill(poly(shape, 0.03), beak_c, bulge=0.4)
    skull = oval(0, 0, r, r * 0.96)
    pen.fill(skull, look.rgb, bulge=0.45)
    with pen.inside(skull):
        if cap == "cap":
            pen.fill(oval(-0.03, -r * 0.95, r * 1.1, r * 0.62), marking(look, "cap colour"), bulge=0.2)
        elif cap == "cheek":
            pen.fill(oval(0.0, r * 0.42, r * 0.42, r * 0.34), marking(look, "cheek colour"), bulge=0.1)
        elif cap == "stripe":
            pen.line(way((-r, -0.02), (r, -0.02)), dark(look.rgb, 0.6), r * 0.5)
    eye(pen, r * 0.32, -r * 0.16, r * 0.2, look)
    for name, x, y in (("beak", shape[len(shape) // 2][0], 0.03), ("eye", r * 0.32, -r * 0.16), ("crown", 0, -r)):
        pen.mark(name, x, y)


def cat(pen: Pen, look: Look, pose: Pose) -> None:
    """A cat sitting: ears, cheeks, coat, tail, eyes, bulk and collar are its own."""
    g, swing = look.gene, pose.swing
    fat, head_r, tall = g("bulk", 0.2, 0.31), g("head", 0.2, 0.25), g("tall", 0.9, 1.02)
    hx, hy = swing("reach", -0.05, 0.07), -0.7 * tall
    sock = marking(look, "sock") if look.pick("socks", (1, 0)) else look.rgb
    with pen.at(0.12, sx=0.98 / (tall * 0.7 + head_r * 1.22)), pen.at(turn=swing("lean", -4, 4)):
        root = (-fat * 0.8, -0.12)
        _cat_tail(pen, look, pose, fat)
        pen.body(
            blob(
                (hx * 0.6, hy + 0.04),
                (0.15, hy + 0.16),
                (fat * 0.8, -0.25),
                (fat * 0.92, -0.02),
                (0.0, 0.0),
                (-fat * 1.0, -0.02),
                (-fat * 1.1, -0.2),
                (-0.17, hy + 0.17),
            ),
            look,
            bulge=0.5,
        )
        bib = look.pick("bib", ("none", "bib", "belly"))
        if bib != "none" and look.pattern == "plain":
            pen.fill(
                blob((0.02, hy + 0.18), (0.12, hy + 0.3), (0.02, -0.34 if bib == "bib" else -0.08), (-0.09, hy + 0.3)),
                marking(look, "bib colour"),
                bulge=0.25,
            )
        pen.body(
            blob(
                (-fat * 0.5, -0.27),
                (-fat * 0.12, -0.13),
                (-fat * 0.25, -0.01),
                (-fat * 1.1, -0.01),
                (-fat * 1.08, -0.16),
            ),
            look,
            bulge=0.45,
        )
        paws = []
        for name, x in (("left paw", -0.03), ("right paw", 0.13)):
            lift = max(0.0, swing(name, -0.5, 0.24)) if name == "right paw" else 0.0
            paw = (x + swing(name + " x", -0.02, 0.05) + lift * 0.6, -0.04 - lift)
            pen.body(
                ribbon([(x, hy + 0.32), (x + lift * 0.3, (hy + 0.3 + paw[1]) / 2), paw], [0.07, 0.062, 0.055]),
                look,
                bulge=0.35,
            )
            pen.fill(oval(paw[0] + 0.015, paw[1], 0.075, 0.052), sock, bulge=0.35)
            paws.append((name, *paw))
        if look.pick("collar", (1, 0, 0)):
            pen.line(
                skia.Path().moveTo(hx - 0.16, hy + 0.13).quadTo(hx, hy + 0.26, hx + 0.16, hy + 0.13),
                look.accent("collar colour"),
                0.06,
            )
            pen.fill(oval(hx + 0.02, hy + 0.23, 0.042), (236, 190, 62), bulge=0.5)
        with pen.at(hx, hy, turn=swing("tilt", -15, 15)):
            _cat_head(pen, look, pose, head_r)
        for name, x, y in (
            *paws,
            ("neck", hx, hy + 0.18),
            ("shoulder", 0.1, hy + 0.28),
            ("hip", -fat * 0.7, -0.2),
            ("tail", *root),
        ):
            pen.mark(name, x, y)


def _cat_tail(pen: Pen, look: Look, pose: Pose, fat: float) -> None:
    wide, c = look.pick("tail", (0.045, 0.06, 0.09)), look.pick("tail tip", (None, marking(look, "tip")))
    s, up = pose.swing("tail", -0.08, 0.1), pose.swing("tail up", 0, 1)
    path = (
        [
            (-fat * 0.6, -0.1),
            (-fat - 0.13, -0.07),
            (-fat - 0.25 + s, -0.2),
            (-fat - 0.18 + s, -0.4),
            (-fat - 0.27 + s, -0.55),
        ]
        if up > 0.4
        else [
            (-fat * 0.6, -0.08),
            (-fat - 0.12, -0.06),
            (-fat - 0.26, -0.07),
            (-fat - 0.35, -0.15 + s * 0.5),
            (-fat - 0.28, -0.24 + s),
        ]
    )
    tail = ribbon(path, [wide, wide, wide, wide * 0.95, wide * 0.8])
    pen.body(tail, look, bulge=0.35)
    if c:
        with pen.inside(tail):
            pen.fill(oval(*path[-1], 0.13), c, bulge=0.1)


def _cat_head(pen: Pen, look: Look, pose: Pose, r: float) -> None:
    ear_h, ear_c, wide = (
        look.pick("ear size", (0.85, 1.15, 1.5)),
        look.pick("ear colour", (look.rgb, dark(look.rgb, 0.5))),
        look.gene("cheeks", 1.02, 1.3),
    )
    t = pose.turn * r * 0.22
    for side in (-1, 1):
        x = side * r * 0.66
        pen.fill(
            poly(
                [
                    (x - r * 0.42, -r * 0.42),
                    (x + side * r * 0.24, -r * 0.8 - r * 0.42 * ear_h),
                    (x + r * 0.42, -r * 0.42),
                ],
                0.02,
            ),
            ear_c,
            bulge=0.3,
        )
        pen.fill(
            poly(
                [
                    (x - r * 0.2, -r * 0.55),
                    (x + side * r * 0.19, -r * 0.75 - r * 0.26 * ear_h),
                    (x + r * 0.22, -r * 0.55),
                ],
                0.015,
            ),
            PINK,
            bulge=0.1,
        )
    face = blob(
        (0, -r * 0.84),
        (r * 0.66, -r * 0.62),
        (r * wide, r * 0.1),
        (r * 0.6, r * 0.68),
        (0, r * 0.82),
        (-r * 0.6, r * 0.68),
        (-r * wide, r * 0.1),
        (-r * 0.66, -r * 0.62),
    )
    pen.fill(face, look.rgb, bulge=0.45)
    kind, c = look.pick("face", ("none", "tabby", "half", "muzzle", "mask")), marking(look, "face colour")
    with pen.inside(face):
        if kind == "tabby":
            for x in (-0.35, 0, 0.35):
                pen.line(way((x * r + t, -r), (x * 0.6 * r + t, -r * 0.42)), dark(look.rgb, 0.6), 0.035)
        elif kind == "half":
            pen.fill(box(t, -1, 1, 1), c, bulge=0)
        elif kind == "mask":
            pen.fill(oval(t, r * 0.25, r * 0.75, r * 0.62), c, bulge=0.1)
    pen.fill(oval(t, r * 0.4, r * 0.42, r * 0.28), light(look.rgb, 0.8) if kind != "muzzle" else c, bulge=0.2)
    iris = look.pick("eyes", ((120, 200, 92), (244, 198, 60), (96, 176, 226), (214, 132, 50)))
    for side, name in ((-1, "left eye"), (1, "right eye")):
        x, y = side * r * 0.42 + t, -r * 0.08
        pen.fill(oval(x, y, r * 0.24, r * 0.25), iris, bulge=0.2)
        pen.fill(oval(x + t * 0.2, y, r * 0.11, r * 0.22), (28, 22, 30), bulge=0)
        pen.glow(oval(x - r * 0.08, y - r * 0.1, r * 0.06), (255, 255, 255), 0.95)
        pen.mark(name, x, y)
        for k in (-1, 1):
            pen.line(way((side * r * 0.4 + t, r * 0.42), (side * r * 1.25 + t, r * (0.42 + 0.16 * k))), CHARCOAL, 0.009)
    pen.fill(poly([(t - r * 0.13, r * 0.22), (t + r * 0.13, r * 0.22), (t, r * 0.38)], 0.012), PINK, bulge=0.2)
    pen.line(
        skia.Path()
        .moveTo(t - r * 0.2, r * 0.48)
        .quadTo(t - r * 0.08, r * 0.58, t, r * 0.4)
        .quadTo(t + r * 0.08, r * 0.58, t + r * 0.2, r * 0.48),
        CHARCOAL,
        0.013,
    )
    for name, x, y in (("nose", t, r * 0.3), ("left ear", -r * 0.85, -r * 1.1), ("right ear", r * 0.85, -r * 1.1)):
        pen.mark(name, x, y)
