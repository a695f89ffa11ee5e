"""House."""

from __future__ import annotations

from .look import CREAM, Look, Pose, Rgb, dark
from .pen import Pen
from .shapes import box, oval, poly, way
from .things_solids import Project, plane, projection
from .things_vehicles import GLASS


def house(pen: Pen, look: Look, pose: Pose) -> None:
    """Roof, storeys, door, windows, chimney, shutters and width are its own; its walls have the named colour."""
    g, kind = look.gene, look.pick("roof", ("gable", "hip", "steep", "shed", "tower"))
    w, d, wall = g("width", 0.42, 0.52), g("depth", 0.32, 0.42), look.pick("storeys", (0.48, 0.62))
    rise = {"gable": 0.28, "hip": 0.27, "steep": 0.44, "shed": 0.16, "tower": 0.42}[kind]
    if kind == "tower":
        w, d, wall = 0.33, 0.3, 0.72
    at = projection(-28 - 18 * pose.turn, pose.swing("tilt", 5, 12))
    low, top = max(at(x, 0, d)[1] for x in (-w, w)), at(0, wall + rise, 0)[1]
    roof_c = look.pick(
        "roof colour", ((150, 74, 58), (92, 88, 104), (176, 120, 66), (62, 74, 98), dark(look.rgb, 0.55))
    )
    half = max(abs(at(x * (w + 0.07), wall, z * (d + 0.07))[0]) for x in (-1, 1) for z in (-1, 1))
    k = min(1 / (low - top + 0.1), 0.68 / half)
    with pen.at(sx=k), pen.at(0, -low):
        for o, u, width, tint, wide in (
            ((-w, wall, d), (1, 0, 0), 2 * w, 0.0, True),
            ((w, wall, d), (0, 0, -1), 2 * d, 0.28, False),
        ):
            with plane(pen, at, o, u, (0, -1, 0)):
                pen.body(box(0, 0, width, wall), look, bulge=0.2, tint=tint, pitch=0.2)
                _openings(pen, look, width, wall, tint, wide)
        _house_roof(pen, look, at, kind, w, d, wall, rise, roof_c)
        corners = {
            "front left": (-w, 0, d),
            "front right": (w, 0, d),
            "back right": (w, 0, -d),
            "eaves left": (-w, wall, d),
            "eaves right": (w, wall, d),
            "eaves back": (w, wall, -d),
        }
        for name, q in corners.items():
            pen.mark(name, *at(*q))
        pen.mark("seat", *at(0, wall + rise, 0 if kind != "shed" else -d))
        for a, b in (
            ("front left", "front right"),
            ("front right", "back right"),
            ("front left", "eaves left"),
            ("front right", "eaves right"),
            ("back right", "eaves back"),
            ("eaves left", "eaves right"),
        ):
            pen.edge(*at(*corners[a]), *at(*corners[b]))


def _openings(pen: Pen, look: Look, width: float, wall: float, tint: float, front: bool) -> None:
    frame, door_c, pane = (
        dark(CREAM, max(tint, 0) * 0.6),
        look.accent("door colour"),
        look.pick("pane", (GLASS, (255, 226, 140), (98, 132, 168))),
    )
    door_x = look.pick("door", (0.5, 0.27, 0.73)) * width
    shape, size = look.pick("window", ("square", "round", "arch")), look.gene("window size", 0.075, 0.095)
    if front:
        arch = look.pick("door shape", (0.02, 0.085))
        pen.fill(box(door_x - 0.1, wall - 0.3, door_x + 0.1, wall, arch), frame, bulge=0)
        pen.fill(box(door_x - 0.075, wall - 0.275, door_x + 0.075, wall, arch), door_c, bulge=0.2)
        pen.fill(oval(door_x + 0.045, wall - 0.12, 0.016), (236, 196, 84), bulge=0)
    xs = [x * width for x in (0.22, 0.5, 0.78) if abs(x * width - door_x) > 0.17] if front else [0.5 * width]
    rows = [wall - 0.22] + ([0.16] if wall > 0.55 else [])
    for y in rows:
        for x in xs if y == rows[0] else [0.25 * width, 0.75 * width] if front else xs:
            r = {"square": 0.01, "round": size, "arch": size * 0.7}[shape]
            pen.fill(box(x - size - 0.018, y - size - 0.018, x + size + 0.018, y + size + 0.018, r), frame, bulge=0)
            pen.fill(box(x - size, y - size, x + size, y + size, r), dark(pane, tint * 0.5), bulge=0.2)
            pen.line(way((x, y - size), (x, y + size)), frame, 0.016)


def _house_roof(
    pen: Pen, look: Look, at: Project, kind: str, w: float, d: float, wall: float, rise: float, c: Rgb
) -> None:
    e, y = 0.07, wall - 0.03  # overhanging eaves
    chim = look.pick("chimney", (-0.5, 0.45, None))
    if chim is not None and kind != "tower":
        x, h = chim * w, wall + rise + 0.1
        pen.fill(
            poly([at(x - 0.06, h, 0), at(x + 0.06, h, 0), at(x + 0.06, wall, 0), at(x - 0.06, wall, 0)], 0.01),
            (150, 92, 76),
            bulge=0.3,
        )
        pen.fill(
            poly([at(x - 0.08, h, 0), at(x + 0.08, h, 0), at(x + 0.08, h - 0.06, 0), at(x - 0.08, h - 0.06, 0)], 0.01),
            (112, 72, 66),
            bulge=0.2,
        )
    ridge = {"hip": w * 0.4, "tower": 0.0}.get(kind, w + e)
    if kind == "shed":
        pen.body(poly([at(w, wall, d), at(w, wall, -d), at(w, wall + rise, -d)]), look, tint=0.28, bulge=0.1)
        pen.fill(
            poly(
                [
                    at(-w - e, y, d + e),
                    at(w + e, y, d + e),
                    at(w + e, wall + rise, -d - e),
                    at(-w - e, wall + rise, -d - e),
                ],
                0.02,
            ),
            c,
            bulge=0.3,
        )
        return
    if kind in ("gable", "steep"):
        pen.body(poly([at(w, wall, d), at(w, wall, -d), at(w, wall + rise, 0)]), look, tint=0.28, bulge=0.1)
        pen.fill(
            poly(
                [
                    at(w + e, y, d + e),
                    at(w + e, y - 0.05, d + e),
                    at(w + e, wall + rise - 0.06, 0),
                    at(w + e, y - 0.05, -d - e),
                    at(w + e, y, -d - e),
                    at(w + e, wall + rise, 0),
                ],
                0.005,
            ),
            dark(c, 0.4),
            bulge=0,
        )
    else:
        pen.fill(
            poly([at(w + e, y, d + e), at(w + e, y, -d - e), at(ridge, wall + rise, 0)], 0.01), dark(c, 0.35), bulge=0.1
        )
    a, b = at(-ridge, wall + rise, 0), at(ridge, wall + rise, 0)
    slope = poly(
        [at(-w - e, y, d + e), at(w + e, y, d + e), b, a]
        if kind != "tower"
        else [at(-w - e, y, d + e), at(w + e, y, d + e), b],
        0.015,
    )
    pen.fill(slope, c, bulge=0.3)
    with pen.inside(slope):
        for k in range(1, 4):
            t = k / 4
            (x0, y0), (x1, y1) = (
                at(-w - e, y + (wall + rise - y) * t, (d + e) * (1 - t)),
                at(w + e, y + (wall + rise - y) * t, (d + e) * (1 - t)),
            )
            pen.line(way((x0, y0), (x1, y1)), dark(c, 0.3), 0.014)
    pen.edge(*a, *b)
