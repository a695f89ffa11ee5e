"""Person: an upright figure that faces us."""

from __future__ import annotations

import skia

from .look import CHARCOAL, Look, Pose, Rgb, dark, light
from .pen import Pen
from .shapes import blob, box, oval, poly, ribbon, step, way

SKINS: tuple[Rgb, ...] = ((255, 222, 196), (242, 196, 160), (214, 158, 116), (166, 110, 74), (112, 72, 50))
HAIRS: tuple[Rgb, ...] = ((48, 36, 36), (92, 58, 38), (190, 120, 50), (232, 196, 110), (188, 78, 40), (190, 188, 186))


def person(pen: Pen, look: Look, pose: Pose) -> None:
    """Hair, skin, hat, glasses, beard, stoutness and the cut of the clothes are their own."""
    g, swing = look.gene, pose.swing
    skin, wide, stout = look.pick("skin", SKINS), g("shoulders", 0.13, 0.18), g("stout", 0.0, 0.09)
    cut = look.pick("cut", ("trousers", "trousers", "dress", "shorts", "coat"))
    legs_c = dark(look.rgb, 0.28) if cut != "dress" else light(look.rgb, 0.0)
    hip_y, neck_y, head_r = g("legs", -0.44, -0.36), -0.72, g("head", 0.15, 0.18)
    lean = swing("lean", -6, 6)
    with pen.at(sx=1 / (0.77 + head_r * 2.15)):
        knees, ankles, hips = {}, {}, {}
        for side, name in ((-1, "left"), (1, "right")):
            hip, a = (side * (0.07 + stout * 0.4), hip_y), side * swing("stride", 2, 17) + swing("shift", -5, 5)
            knee = step(hip, a + side * swing(f"{name} knee", -2, 9), (-hip_y - 0.04) / 2)
            ankle = (knee[0] + side * 0.02 - swing(f"{name} shin", -0.04, 0.04), -0.045)
            hips[name], knees[name], ankles[name] = hip, knee, ankle
            shoe = look.accent("shoe")
            pen.fill(
                ribbon([hip, knee, ankle], [0.082, 0.066, 0.05]),
                legs_c if cut in ("trousers", "coat") else skin,
                bulge=0.35,
            )
            if cut == "shorts":
                pen.fill(ribbon([hip, knee], [0.09, 0.085]), legs_c, bulge=0.3)
            pen.fill(
                blob(
                    (ankle[0] - 0.06, -0.012),
                    (ankle[0] - 0.05, -0.075),
                    (ankle[0] + 0.045, -0.08),
                    (ankle[0] + 0.065 + side * 0.035, -0.012),
                ),
                shoe,
                bulge=0.35,
            )
        with pen.at(0, hip_y, turn=lean), pen.at(0, -hip_y):
            _torso(pen, look, pose, skin, cut, wide, stout, hip_y, neck_y, head_r)
            for name in ("left", "right"):
                pen.mark(name + " hip", *hips[name])
        for name in ("left", "right"):
            pen.mark(name + " knee", *knees[name])
            pen.mark(name + " ankle", *ankles[name])


def _torso(
    pen: Pen,
    look: Look,
    pose: Pose,
    skin: Rgb,
    cut: str,
    wide: float,
    stout: float,
    hip_y: float,
    neck_y: float,
    head_r: float,
) -> None:
    arms = look.pick("sleeves", ("long", "long", "short")), pose.swing("arms", 0, 1)
    hem = {"dress": (0.24 + stout, hip_y + 0.17), "coat": (0.17 + stout, hip_y + 0.13)}.get(
        cut, (0.115 + stout, hip_y + 0.04)
    )
    pen.fill(box(-0.05, neck_y - 0.07, 0.05, neck_y + 0.06, 0.02), dark(skin, 0.12), bulge=0.2)
    elbows = [_arm(pen, look, pose, side, skin, wide, neck_y, *arms) for side in (-1,)]
    mid = (neck_y + hip_y) / 2
    trunk = poly(
        [
            (-wide, neck_y + 0.01),
            (wide, neck_y + 0.01),
            (wide * 0.92 + stout, mid),
            hem,
            (-hem[0], hem[1]),
            (-wide * 0.92 - stout, mid),
        ],
        0.05,
    )
    pen.body(trunk, look, bulge=0.45, pitch=0.13)
    extra = look.pick("extra", ("none", "collar", "buttons", "scarf", "belt", "pocket"))
    c = look.accent("extra colour")
    if extra == "collar":
        pen.fill(poly([(-0.08, neck_y - 0.01), (0.08, neck_y - 0.01), (0.0, neck_y + 0.11)], 0.01), c, bulge=0.2)
    elif extra == "buttons":
        for k in range(3):
            pen.fill(oval(0, neck_y + 0.08 + 0.085 * k, 0.02), c, bulge=0.2)
    elif extra == "belt":
        pen.line(way((-0.1 - stout, hip_y - 0.02), (0.1 + stout, hip_y - 0.02)), c, 0.045)
    elif extra == "pocket":
        pen.fill(box(0.03, mid - 0.06, 0.12, mid + 0.03, 0.015), c, bulge=0.2)
    elbows.append(_arm(pen, look, pose, 1, skin, wide, neck_y, *arms))
    with pen.at(pose.turn * 0.02, neck_y - 0.03 - head_r, turn=pose.swing("tilt", -13, 13)):
        _face(pen, look, pose, skin, head_r)
    if extra == "scarf":
        pen.line(skia.Path().moveTo(-0.09, neck_y - 0.01).quadTo(0, neck_y + 0.05, 0.09, neck_y - 0.01), c, 0.07)
        pen.fill(poly([(0.02, neck_y), (0.1, neck_y), (0.11, neck_y + 0.2), (0.04, neck_y + 0.2)], 0.02), c, bulge=0.3)
    pen.mark("neck", 0, neck_y)


