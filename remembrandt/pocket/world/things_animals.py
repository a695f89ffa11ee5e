"""Dog, cat, bird: side views that face right, built on bones."""

from __future__ import annotations

import skia

from .look import Look, Pose, Rgb, dark, light, luma
from .pen import Pen
from .shapes import Point, blob, box, oval, poly, ribbon

PINK: Rgb = (238, 142, 146)


def marking(look: Look, name: str) -> Rgb:
    """A coat marking that stands off the body colour: nearly cream or a deep shade of it."""
    options = (dark(look.rgb, 0.62), light(look.rgb, 0.82))
    return options[0] if luma(look.rgb) > 0.68 else options[1] if luma(look.rgb) < 0.35 else look.pick(name, options)


def eye(pen: Pen, x: float, y: float, r: float, look: Look, white: bool = True) -> None:
    """A round living eye with its catch light."""
    if white:
        pen.fill(oval(x, y, r * 1.35), (255, 252, 244), bulge=0.1)
    pen.fill(oval(x + r * 0.2, y, r), (30, 24, 32), bulge=0)
    pen.glow(oval(x - r * 0.15, y - r * 0.4, r * 0.36), (255, 255, 255), 0.95)


def leg(
    pen: Pen,
    look: Look,
    hip: Point,
    reach: float,
    lift: float,
    width: float,
    *,
    hind: bool,
    far: bool,
    sock: Rgb | None,
) -> Point:
    """A leg from hip to a paw `reach` ahead of it; returns the paw."""
    paw = (hip[0] + reach, -0.045 - lift)
    bend = (-0.05 if hind else 0.02) + lift * (0.6 if hind else 0.9)
    knee = ((hip[0] + paw[0]) / 2 + bend, (hip[1] + paw[1]) / 2 - lift * 0.3)
    path = ribbon([hip, knee, paw], [width * (1.5 if hind else 1.15), width * 0.86, width * 0.72])
    tint = 0.25 if far else 0.0
    if hind and not far:
        pen.body(path, look, bulge=0.35)
    else:
        pen.fill(path, dark(look.rgb, tint), bulge=0.35)
    foot = oval(paw[0] + 0.025, paw[1] + 0.002, width * 1.15, 0.045)
    pen.fill(foot, dark(sock or look.rgb, tint), bulge=0.35)
    return paw


def dog(pen: Pen, look: Look, pose: Pose) -> None:
    """Ears, snout, legs, length, tail, coat markings and collar are its own."""
    g, swing = look.gene, pose.swing
    legs, long, fat = (
        look.pick("legs", (0.17, 0.3, 0.4)) + g("leg", -0.02, 0.03),
        g("length", 0.44, 0.66),
        g("girth", 0.14, 0.19),
    )
    hip, chest = (-long / 2 - 0.08, -legs - fat * 0.95), (long / 2 - 0.08, -legs - fat)
    head = (chest[0] + 0.17 + swing("reach", -0.03, 0.03), chest[1] - 0.27 + swing("nod", -0.04, 0.05))
    sock = marking(look, "sock") if look.pick("socks", (1, 0, 0)) else None
    left, right = hip[0] - 0.3, head[0] + 0.15 + g("snout", 0.1, 0.3)
    k = min(1 / (-head[1] + 0.24), 1.4 / (right - left))
    with pen.at(-(left + right) / 2 * k, sx=k):
        width, paws = g("leg width", 0.058, 0.082), []
        for far in (True, False):
            if not far:
                _dog_tail(pen, look, (hip[0] - 0.1, hip[1] - 0.06), swing("wag", -22, 22))
                _dog_trunk(pen, look, hip, chest, head, fat)
            for hind, joint in ((True, hip), (False, chest)):
                stride = swing(f"stride {hind} {far}", -0.1, 0.1) + (0.07 if far else -0.02)
                lift = max(0.0, swing(f"lift {hind} {far}", -0.3, 0.09)) if not far else 0.0
                paws.append(
                    leg(pen, look, (joint[0], joint[1] + 0.05), stride, lift, width, hind=hind, far=far, sock=sock)
                )
        with pen.at(*head, turn=swing("tilt", -16, 14)):
            _dog_head(pen, look, pose)
        for name, (x, y) in (
            ("neck", (chest[0] + 0.08, chest[1] - 0.14)),
            ("shoulder", chest),
            ("hip", hip),
            ("tail", (hip[0] - 0.1, hip[1] - 0.06)),
            ("front paw", paws[3]),
            ("hind paw", paws[2]),
        ):
            pen.mark(name, x, y)


