"""Plush toy."""

from __future__ import annotations

import skia

from .look import Look, Pose, Rgb, dark, light
from .pen import Pen
from .shapes import blob, oval, poly, ribbon, step, way


def toy(pen: Pen, look: Look, pose: Pose) -> None:
    """A sitting plush: its ears, snout, belly patch, button eyes, bow and stitching are its own."""
    g, swing = look.gene, pose.swing
    kind, r, fat = (
        look.pick("kind", ("bear", "rabbit", "mouse", "elephant")),
        g("head", 0.24, 0.3),
        g("fat", 0.24, 0.31),
    )
    pad, thread, hy = light(look.rgb, 0.62), dark(look.rgb, 0.55), -0.5 - g("tall", 0.0, 0.05)
    top = {"bear": 1.12, "mouse": 1.12, "rabbit": 1.85, "elephant": 0.95}[kind]
    with pen.at(sx=1 / (-hy + r * (0.55 + top))), pen.at(turn=swing("lean", -6, 6)):
        arms = []
        for side, name in ((-1, "left"), (1, "right")):
            a = side * swing(name + " arm", 30, 135)
            hand = step((side * fat * 0.75, hy + 0.12), a, 0.25)
            pen.body(
                ribbon(
                    [(side * fat * 0.6, hy + 0.12), ((side * fat * 0.7 + hand[0]) / 2, (hy + 0.1 + hand[1]) / 2), hand],
                    [0.09, 0.09, 0.085],
                ),
                look,
                bulge=0.4,
            )
            arms.append((name + " hand", *hand))
        trunk = blob(
            (0, hy + 0.02),
            (fat * 0.8, hy + 0.16),
            (fat, -0.16),
            (fat * 0.6, -0.0),
            (-fat * 0.6, 0.0),
            (-fat, -0.16),
            (-fat * 0.8, hy + 0.16),
        )
        pen.body(trunk, look, bulge=0.5)
        if look.pick("belly", (1, 0)):
            pen.fill(oval(0, -0.22, fat * 0.55, 0.17), pad, bulge=0.3)
        pen.line(way((0, hy + 0.2), (0, -0.05)), thread, 0.014)
        for k in range(4):
            pen.line(way((-0.03, -0.1 - 0.09 * k), (0.03, -0.1 - 0.09 * k)), thread, 0.012)
        for side, name in ((-1, "left foot"), (1, "right foot")):
            x, y = side * (fat * 0.78 + swing(name, -0.02, 0.07)), -0.125
            pen.fill(oval(x, y, 0.135, 0.125), look.rgb, bulge=0.45)
            pen.fill(oval(x + side * 0.01, y + 0.0, 0.082, 0.078), pad, bulge=0.2)
            arms.append((name, x, y))
        with pen.at(0, hy - r * 0.55, turn=swing("tilt", -16, 16)):
            _toy_head(pen, look, pose, kind, r, pad, thread)
        if look.pick("bow", (1, 0, 1)):
            c, y = look.accent("bow colour"), hy + 0.07
            pen.fill(poly([(0, y), (-0.15, y - 0.075), (-0.15, y + 0.075)], 0.02), c, bulge=0.3)
            pen.fill(poly([(0, y), (0.15, y - 0.075), (0.15, y + 0.075)], 0.02), c, bulge=0.3)
            pen.fill(oval(0, y, 0.04), dark(c, 0.2), bulge=0.3)
        for name, x, y in arms:
            pen.mark(name, x, y)
        pen.mark("neck", 0, hy + 0.04)


def _toy_head(pen: Pen, look: Look, pose: Pose, kind: str, r: float, pad: Rgb, thread: Rgb) -> None:
    t, flop = pose.turn * r * 0.18, pose.swing("ear flop", -14, 14)
    for side in (-1, 1):
        with pen.at(
            side * r * {"rabbit": 0.4, "elephant": 0.85}.get(kind, 0.72),
            -r * {"rabbit": 0.7, "elephant": 0.1}.get(kind, 0.68),
            turn=flop if kind == "rabbit" else flop * 0.3,
        ):
            w, h, y = {
                "bear": (0.34, 0.34, 0),
                "mouse": (0.5, 0.5, 0),
                "rabbit": (0.25, 0.7, -0.5),
                "elephant": (0.55, 0.68, 0),
            }[kind]
            pen.fill(oval(0, y * r, w * r, h * r), look.rgb, bulge=0.4)
            pen.fill(oval(0, y * r, w * r * 0.58, h * r * 0.62), pad, bulge=0.2)
    pen.fill(oval(0, 0, r * 1.06, r * 0.95), look.rgb, bulge=0.5)
    if kind == "elephant":
        s = pose.swing("trunk", -0.1, 0.14)
        pen.fill(
            ribbon(
                [(t, r * 0.1), (t, r * 0.55), (t + s, r * 0.95), (t + s * 2.2, r * 1.0)], [0.085, 0.07, 0.055, 0.05]
            ),
            light(look.rgb, 0.2),
            bulge=0.4,
        )
    else:
        pen.fill(oval(t, r * 0.36, r * 0.46, r * 0.36), pad, bulge=0.35)
        pen.fill(oval(t * 1.2, r * 0.2, r * 0.16, r * 0.12), (48, 36, 42), bulge=0.3)
        pen.line(
            skia.Path().moveTo(t, r * 0.3).lineTo(t, r * 0.46).quadTo(t + r * 0.08, r * 0.58, t + r * 0.2, r * 0.5),
            thread,
            0.014,
        )
    eyes = look.pick("eyes", ("bead", "button", "patch"))
    for side, name in ((-1, "left eye"), (1, "right eye")):
        x, y = side * r * 0.45 + t, -r * 0.12
        if eyes == "patch" and side > 0:
            pen.fill(oval(x, y, r * 0.32), pad, bulge=0.1)
        pen.fill(
            oval(x, y, r * (0.19 if eyes == "button" else 0.13)),
            look.accent("button") if eyes == "button" else (30, 24, 30),
            bulge=0.4,
        )
        if eyes == "button":
            pen.line(way((x - 0.02, y - 0.02), (x + 0.02, y + 0.02)), thread, 0.014)
        else:
            pen.glow(oval(x - r * 0.05, y - r * 0.05, r * 0.05), (255, 255, 255), 0.9)
        pen.mark(name, x, y)
    for name, x, y in (("nose", t, r * 0.2), ("left ear", -r * 0.75, -r * 0.75), ("right ear", r * 0.75, -r * 0.75)):
        pen.mark(name, x, y)
