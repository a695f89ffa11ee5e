"""A scene is a value: who stands how in which place, in which style and light. `sample` makes one up, `render` paints it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple
from zlib import crc32

import cv2
import numpy as np
import skia

from . import vocabulary as words
from .interiors import TABLE as PLACES
from .lettering import sign
from .pen import Light, Pen
from .styles import STYLES, Frame
from .things import THINGS, Look, Pose, perch

SHARE = {
    "small": (0.46, 0.52),
    "middle": (0.58, 0.64),
    "big": (0.71, 0.78),
}  # of the picture's height, for a subject on its own
PAIRED = {"small": (0.33, 0.37), "middle": (0.42, 0.46), "big": (0.51, 0.55)}
NIGHTLY = {"beach", "snow", "desert", "meadow"}  # where nothing stands before the moon


@dataclass(frozen=True)
class Subject:
    """A thing in a scene; the seed is its identity, which no caption names."""

    category: str
    colour: str
    pattern: str = "plain"
    size: str = "middle"
    seed: int = 0


@dataclass(frozen=True)
class Scene:
    """One picture, before it is painted. With two subjects the relation reads: first, relation, second. light: -1 morning .. 1 evening."""

    subjects: tuple[Subject, ...]
    place: str
    style: str = "photo"
    relation: str = ""
    light: float = 0.0
    seed: int = 0
    sign: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Scene:
        """The inverse of to_dict."""
        return cls(**{**data, "subjects": tuple(Subject(**s) for s in data["subjects"])})


class Spot(NamedTuple):
    """Where a subject's foot stands (unit square, y down), its height there, and how it poses."""

    x: float
    y: float
    height: float
    pose: Pose


class Layer(NamedTuple):
    """A painted subject: premultiplied RGB and alpha (uint8), and what its pen noted."""

    rgba: np.ndarray
    pen: Pen
    spot: Spot


def chance(scene: Scene, name: str) -> np.random.Generator:
    """A stream of chance of this scene's own: drawing more from one never shifts another."""
    return np.random.Generator(np.random.PCG64([scene.seed, crc32(name.encode())]))


def one_of(rng: np.random.Generator, options: Sequence[Any]) -> Any:
    """A uniform pick."""
    return options[int(rng.integers(len(options)))]


def seats() -> list[str]:
    """Categories that something can stand on."""
    return [name for name, thing in THINGS.items() if thing.seat]


def sample(
    rng: np.random.Generator,
    *,
    styles: Sequence[str] = words.STYLES,
    places: Sequence[str] = tuple(words.PLACES),
    categories: Sequence[str] = tuple(words.CATEGORIES),
    pairs: float = 0.35,
    signs: float = 0.025,
    **fixed: Any,
) -> Scene:
    """A scene by chance: two subjects in a share `pairs` of them, half of all as photos, else every attribute uniform; `fixed` replaces fields of the scene."""
    calm = rng.random() < 0.15  # nothing remarkable about it: a plain thing of middle size, photographed

    def subject(options: Sequence[str], colours: Sequence[str]) -> Subject:
        pattern, size = one_of(rng, words.PATTERNS), one_of(rng, words.SIZES)
        return Subject(
            one_of(rng, options),
            one_of(rng, colours),
            "plain" if calm else pattern,
            "middle" if calm else size,
            int(rng.integers(2**31)),
        )

    colours = tuple(words.COLOURS)
    first = subject(categories, colours)
    subjects, relation = (first,), ""
    if rng.random() < pairs:
        relation = one_of(rng, words.RELATIONS)
        below = [c for c in seats() if c in categories] or seats()
        second = subject(below if relation == "on top of" else categories, [c for c in colours if c != first.colour])
        if (
            second.category == first.category and len(categories) > 1
        ):  # two of a kind are taught on purpose, not by chance
            first = replace(first, category=one_of(rng, [c for c in categories if c != second.category]))
        subjects = (first, second)
    style = "photo" if "photo" in styles and (calm or rng.random() < 0.45) else one_of(rng, styles)
    text = one_of(rng, words.SYLLABLES) if rng.random() < signs else ""
    scene = Scene(
        subjects, one_of(rng, places), style, relation, float(rng.uniform(-1, 1)), int(rng.integers(2**31)), text
    )
    return replace(scene, **fixed)


def look(subject: Subject) -> Look:
    """What a thing's painter needs to know of a subject."""
    return Look(subject.category, subject.colour, words.COLOURS[subject.colour], subject.pattern, subject.seed)