def _arm(
    pen: Pen, look: Look, pose: Pose, side: int, skin: Rgb, wide: float, neck_y: float, sleeve: str, mood: float
) -> None:
    name = "left" if side < 0 else "right"
    shoulder = (side * (wide - 0.025), neck_y + 0.05)
    up = pose.swing(name + " gesture", 0, 1)
    a, b = (
        (side * pose.swing(name + " upper", 95, 130), side * pose.swing(name + " fore", 140, 190))
        if up > 0.72
        else (side * pose.swing(name + " upper", 40, 62), side * pose.swing(name + " fore", -60, -35))
        if up > 0.56
        else (side * pose.swing(name + " upper", 10, 40), side * pose.swing(name + " fore", 5, 50))
    )
    elbow = step(shoulder, a, 0.16)
    wrist = step(elbow, b, 0.15)
    pen.fill(oval(*step(wrist, b, 0.03), 0.047), skin, bulge=0.3)
    pen.fill(ribbon([shoulder, elbow, wrist], [0.06, 0.05, 0.04]), look.rgb if sleeve == "long" else skin, bulge=0.35)
    if sleeve == "short":
        pen.fill(
            ribbon(
                [shoulder, ((shoulder[0] + elbow[0]) / 2, (shoulder[1] + elbow[1]) / 2), elbow], [0.066, 0.064, 0.06]
            ),
            look.rgb,
            bulge=0.3,
        )
    for joint, p in (("shoulder", shoulder), ("elbow", elbow), ("wrist", wrist)):
        pen.mark(f"{name} {joint}", *p)


def _face(pen: Pen, look: Look, pose: Pose, skin: Rgb, r: float) -> None:
    hair, c, t = (
        look.pick("hair", ("short", "long", "bun", "curls", "bald", "fringe", "tail", "spiky", "bun", "long")),
        look.pick("hair colour", HAIRS),
        pose.turn * r * 0.2,
    )
    hat = look.pick("hat", ("none", "none", "none", "cap", "brim", "beanie"))
    if hair == "long":
        pen.fill(
            blob(
                (0, -r * 1.1),
                (r * 1.1, -r * 0.4),
                (r * 1.15, r * 1.3),
                (0, r * 1.1),
                (-r * 1.15, r * 1.3),
                (-r * 1.1, -r * 0.4),
            ),
            c,
            bulge=0.4,
        )
    elif hair == "curls":
        pen.fill(
            blob(
                *(
                    (1.38 * r * x, 1.38 * r * y - r * 0.15)
                    for x, y in (
                        (0, -1),
                        (0.6, -0.85),
                        (0.9, -0.4),
                        (0.95, 0.2),
                        (0.6, 0.6),
                        (-0.6, 0.6),
                        (-0.95, 0.2),
                        (-0.9, -0.4),
                        (-0.6, -0.85),
                    )
                )
            ),
            c,
            bulge=0.5,
        )
    elif hair == "tail":
        pen.fill(
            ribbon([(-r * 0.7, -r * 0.5), (-r * 1.5, -r * 0.3), (-r * 1.6, r * 0.7)], [0.05, 0.055, 0.03]), c, bulge=0.4
        )
    elif hair == "bun" and hat == "none":
        pen.fill(oval(0, -r * 1.2, r * 0.5), c, bulge=0.5)
    for side in (-1, 1):
        pen.fill(oval(side * r * 0.98, r * 0.08, r * 0.2, r * 0.24), skin, bulge=0.2)
    head = blob(
        (0, -r),
        (r * 0.86, -r * 0.5),
        (r * 0.92, r * 0.2),
        (r * 0.5, r * 0.85),
        (0, r * 1.02),
        (-r * 0.5, r * 0.85),
        (-r * 0.92, r * 0.2),
        (-r * 0.86, -r * 0.5),
    )
    pen.fill(head, skin, bulge=0.35)
    with pen.inside(head):
        beard = look.pick("beard", ("none", "none", "none", "full", "moustache"))
        if beard == "full":
            pen.fill(
                blob(
                    (-r, r * 0.1),
                    (-r * 0.5, r * 0.3),
                    (t, r * 0.3),
                    (r * 0.5, r * 0.3),
                    (r, r * 0.1),
                    (r, r * 1.3),
                    (-r, r * 1.3),
                ),
                c,
                bulge=0.2,
            )
        elif beard == "moustache":
            pen.fill(blob((t - r * 0.5, r * 0.5), (t, r * 0.3), (t + r * 0.5, r * 0.5), (t, r * 0.48)), c, bulge=0.1)
        for side in (-1, 1):
            pen.glow(oval(side * r * 0.52 + t, r * 0.35, r * 0.2, r * 0.14), (236, 84, 84), 0.3)
    _features(pen, look, pose, skin, r, t)
    _hair(pen, look, hair, hat, c, r, t)
    pen.mark("nose", t * 1.3, r * 0.2)


