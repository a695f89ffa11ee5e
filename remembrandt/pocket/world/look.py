"""What a thing is (Look), how it stands (Pose), and the row that describes a kind of thing (Thing)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TypeVar

Rgb = tuple[int, int, int]
T = TypeVar("T")

CREAM: Rgb = (252, 244, 228)
CHARCOAL: Rgb = (52, 46, 58)
ACCENTS: tuple[Rgb, ...] = (
    (252, 244, 228),
    (52, 46, 58),
    (214, 164, 52),
    (150, 42, 44),
    (38, 58, 112),
    (34, 92, 70),
    (112, 190, 214),
)


def unit(seed: int, name: str) -> float:
    """A uniform number in [0, 1) that depends on nothing but seed and name."""
    return int.from_bytes(blake2b(f"{seed}/{name}".encode(), digest_size=6).digest()) / 2**48


def mix(a: Rgb, b: Rgb, t: float) -> Rgb:
    """The colour a fraction t of the way from a to b."""
    return (round(a[0] + (b[0] - a[0]) * t), round(a[1] + (b[1] - a[1]) * t), round(a[2] + (b[2] - a[2]) * t))


def dark(c: Rgb, t: float = 0.3) -> Rgb:
    """Towards a violet shadow: painters do not shade with black."""
    return mix(c, (38, 22, 58), t)


def light(c: Rgb, t: float = 0.3) -> Rgb:
    """Towards a warm highlight."""
    return mix(c, (255, 250, 236), t)


def luma(c: Rgb) -> float:
    """Perceived brightness, 0..1."""
    return (0.3 * c[0] + 0.59 * c[1] + 0.11 * c[2]) / 255


@dataclass(frozen=True)
class Look:
    """A category in a named colour and pattern; seed is the identity that no caption names."""

    category: str
    colour: str
    rgb: Rgb
    pattern: str = "plain"
    seed: int = 0

    def gene(self, name: str, lo: float, hi: float) -> float:
        """An unnamed trait of this identity, uniform in [lo, hi], the same in every picture."""
        return lo + (hi - lo) * unit(self.seed, name)

    def pick(self, name: str, options: Sequence[T]) -> T:
        """An unnamed discrete trait of this identity."""
        return options[int(unit(self.seed, name) * len(options))]

    def accent(self, name: str) -> Rgb:
        """A small secondary colour of this identity, always well apart from the body's in brightness."""
        return self.pick(name, [a for a in ACCENTS if abs(luma(a) - luma(self.rgb)) > 0.17])

    @property
    def second(self) -> Rgb:
        """The pattern's other colour: cream on dark bodies, charcoal or cream as brightness allows."""
        if luma(self.rgb) > 0.66:
            return mix(CHARCOAL, self.rgb, 0.15)
        return CREAM


@dataclass(frozen=True)
class Pose:
    """How an identity stands in one picture."""

    flip: bool = False
    turn: float = 0.0
    seed: int = 0

    def swing(self, name: str, lo: float, hi: float) -> float:
        """A joint's position, uniform in [lo, hi]."""
        return lo + (hi - lo) * unit(self.seed, "pose " + name)


@dataclass(frozen=True)
class Thing:
    """One kind of thing. aspect: width / height; seat: mean y of the plane others can stand on and its half width, None if there is none; foot: half width of the contact shadow.

    Things with a seat also mark the keypoint "seat", its exact middle in this identity and pose."""

    paint: Callable
    aspect: float
    keypoints: tuple[str, ...]
    articulated: bool = False
    seat: tuple[float, float] | None = None
    foot: float = 0.3

    def draw(self, pen, look: Look, pose: Pose) -> None:
        """Draw the thing standing at the pen's origin, one unit high."""
        with pen.at(sx=-1 if pose.flip else 1):
            self.paint(pen, look, pose)
