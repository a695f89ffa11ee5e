"""Styles as functions of the finished picture. All texture is drawn in unit coordinates, so that a size change never changes the picture."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, lru_cache

import cv2
import numpy as np

from .pen import Manner


@dataclass(frozen=True)
class Frame:
    """What a style works on: the picture and the subjects' alpha (floats 0..1), chance, and how open the place is to the sky."""

    rgb: np.ndarray
    alpha: np.ndarray
    rng: np.random.Generator
    open_sky: bool

    @property
    def size(self) -> int:
        """Side in pixels."""
        return self.rgb.shape[0]


PLAIN = Manner()


@dataclass(frozen=True)
class Style:
    """A look: how the pen draws things, what happens to the backdrop and to the whole, how captions name it, what it destroys."""

    apply: Callable[[Frame], np.ndarray]
    prefix: str
    suffix: str
    manner: Manner = PLAIN
    backdrop: Callable[[np.ndarray], np.ndarray] | None = None
    destroys: tuple[str, ...] = ()


def colour(*rgb: int) -> np.ndarray:
    """An RGB triple as floats."""
    return np.array(rgb, np.float32) / 255


def blur(a: np.ndarray, radius: float) -> np.ndarray:
    """Gaussian blur whose sigma is a share of the picture's side."""
    return cv2.GaussianBlur(a, (0, 0), max(radius * a.shape[0], 0.3))


def noise(rng: np.random.Generator, size: int, across: int, down: int | None = None) -> np.ndarray:
    """Smooth noise, about -1..1, on a coarse grid: the same field at every size."""
    return cv2.resize(
        rng.uniform(-1, 1, (down or across, across)).astype(np.float32), (size, size), interpolation=cv2.INTER_CUBIC
    )


def grey(rgb: np.ndarray) -> np.ndarray:
    """Luminance."""
    return rgb @ np.array([0.30, 0.59, 0.11], np.float32)


def edges(rgb: np.ndarray, width: float, gain: float = 3.0) -> np.ndarray:
    """Contours of the picture as 0..1: where a wide and a narrow blur disagree in any channel."""
    gap = np.abs(blur(rgb, width) - blur(rgb, width * 0.45)).max(2)
    return np.clip(blur(gap, width * 0.5) * gain * 2.2 - 0.12, 0, 1)


def vivid(rgb: np.ndarray, gain: float) -> np.ndarray:
    """Colours pushed away from (gain > 1) or towards grey."""
    g = grey(rgb)[..., None]
    return g + (rgb - g) * gain


def blend(a, b, t: np.ndarray) -> np.ndarray:
    """a where t is 0, b where t is 1."""
    return a + (b - a) * t[..., None]


@cache
def grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Pixel centres in unit coordinates."""
    y, x = np.mgrid[:size, :size].astype(np.float32)
    return (x + 0.5) / size, (y + 0.5) / size


def wobble(frame: Frame, cells: int, reach: float, rgb: np.ndarray | None = None) -> np.ndarray:
    """The picture with every contour displaced a little, as a hand would."""
    x, y = grid(frame.size)
    dx, dy = (noise(frame.rng, frame.size, cells) * reach for _ in range(2))
    return cv2.remap(
        frame.rgb if rgb is None else rgb,
        (x + dx) * frame.size - 0.5,
        (y + dy) * frame.size - 0.5,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


@lru_cache(maxsize=64)
def cells(count: int, variant: int, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A jittered Voronoi tiling: tile of each pixel, how deep inside its tile the pixel lies (in tiles), pixels per tile."""
    rng = np.random.Generator(np.random.PCG64([count, variant]))
    n = count + 2
    jitter = rng.uniform(0.2, 0.8, (2, n, n)).astype(np.float32)
    x, y = (g * count + 1 for g in grid(size))
    i, j = x.astype(int), y.astype(int)
    found = []
    for di in (-1, 0, 1):
        for dj in (-1, 0, 1):
            u, v = np.clip(i + di, 0, n - 1), np.clip(j + dj, 0, n - 1)
            found.append(np.stack([np.hypot(x - u - jitter[0, v, u], y - v - jitter[1, v, u]), v * n + u]))
    found = np.stack(found)
    order = np.argsort(found[:, 0], axis=0)
    first, second = (np.take_along_axis(found, order[k][None, None], 0)[0] for k in (0, 1))
    tile = first[1].astype(np.int64)
    return tile, ((second[0] - first[0]) / 2).astype(np.float32), np.bincount(tile.ravel(), minlength=n * n).clip(1)