def _features(pen: Pen, look: Look, pose: Pose, skin: Rgb, r: float, t: float) -> None:
    glasses = look.pick("glasses", (0, 0, 0, 1))
    for side, name in ((-1, "left eye"), (1, "right eye")):
        x, y = side * r * 0.36 + t, -r * 0.02
        pen.fill(oval(x, y, r * 0.13, r * 0.16), (34, 26, 32), bulge=0)
        pen.glow(oval(x - r * 0.04, y - r * 0.06, r * 0.05), (255, 255, 255), 0.9)
        if glasses:
            pen.line(oval(x, y, r * 0.31), CHARCOAL, 0.016)
        pen.mark(name, x, y)
    pen.line(
        skia.Path()
        .moveTo(t * 1.3 - r * 0.02, r * 0.14)
        .quadTo(t * 1.3 + r * 0.14, r * 0.3, t * 1.3 - r * 0.04, r * 0.3),
        dark(skin, 0.4),
        0.012,
    )
    smile = pose.swing("smile", 0.05, 0.28)
    pen.line(
        skia.Path().moveTo(t - r * 0.3, r * 0.52).quadTo(t, r * (0.52 + smile * 1.6), t + r * 0.3, r * 0.52),
        (150, 48, 52),
        0.018,
    )


def _hair(pen: Pen, look: Look, hair: str, hat: str, c: Rgb, r: float, t: float) -> None:
    if hat != "none":
        hc, s = look.accent("hat colour"), r * 1.04
        dome = blob(
            (-s, -r * 0.28),
            (-s * 0.86, -r * 0.95),
            (0, -r * 1.4),
            (s * 0.86, -r * 0.95),
            (s, -r * 0.28),
            (0, -r * 0.42),
        )
        pen.fill(dome, hc, bulge=0.4)
        if hat == "brim":
            pen.fill(oval(0, -r * 0.42, r * 1.65, r * 0.22), hc, bulge=0.3)
        elif hat == "cap":
            pen.fill(oval(r * 0.55, -r * 0.4, r * 0.95, r * 0.17), dark(hc, 0.3), bulge=0.3)
        else:
            pen.fill(box(-s, -r * 0.55, s, -r * 0.25, 0.03), light(hc, 0.35), bulge=0.2)
            pen.fill(oval(0, -r * 1.45, r * 0.27), light(hc, 0.35), bulge=0.4)
    elif hair == "spiky":
        pen.fill(
            poly(
                [
                    (-r, -r * 0.1),
                    (-r * 1.15, -r * 0.9),
                    (-r * 0.6, -r * 0.85),
                    (-r * 0.4, -r * 1.45),
                    (0, -r * 1.0),
                    (r * 0.4, -r * 1.45),
                    (r * 0.6, -r * 0.85),
                    (r * 1.15, -r * 0.9),
                    (r, -r * 0.1),
                    (r * 0.6, -r * 0.45),
                    (-r * 0.6, -r * 0.45),
                ],
                0.01,
            ),
            c,
            bulge=0.4,
        )
    elif hair == "fringe":
        pen.fill(
            blob(
                (-r * 1.08, r * 0.35),
                (-r * 1.02, -r * 0.7),
                (0, -r * 1.15),
                (r * 1.02, -r * 0.7),
                (r * 1.08, r * 0.35),
                (r * 0.8, -r * 0.25),
                (0, -r * 0.3),
                (-r * 0.8, -r * 0.25),
            ),
            c,
            bulge=0.4,
        )
    elif hair != "bald":
        pen.fill(
            blob(
                (-r * 1.0, -r * 0.02),
                (-r * 0.96, -r * 0.66),
                (0, -r * 1.14),
                (r * 0.96, -r * 0.66),
                (r * 1.0, -r * 0.02),
                (r * 0.62, -r * 0.5),
                (-r * 0.3, -r * 0.55),
                (-r * 0.7, -r * 0.4),
            ),
            c,
            bulge=0.4,
        )