def _dog_tail(pen: Pen, look: Look, root: Point, wag: float) -> None:
    kind = look.pick("tail", ("sabre", "curl", "stub", "plume"))
    with pen.at(*root, turn=wag):
        if kind == "curl":
            path = ribbon(
                [(0.08, 0.04), (-0.08, -0.1), (-0.06, -0.26), (0.06, -0.27), (0.06, -0.17)],
                [0.06, 0.055, 0.05, 0.045, 0.035],
            )
        elif kind == "stub":
            path = ribbon([(0.08, 0.04), (0, -0.04), (-0.05, -0.1)], [0.06, 0.055, 0.045])
        elif kind == "plume":
            path = blob(
                (0.06, 0.05), (-0.12, 0.0), (-0.28, -0.1), (-0.34, -0.3), (-0.2, -0.24), (-0.06, -0.14), (0.06, -0.08)
            )
        else:
            path = ribbon([(0.08, 0.04), (-0.12, -0.08), (-0.22, -0.24), (-0.25, -0.38)], [0.055, 0.048, 0.038, 0.02])
        pen.fill(path, look.rgb, bulge=0.4)


def _dog_trunk(pen: Pen, look: Look, hip: Point, chest: Point, head: Point, fat: float) -> None:
    (hx, hy), (cx, cy) = hip, chest
    waist = look.gene("waist", 0.7, 1.0)
    trunk = blob(
        (hx - 0.14, hy - 0.01),
        (hx - 0.03, hy - fat * 0.98),
        ((hx + cx) / 2, hy - fat * 0.9),
        (cx - 0.02, cy - fat * 1.0),
        (head[0] - 0.13, head[1] - 0.02),
        (head[0] + 0.06, head[1] + 0.1),
        (cx + 0.17, cy + 0.0),
        (cx + 0.06, cy + fat * 1.05),
        ((hx + cx) / 2, hy + fat * waist),
        (hx - 0.02, hy + fat * 0.9),
    )
    pen.body(trunk, look, bulge=0.5, pitch=0.19)
    with pen.inside(trunk):
        kind, c = look.pick("coat", ("none", "saddle", "bib", "spot", "belly")), marking(look, "coat colour")
        kind = kind if look.pattern == "plain" else "none"  # a named pattern must stay readable
        if kind == "saddle":
            pen.fill(oval((hx + cx) / 2 - 0.03, hy - fat * 1.1, 0.2, fat * 0.95), c, bulge=0.3)
        elif kind == "bib":
            pen.fill(oval(cx + 0.17, cy + 0.02, 0.12, 0.2), c, bulge=0.3)
        elif kind == "spot":
            pen.fill(
                blob((hx - 0.16, hy - 0.1), (hx + 0.04, hy - 0.2), (hx + 0.12, hy - 0.02), (hx + 0.0, hy + 0.09)),
                c,
                bulge=0.3,
            )
        elif kind == "belly":
            pen.fill(oval((hx + cx) / 2 + 0.05, hy + fat * 1.0, 0.3, fat * 0.6), c, bulge=0.3)
    if look.pick("collar", (1, 1, 0)):
        a, b = (head[0] - 0.15, head[1] + 0.08), (head[0] + 0.08, head[1] + 0.19)
        pen.line(skia.Path().moveTo(*a).quadTo(head[0] - 0.07, head[1] + 0.2, *b), look.accent("collar colour"), 0.065)