def tiled(rgb: np.ndarray, count: int, variant: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The picture with each tile in its mean colour; the tiling's depth and tile map."""
    tile, depth, area = cells(count, variant, rgb.shape[0])
    flat = np.stack([np.bincount(tile.ravel(), rgb[..., c].ravel(), area.size) / area for c in range(3)], 1).astype(
        np.float32
    )
    return flat[tile], depth, tile


def steps(rgb: np.ndarray, levels: int) -> np.ndarray:
    """Posterised."""
    return np.round(rgb * levels) / levels


def soft(rgb: np.ndarray) -> np.ndarray:
    """A backdrop out of focus."""
    return blur(rgb, 0.007)


def photo(f: Frame) -> np.ndarray:
    """A lens: a little contrast, darker corners."""
    x, y = grid(f.size)
    return (f.rgb * 1.04 - 0.02) * (1.04 - 0.36 * ((x - 0.5) ** 2 + (y - 0.5) ** 2))[..., None]


def watercolour(f: Frame) -> np.ndarray:
    """Wet contours, pooled pigment, dark rims where a wash dries, bare paper round it."""
    x, y = grid(f.size)
    wet = wobble(f, 14, 0.011)
    pool = noise(f.rng, f.size, 7) + 0.5 * noise(f.rng, f.size, 20)
    rim = np.clip(grey(blur(wet, 0.016) - blur(wet, 0.005)), 0, 0.2)
    wash = 1 - (1 - vivid(wet, 1.1)) * (0.80 + 0.17 * pool + 1.6 * rim)[..., None]
    margin = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y)) + 0.022 * noise(f.rng, f.size, 12)
    return blend(colour(252, 250, 244), wash, np.clip((margin - 0.03) / 0.025, 0, 1))


def ink(f: Frame) -> np.ndarray:
    """Brush contours and three grey washes on cream paper."""
    rgb = wobble(f, 12, 0.006)
    tone = blur(grey(rgb), 0.006)
    wash = sum(0.25 / (1 + np.exp((tone - t) * 28)) for t in (0.30, 0.48, 0.66))
    k = np.clip(
        wash * (0.45 + 0.55 * f.alpha) * (1 + 0.2 * noise(f.rng, f.size, 9))
        + edges(rgb, 0.011, 2.6) * (0.45 + 0.25 * f.alpha),
        0,
        1,
    )
    return blend(colour(250, 245, 232), colour(34, 32, 40), k)


def pixel(f: Frame) -> np.ndarray:
    """Thirty-two squares across, few colours, the sprite outlined."""
    small = cv2.resize(f.rgb, (32, 32), interpolation=cv2.INTER_AREA)
    body = (cv2.resize(f.alpha, (32, 32), interpolation=cv2.INTER_AREA) > 0.5).astype(np.uint8)
    rim = body - cv2.erode(body, np.array([[0, 1, 0], [1, 1, 1], [0, 1, 0]], np.uint8), borderValue=1)
    small = steps(np.clip(vivid(small, 1.15), 0, 1), 10) * (1 - 0.5 * rim)[..., None]
    return cv2.resize(small, (f.size, f.size), interpolation=cv2.INTER_NEAREST)


def mosaic(f: Frame) -> np.ndarray:
    """Small stones in light mortar, each with its own tone."""
    stone, depth, tile = tiled(vivid(f.rgb, 1.2), 20, int(f.rng.integers(8)))
    tone = f.rng.uniform(0.93, 1.07, tile.max() + 1).astype(np.float32)[tile]
    return blend(colour(226, 220, 206), stone * tone[..., None], 0.45 + 0.55 * np.clip((depth - 0.02) / 0.08, 0, 1))