def layout(scene: Scene) -> list[Spot]:
    """Where the subjects stand. Everything fits into the frame; a subject behind another stays half visible; an upper one stands on a seat."""
    rng = chance(scene, "layout")
    poses = [
        Pose(bool(rng.random() < 0.5), float(rng.uniform(-1, 1)), int(rng.integers(2**31))) for _ in scene.subjects
    ]
    things = [THINGS[s.category] for s in scene.subjects]
    u = rng.random(4)
    ground = 0.90 + 0.035 * u[0]
    if len(things) == 1:
        lo, hi = SHARE[scene.subjects[0].size]
        h = (lo + (hi - lo) * u[1]) * min(1.0, 1.2 / things[0].aspect)
        room = max(0.0, 0.47 - h * things[0].aspect / 2)
        return [Spot(0.5 + min(0.1, room) * (2 * u[2] - 1), ground, h, poses[0])]
    hs = [
        (PAIRED[s.size][0] + 0.04 * v) * min(1.0, 0.95 / t.aspect)
        for s, t, v in zip(scene.subjects, things, u[1:], strict=False)
    ]
    spots = ARRANGE[scene.relation](things, hs, ground, u[3], poses)
    if scene.relation == "on top of":  # where this very thing can be stood on, not where its kind can on average
        below = spots[1]
        x, y = perch(scene.subjects[1].category, look(scene.subjects[1]), below.pose)
        spots[0] = spots[0]._replace(x=below.x + x * below.height, y=below.y + y * below.height)
    return spots


def true_to_size(scene: Scene) -> list[bool]:
    """Whether each subject is as large as its size says: where two did not fit together they were made smaller."""
    if len(scene.subjects) == 1:
        return [True]
    least = [0.95 * PAIRED[s.size][0] * min(1.0, 0.95 / THINGS[s.category].aspect) for s in scene.subjects]
    return [bool(spot.height >= h) for spot, h in zip(layout(scene), least, strict=True)]


def beside(things, hs, ground, u, poses) -> list[Spot]:
    """Next to each other on one ground line."""
    w = [h * t.aspect for h, t in zip(hs, things, strict=False)]
    k = min(1.0, 0.93 / sum(w))
    gap = (1 - k * sum(w)) / 3
    left, right = (0, 1) if u < 0.5 else (1, 0)
    spots = {left: gap + k * w[left] / 2, right: 1 - gap - k * w[right] / 2}
    return [Spot(spots[i], ground - 0.02 * (i == left), k * hs[i], poses[i]) for i in (0, 1)]


def behind(things, hs, ground, u, poses) -> list[Spot]:
    """The first farther up the ground and half hidden at one side of the second."""
    hs = [min(hs[0] * 1.15, 0.56), hs[1] * 0.95]
    w = [h * t.aspect for h, t in zip(hs, things, strict=False)]
    apart = min(0.5 * w[1] + 0.08 * w[0], 0.97 - (w[0] + w[1]) / 2) * (1 if u < 0.5 else -1)
    x = 0.5 + apart / 2 + (np.sign(apart) * (w[1] - w[0]) / 4)
    return [Spot(x, ground - 0.13, hs[0], poses[0]), Spot(x - apart, ground + 0.015, hs[1], poses[1])]


def stacked(things, hs, ground, u, poses) -> list[Spot]:
    """The first standing on the second's seat, both scaled so that the tower fits and the foot is not wider than the seat."""
    y, half = things[1].seat
    low = min(hs[1] * 1.05, 0.86 / things[1].aspect)
    up = min(hs[0], max(0.30, 1.25 * half * low / max(things[0].foot, 0.1)))
    k = min(1.0, 0.86 / (-y * low + up))
    return [Spot(0.5, ground + k * y * low, k * up, poses[0]), Spot(0.5, ground, k * low, poses[1])]


ARRANGE: dict[str, Callable[..., list[Spot]]] = {"beside": beside, "behind": behind, "on top of": stacked}


def surface(size: int) -> tuple[np.ndarray, skia.Canvas]:
    """A canvas over the unit square and the array it paints into."""
    pixels = np.zeros((size, size, 4), np.uint8)
    # Premultiplied, said aloud: skia-python takes an array as not premultiplied, and then every contour gets a bright fringe.
    canvas = skia.Surface(pixels, colorType=skia.kRGBA_8888_ColorType, alphaType=skia.kPremul_AlphaType).getCanvas()
    canvas.scale(size, size)
    return pixels, canvas


