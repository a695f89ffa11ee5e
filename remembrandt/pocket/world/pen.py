"""A pen that draws shaded picture-book shapes in object units: ground contact at (0, 0), y up is negative, height about 1."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import skia

from .look import Look, Rgb, dark, light


@dataclass(frozen=True)
class Light:
    """Direction towards the light on the picture plane (y down) and how strongly it models the form."""

    x: float = -0.55
    y: float = -0.84
    strength: float = 1.0


@dataclass(frozen=True)
class Manner:
    """How a style lets the pen draw: shade and not flat = soft, shade and flat = two-tone, not shade = one tone.

    outline: width of a contour in `ink`; rim: width of the soft darker contour; tone: maps every colour (ink drawings, blueprints)."""

    outline: float = 0.0
    shade: bool = True
    flat: bool = False
    rim: float = 0.014
    ink: Rgb = (44, 34, 46)
    tone: Callable[[Rgb], Rgb] | None = None


class Pen:
    """Draws a thing on a canvas and, with the same paths, on a mask (alpha) and a height (grey bulge) canvas; gathers keypoints and segments."""

    def __init__(
        self,
        canvas: skia.Canvas,
        *,
        mask: skia.Canvas | None = None,
        height: skia.Canvas | None = None,
        light: Light = Light(),
        manner: Manner = Manner(),
    ) -> None:
        self.canvas, self.mask, self.height = canvas, mask, height
        self.canvases = [c for c in (canvas, mask, height) if c is not None]
        self.light, self.manner = light, manner
        self.keypoints: dict[str, tuple[float, float]] = {}
        self.segments: list[tuple[float, float, float, float]] = []

    @contextmanager
    def at(
        self, x: float = 0.0, y: float = 0.0, turn: float = 0.0, sx: float = 1.0, sy: float | None = None
    ) -> Iterator[None]:
        """A moved, turned (degrees) and scaled frame; sx alone scales only x when negative (a mirror), both otherwise."""
        m = skia.Matrix().setTranslate(x, y)
        if turn:
            m.preRotate(turn)
        if sx != 1 or sy is not None:
            m.preScale(sx, (1.0 if sx < 0 else sx) if sy is None else sy)
        with self.frame(m):
            yield

    @contextmanager
    def frame(self, m: skia.Matrix) -> Iterator[None]:
        """Any affine frame, on all canvases at once."""
        for c in self.canvases:
            c.save()
            c.concat(m)
        try:
            yield
        finally:
            for c in self.canvases:
                c.restore()

    def face(self, o: tuple[float, float], u: tuple[float, float], v: tuple[float, float]):
        """The frame of a plane's parallelogram: origin o, unit steps u and v; patterns then lie in the plane."""
        return self.frame(skia.Matrix.MakeAll(u[0], v[0], o[0], u[1], v[1], o[1], 0, 0, 1))

    def body(
        self,
        path: skia.Path,
        look: Look,
        bulge: float = 0.5,
        tint: float = 0.0,
        pitch: float = 0.17,
        motif: skia.Path | None = None,
    ) -> None:
        """Fill with the look's colour and pattern; tint darkens (> 0) a far limb or lightens (< 0) a lit face."""
        shift = (lambda c: dark(c, tint)) if tint > 0 else (lambda c: light(c, -tint))
        self.fill(
            path,
            shift(look.rgb),
            pattern=look.pattern,
            second=shift(look.second),
            bulge=bulge,
            pitch=pitch,
            motif=motif,
        )

    def fill(
        self,
        path: skia.Path,
        colour: Rgb,
        *,
        pattern: str = "plain",
        second: Rgb | None = None,
        bulge: float = 0.5,
        pitch: float = 0.17,
        motif: skia.Path | None = None,
    ) -> None:
        """A shaded fill, lit from the light's side, with its pattern (of the given pitch, or drawn as motif) and its contour."""
        draw, m = self.canvas.drawPath, self.manner
        geometry = self._modelling(path) if m.shade else None
        draw(path, self._paint(colour, bulge, geometry))
        if pattern != "plain" and second is not None:
            self.canvas.save()
            self.canvas.clipPath(path, True)
            draw(motif or pattern_path(pattern, round(1.3 * pitch, 2)), self._paint(second, bulge, geometry))
            self.canvas.restore()
        if m.outline:
            draw(path, self._stroke(m.ink, m.outline))
        elif m.rim:
            draw(path, self._stroke(dark(self._tone(colour), 0.5), m.rim, 0.6))
        if self.mask is not None:
            self.mask.drawPath(path, skia.Paint(AntiAlias=True))
        if self.height is not None:
            grey = round(120 + 135 * bulge)
            self.height.drawPath(
                path, self._paint((grey, grey, grey), bulge, geometry or self._modelling(path), raw=True)
            )

    def line(self, path: skia.Path, colour: Rgb, width: float) -> None:
        """A round-ended stroke: whiskers, seams, poles."""
        self.canvas.drawPath(path, self._stroke(self._tone(colour), width))
        if self.mask is not None:
            self.mask.drawPath(path, self._stroke((0, 0, 0), width))

    def glow(self, path: skia.Path, colour: Rgb, alpha: float) -> None:
        """A see-through flat patch: glass, gloss, light; leaves no trace in the mask."""
        r, g, b = self._tone(colour)
        self.canvas.drawPath(path, skia.Paint(AntiAlias=True, Color=skia.Color(r, g, b, round(255 * alpha))))

    @contextmanager
    def inside(self, path: skia.Path) -> Iterator[None]:
        """Markings drawn in here stay within path."""
        for c in self.canvases:
            c.save()
            c.clipPath(path, True)
        try:
            yield
        finally:
            for c in self.canvases:
                c.restore()

    def mark(self, name: str, x: float, y: float) -> None:
        """A keypoint, kept in picture pixels."""
        p = self.canvas.getTotalMatrix().mapXY(x, y)
        self.keypoints[name] = (p.x(), p.y())

    def edge(self, x0: float, y0: float, x1: float, y1: float) -> None:
        """A straight structural line, kept in picture pixels."""
        m = self.canvas.getTotalMatrix()
        p, q = m.mapXY(x0, y0), m.mapXY(x1, y1)
        self.segments.append((p.x(), p.y(), q.x(), q.y()))

    def _tone(self, c: Rgb) -> Rgb:
        return self.manner.tone(c) if self.manner.tone else c

    def _stroke(self, c: Rgb, width: float, alpha: float = 1.0) -> skia.Paint:
        return skia.Paint(
            AntiAlias=True,
            Style=skia.Paint.kStroke_Style,
            StrokeWidth=width,
            StrokeCap=skia.Paint.kRound_Cap,
            StrokeJoin=skia.Paint.kRound_Join,
            Color=skia.Color(*c, round(255 * alpha)),
        )

    def _modelling(self, path: skia.Path) -> skia.Matrix:
        """Unit circle -> an ellipse round the path whose centre is pushed to the light (in local axes, so limbs and mirrors stay lit from one side)."""
        b, m = path.getBounds(), self.canvas.getTotalMatrix()
        a, c, d, e = m.getScaleX(), m.getSkewX(), m.getSkewY(), m.getScaleY()
        lx, ly = a * self.light.x + d * self.light.y, c * self.light.x + e * self.light.y
        n, w, h = math.hypot(lx, ly) or 1.0, b.width() or 1e-3, b.height() or 1e-3
        g = skia.Matrix().setTranslate(b.centerX() + 0.3 * w * lx / n, b.centerY() + 0.3 * h * ly / n)
        return g.preScale(0.95 * w, 0.95 * h)

    def _paint(self, c: Rgb, bulge: float, geometry: skia.Matrix | None, raw: bool = False) -> skia.Paint:
        c = c if raw else self._tone(c)
        if geometry is None or bulge <= 0:
            return skia.Paint(AntiAlias=True, Color=skia.Color(*c))
        s = bulge * self.light.strength
        tones = [
            skia.Color(*t)
            for t in (light(c, min(0.6 * s, 0.8)), c, dark(c, min(0.22 * s, 0.7)), dark(c, min(0.75 * s, 0.8)))
        ]
        stops = [0.0, 0.32, 0.62, 1.0]
        if self.manner.flat and not raw:
            tones, stops = [tones[1], tones[1], tones[2], tones[2]], [0.0, 0.6, 0.62, 1.0]
        return skia.Paint(
            AntiAlias=True,
            Shader=skia.GradientShader.MakeRadial(skia.Point(0, 0), 1.0, tones, stops, localMatrix=geometry),
        )


@cache
def pattern_path(pattern: str, pitch: float) -> skia.Path:
    """Stripes, dots or checks over the whole object square, with about 2/5 of the area covered so the named colour stays the main one."""
    p, n = skia.Path(), 11
    for i in range(-n, n + 1):
        if pattern == "striped":
            p.addRect(skia.Rect(i * pitch, -2, (i + 0.42) * pitch, 2))
            continue
        for j in range(-n, n + 1):
            x, y = (i + 0.5 * (j % 2)) * pitch, j * pitch
            if pattern == "dotted":
                p.addCircle(x, y * 0.87, 0.3 * pitch)
            else:
                p.addRect(skia.Rect.MakeXYWH(i * 0.8 * pitch, (2 * j + i % 2) * 0.8 * pitch, 0.8 * pitch, 0.8 * pitch))
    return p