def night(f: Frame) -> np.ndarray:
    """Moonlight, a lantern's warm pool round the subject, a moon and stars under an open sky."""
    x, y = grid(f.size)
    m = f.alpha.sum() + 1e-3
    cx, cy = (x * f.alpha).sum() / m, (y * f.alpha).sum() / m
    pool = np.exp(-((x - cx) ** 2 + (y - cy) ** 2) / 0.13)
    dark = vivid(f.rgb, 0.75) * colour(52, 66, 118) + colour(4, 8, 26)
    lit = f.rgb * colour(255, 222, 176)
    out = blend(dark, lit, 0.24 * pool + f.alpha * (0.36 + 0.28 * pool))
    if f.open_sky:
        mx, my = f.rng.uniform(0.1, 0.9), f.rng.uniform(0.08, 0.16)
        moon = np.clip(1 - (np.hypot(x - mx, y - my) - 0.05) / 0.012, 0, 1) + 0.25 * np.exp(
            -((x - mx) ** 2 + (y - my) ** 2) / 0.012
        )
        for sx, sy in f.rng.uniform(0.03, 0.97, (9, 2)):
            moon += np.clip(1 - (np.hypot(x - sx, y - sy * 0.36) - 0.007) / 0.008, 0, 1)
        out = blend(out, colour(255, 250, 222), np.clip(moon, 0, 1) * (1 - f.alpha))
    return out


def pastel(f: Frame) -> np.ndarray:
    """Chalk on warm paper: light, dusty, strokes along one diagonal."""
    rgb = wobble(f, 40, 0.006, blur(f.rgb, 0.005))
    strokes = cv2.warpAffine(
        noise(f.rng, f.size, 44, 12), cv2.getRotationMatrix2D((f.size / 2, f.size / 2), 40, 1.5), (f.size, f.size)
    )
    chalk = 0.28 + 0.74 * vivid(rgb, 1.05)
    return blend(chalk, colour(244, 232, 218), 0.16 + 0.15 * strokes)


def printed(rgb: np.ndarray) -> np.ndarray:
    """A backdrop in few flat colours with thin dark contours."""
    calm = blur(rgb, 0.005)
    tone = grey(calm)  # in steps of tone, not of channels: those would tint every pale wall
    flat = calm * (steps(tone, 6) / np.maximum(tone, 0.05))[..., None]
    return blur(flat, 0.004) * (1 - 0.45 * edges(rgb, 0.009))[..., None]


def comic(f: Frame) -> np.ndarray:
    """Flat strong colours, printing dots that fade towards the middle, a panel's black frame."""
    x, y = grid(f.size)
    dots = np.cos(x * 2 * np.pi * 8) * np.cos(y * 2 * np.pi * 8)
    away = np.clip(np.hypot(x - 0.5, y - 0.55) * 2 - 0.45, 0, 1)
    out = vivid(f.rgb, 1.3) + (0.07 * np.clip(dots * 2, -1, 1) * away * (1 - f.alpha))[..., None]
    margin = np.minimum(np.minimum(x, 1 - x), np.minimum(y, 1 - y))
    return out * np.clip((margin - 0.018) / 0.01, 0.08, 1)[..., None]


def blueprint(f: Frame) -> np.ndarray:
    """White lines on blue squared paper."""
    x, y = grid(f.size)
    rule = np.maximum(*(np.clip(1 - np.abs((g * 12) % 1 - 0.5) * 20, 0, 1) for g in (x, y)))
    paper = blend(colour(26, 72, 150), colour(60, 110, 190), np.maximum(0.7 * rule, 0.25 * f.alpha))
    line = 0.8 * edges(f.rgb, 0.007, 2.0) * (0.6 + 0.4 * f.alpha) + edges(
        np.repeat(f.alpha[..., None], 3, 2), 0.009, 1.6
    )
    return blend(paper, colour(240, 248, 255), np.clip(line, 0, 1))


def stained_glass(f: Frame) -> np.ndarray:
    """Large panes of glowing colour in black lead."""
    pane, depth, _ = tiled(f.rgb, 13, int(f.rng.integers(8)))
    glass = (
        np.clip(vivid(0.6 * pane + 0.4 * blur(f.rgb, 0.008), 1.7), 0, 1)
        * (0.95 + 0.15 * noise(f.rng, f.size, 8))[..., None]
    )
    lead = np.maximum(np.clip(1.35 - depth * 17, 0, 1), edges(np.repeat(f.alpha[..., None], 3, 2), 0.014, 4.0))
    return blend(glass, colour(24, 22, 28), np.clip(lead, 0, 1))


def embroidery(f: Frame) -> np.ndarray:
    """Cross-stitch: one X of yarn per square on linen."""
    x, y = grid(f.size)
    u, v = (x * 32) % 1 - 0.5, (y * 32) % 1 - 0.5
    yarn = np.clip(1.5 - np.minimum(np.abs(u - v), np.abs(u + v)) * 3.6, 0, 1)
    small = steps(np.clip(vivid(cv2.resize(f.rgb, (32, 32), interpolation=cv2.INTER_AREA), 1.2), 0, 1), 7)
    thread = cv2.resize(small, (f.size, f.size), interpolation=cv2.INTER_NEAREST) * (0.86 + 0.2 * yarn)[..., None]
    return blend(colour(236, 226, 206), thread, 0.25 + 0.75 * yarn)