def layers(scene: Scene, size: int) -> list[Layer]:
    """The subjects, each on its own transparent sheet, in the scene's order."""
    made = []
    for subject, spot in zip(scene.subjects, layout(scene), strict=False):
        pixels, canvas = surface(size)
        canvas.translate(spot.x, spot.y)
        canvas.scale(spot.height, spot.height)
        pen = Pen(canvas, light=Light(), manner=STYLES[scene.style].manner)
        THINGS[subject.category].draw(pen, look(subject), spot.pose)
        made.append(Layer(pixels, pen, spot))
    return made


def order(scene: Scene) -> list[int]:
    """Subjects from the farthest to the nearest: an upper one after its support, one behind before the other."""
    if len(scene.subjects) == 1:
        return [0]
    return [1, 0] if scene.relation == "on top of" else [0, 1]


def backdrop(scene: Scene, size: int) -> np.ndarray:
    """The empty place as floats."""
    pixels, canvas = surface(size)
    PLACES[scene.place].draw(canvas, chance(scene, "place"), scene.light)
    if scene.sign:
        sign(canvas, scene.sign, PLACES[scene.place], chance(scene, "sign"), layout(scene))
    rgb = pixels[..., :3].astype(np.float32) / 255
    shift = STYLES[scene.style].backdrop
    return shift(rgb) if shift else rgb


def shadow(scene: Scene, layer: Layer, foot: float, size: int, lies: bool) -> np.ndarray:
    """How dark the ground gets: the silhouette laid down away from the light, and a tight pool under the foot."""
    _, canvas = (pixels, _) = surface(size)
    x, y, h, _ = layer.spot
    pool = skia.Paint(
        AntiAlias=True,
        Color=skia.ColorSetA(skia.ColorBLACK, 150),
        MaskFilter=skia.MaskFilter.MakeBlur(skia.kNormal_BlurStyle, 0.03 * h),
    )
    canvas.drawOval(skia.Rect.MakeLTRB(x - foot * h * 1.05, y - 0.045 * h, x + foot * h * 1.12, y + 0.035 * h), pool)
    dark = pixels[..., 3].astype(np.float32) / 255
    if not lies:
        return dark
    slant, squash, py = 0.35 + 0.25 * abs(scene.light), 0.2, y * size
    # A point d above the foot falls squash * d behind it and slant * d aside.
    m = np.array([[1, -slant, slant * py], [0, squash, py * (1 - squash)]], np.float32)
    alpha = cv2.warpAffine(layer.rgba[..., 3], m, (size, size)).astype(np.float32) / 255
    return np.maximum(dark, 0.42 * cv2.GaussianBlur(alpha, (0, 0), 0.012 * size))


def render(scene: Scene, size: int = 128) -> np.ndarray:
    """The picture, uint8 RGB; the same picture at every size."""
    style = STYLES[scene.style]
    rgb, sheets = backdrop(scene, size), layers(scene, size)
    alpha = np.zeros((size, size), np.float32)
    for i in order(scene):
        sheet_ = sheets[i]
        held = scene.relation == "on top of" and i == 0
        dark = shadow(scene, sheet_, THINGS[scene.subjects[i].category].foot, size, not held)
        if held:  # an upper one shades its seat only, not the air beside it
            dark *= alpha
        a = sheet_.rgba[..., 3].astype(np.float32) / 255
        rgb = rgb * (1 - dark[..., None] * np.array([0.62, 0.60, 0.50], np.float32))
        rgb = rgb * (1 - a[..., None]) + sheet_.rgba[..., :3].astype(np.float32) / 255
        alpha = np.maximum(alpha, a)
    warm = np.array([0.05, -0.02, -0.11], np.float32) if scene.light > 0 else np.array([0.06, 0.01, -0.05], np.float32)
    frame = Frame(rgb * (1 + warm * scene.light), alpha, chance(scene, "style"), scene.place in NIGHTLY)
    return np.clip(style.apply(frame) * 255 + 0.5, 0, 255).astype(np.uint8)


def sheet(scenes: Sequence[Scene], columns: int = 8, size: int = 128) -> np.ndarray:
    """A contact sheet."""
    tiles = [render(s, size) for s in scenes]
    tiles += [np.full((size, size, 3), 255, np.uint8)] * (-len(tiles) % columns)
    return np.vstack([np.hstack(tiles[i : i + columns]) for i in range(0, len(tiles), columns)])