def _dog_head(pen: Pen, look: Look, pose: Pose) -> None:
    snout, deep = look.gene("snout", 0.1, 0.3), look.gene("muzzle", 0.07, 0.1)
    ears, ear_c = (
        look.pick("ears", ("pointed", "floppy", "long", "folded", "round")),
        look.pick("ear colour", (look.rgb, dark(look.rgb, 0.45), marking(look, "ear mark"))),
    )
    flick = pose.swing("ear", -10, 10)
    if ears in ("pointed", "folded", "round"):
        with pen.at(0.05, -0.13, turn=22 + flick):
            pen.fill(_EARS[ears](), dark(ear_c, 0.25), bulge=0.3)
    skull = blob((-0.19, 0.0), (-0.14, -0.15), (0.0, -0.2), (0.12, -0.13), (0.17, 0.0), (0.12, 0.14), (-0.05, 0.18))
    pen.fill(skull, look.rgb, bulge=0.45)
    patch = look.pick("face", ("none", "patch", "blaze", "mask"))
    c = marking(look, "face colour")
    if patch != "none":
        with pen.inside(skull):
            pen.fill(
                oval(0.07, -0.05, 0.1, 0.11)
                if patch == "patch"
                else box(0.05, -0.3, 0.13, 0.1, 0.03)
                if patch == "blaze"
                else oval(0.18, 0.1, 0.17, 0.16),
                c,
                bulge=0.1,
            )
    nose = (0.08 + snout, 0.035)
    if pose.swing("tongue", 0, 1) > 0.6:
        pen.fill(ribbon([(nose[0] - 0.08, 0.1), (nose[0] - 0.05, 0.2)], [0.035, 0.04]), PINK, bulge=0.3)
    muzzle = blob(
        (0.02, -0.02),
        (0.1, -0.04),
        (nose[0], nose[1] - deep * 0.55),
        (nose[0] + 0.035, nose[1] + 0.03),
        (nose[0] - 0.02, nose[1] + deep * 0.95),
        (0.08, 0.15),
        (0.0, 0.12),
    )
    pen.fill(muzzle, c if patch in ("mask", "blaze") else light(look.rgb, 0.25), bulge=0.4)
    pen.fill(oval(nose[0] + 0.015, nose[1] - deep * 0.25, 0.045, 0.037), (36, 28, 36), bulge=0.35)
    pen.line(
        skia.Path().moveTo(nose[0] + 0.0, nose[1] + 0.06).quadTo(nose[0] - 0.08, 0.14, 0.1, 0.09),
        dark(look.rgb, 0.75),
        0.014,
    )
    eye(pen, 0.075, -0.055, 0.034, look)
    with pen.at(-0.1 if ears in ("floppy", "long") else -0.07, -0.11, turn=flick - 8):
        pen.fill(_EARS[ears](), ear_c, bulge=0.4)
    for name, x, y in (("nose", nose[0] + 0.015, nose[1]), ("eye", 0.075, -0.055), ("ear", -0.08, -0.12)):
        pen.mark(name, x, y)


_EARS = {
    "pointed": lambda: poly([(-0.09, 0.04), (-0.05, -0.2), (0.08, 0.02)], 0.03),
    "floppy": lambda: blob((0.02, -0.03), (0.05, 0.06), (0.0, 0.2), (-0.08, 0.23), (-0.12, 0.12), (-0.08, -0.02)),
    "long": lambda: blob(
        (0.03, -0.03), (0.06, 0.12), (0.05, 0.32), (-0.04, 0.38), (-0.12, 0.28), (-0.12, 0.08), (-0.06, -0.04)
    ),
    "folded": lambda: poly([(-0.1, 0.05), (-0.07, -0.13), (0.08, -0.1), (0.15, 0.04), (0.04, 0.0), (0.04, 0.06)], 0.02),
    "round": lambda: oval(-0.02, -0.04, 0.09, 0.1),
}