def woodcut(f: Frame) -> np.ndarray:
    """Black cuts that swell in the shadows over pale printed colour."""
    x, y = grid(f.size)
    wave = 0.5 + 0.5 * np.cos((y + 0.012 * np.sin(x * 14) + 0.25 * x) * 2 * np.pi * 20)
    tone = blur(grey(f.rgb), 0.01)
    cut = np.clip((wave - (0.30 + 0.85 * tone)) * 4 + 0.3, 0, 1)
    print_ = blend(colour(240, 226, 196), steps(vivid(f.rgb, 1.1), 4), np.full_like(tone, 0.6))
    return blend(print_, colour(30, 24, 24), np.clip(cut + edges(f.rgb, 0.008, 2.2), 0, 1) * 0.92)


def neon(f: Frame) -> np.ndarray:
    """Glowing tubes along every contour in the dark."""
    hue = np.clip(vivid(blur(f.rgb, 0.012), 2.2) * 1.25 + 0.08, 0, 1)
    line = edges(f.rgb, 0.012, 4.0) * (0.35 + 0.65 * f.alpha)
    tube = (hue * line[..., None]).astype(np.float32)
    glow = blur(tube, 0.03) * 1.5 + hue * (0.06 + 0.22 * f.alpha)[..., None]
    return colour(12, 8, 28) + glow + tube


def pop_art(f: Frame) -> np.ndarray:
    """A loud two-tone backdrop with big dots, the subject in strong flat colour and black contours."""
    x, y = grid(f.size)
    pairs = (
        ((255, 64, 150), (255, 214, 40)),
        ((0, 190, 220), (255, 240, 90)),
        ((255, 120, 30), (60, 220, 200)),
        ((150, 80, 230), (140, 240, 110)),
    )
    one, two = pairs[int(f.rng.integers(4))]
    tone = blur(grey(f.rgb), 0.01)
    dots = np.cos(x * 2 * np.pi * 11) * np.cos(y * 2 * np.pi * 11)
    back = blend(colour(*one), colour(*two), np.clip((tone - 0.62 + 0.22 * dots) * 14 + 0.5, 0, 1))
    body = np.clip(0.06 + 1.15 * vivid(steps(f.rgb, 5), 1.4), 0, 1)
    out = blend(back, body, f.alpha)
    return out * (1 - np.clip(edges(f.rgb, 0.008, 2.0), 0, 1) * (0.2 + 0.6 * f.alpha))[..., None]


BOLD = Manner(outline=0.03, flat=True)

STYLES: dict[str, Style] = {
    "photo": Style(photo, "a photo of", "photo", backdrop=soft),
    "watercolour": Style(watercolour, "a watercolour painting of", "watercolour painting", backdrop=soft),
    "ink": Style(ink, "an ink drawing of", "ink drawing", Manner(outline=0.018), destroys=("colour",)),
    "pixel": Style(pixel, "pixel art of", "pixel art", Manner(flat=True)),
    "mosaic": Style(  # a tile is as large as a dot
        mosaic, "a mosaic of", "mosaic", Manner(flat=True), soft, destroys=("pattern",)
    ),
    "night": Style(night, "a night scene of", "at night", backdrop=soft),
    "pastel": Style(pastel, "a pastel drawing of", "pastel drawing", Manner(rim=0.02), soft),
    "comic": Style(comic, "a comic drawing of", "comic style", BOLD, printed),
    "blueprint": Style(
        blueprint, "a blueprint of", "blueprint", Manner(outline=0.012, shade=False), destroys=("colour",)
    ),
    "stained glass": Style(stained_glass, "a stained glass window of", "stained glass", Manner(flat=True)),
    "embroidery": Style(embroidery, "an embroidery of", "embroidery", Manner(outline=0.02, flat=True)),
    "woodcut": Style(woodcut, "a woodcut of", "woodcut", Manner(outline=0.026, flat=True)),
    "neon": Style(neon, "a neon sign of", "neon", Manner(shade=False, rim=0.02)),
    "pop art": Style(pop_art, "pop art of", "pop art", BOLD),
}
