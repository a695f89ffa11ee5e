"""Near copies: whether a picture is one that was given before, though it was cut, mirrored, recoloured or saved anew.

An encoder that sees what captions say cannot tell: all pictures of a famous painting's subject are near to it. Here two
pictures are laid over each other, edge upon edge, and a copy is what then agrees nearly everywhere; another picture of
the same thing does not. No network, no weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, product

import cv2
import numpy as np
from PIL import Image

#: Between what `python -m benchmarks.copies` finds: copies (cut by 20 %, mirrored, recoloured, saved as JPEG) score
#: 0.95 or more, other renders of the very same thing in the same place 0.89 at most, photos of one subject 0.70.
LEAST = 0.92
SIDE, MOST = 32, 256  # pixels a side of what is compared, and of what it is cut from
LIGHT = 0.4  # share of the light in a score; the rest is where edges run
HOPEFUL, FINALISTS = 0.4, 3  # coarse score from which, and number of originals for which, the cut is looked for
AT_ONCE = 256  # originals
INSIDE = 0.7  # of an original's side is the least that is looked for in it
MOVES = np.array([(1, 0, 1, 0), (0, 1, 0, 1), (1, 0, 0, 0), (0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1), (1, 1, -1, -1)])
Box = np.ndarray  # (left, top, right, bottom) in [0, 1]


@dataclass(frozen=True)
class Nearest:
    """The original (its number) that a picture is most like, None if it is like none; `score` in [0, 1]."""

    of: int | None
    score: float

    @property
    def copied(self) -> bool:
        return self.score >= LEAST


class Original:
    """A picture that is compared again and again: kept small, its views made once."""

    def __init__(self, picture: np.ndarray) -> None:
        self.picture = np.asarray(_small(picture))

    @cached_property
    def views(self) -> np.ndarray:
        return _views(self.picture)


def nearest(made: Sequence[np.ndarray], originals: Sequence[np.ndarray | Original]) -> list[Nearest]:
    """For each picture the original that it copies, or is most like. Pictures uint8 (h, w, 3), of any sizes.

    Light counts up to a change of tone, locally; edges by their direction only, whatever their colours (structure
    tensor, Bigun and Granlund 1987). First every original is compared at 14 cuts and mirrored, then of the best few the
    cut that fits best is looked for.
    """
    asked = [_described(_cut(_small(picture), MIDDLES)) for picture in made]
    coarse = np.concatenate([np.zeros((len(made), 0)), *(_coarse(asked, part) for part in _parts(originals))], 1)
    found = []
    for number, told in enumerate(asked):
        best = Nearest(None, 0.0)
        for of in np.argsort(-coarse[number])[:FINALISTS]:
            score, original = float(coarse[number, of]), originals[of]
            if score >= HOPEFUL:
                score = _fitted(told, original.picture if isinstance(original, Original) else original)
            if score > best.score:
                best = Nearest(int(of), score)
        found.append(best)
    return found


def _parts(originals: Sequence[np.ndarray | Original]):
    rest = iter(originals)
    while part := list(islice(rest, AT_ONCE)):
        yield part


def _coarse(asked: Sequence[np.ndarray], originals: Sequence[np.ndarray | Original]) -> np.ndarray:
    """(made, originals): the best of all cuts, mirrored or not."""
    whole = np.stack([told[0] for told in asked])
    found = []
    for original in originals:
        views = original.views if isinstance(original, Original) else _views(original)
        found.append((whole @ views.T).max(1))
    return np.stack(found, 1)


def _views(original: np.ndarray) -> np.ndarray:
    """(28, d): every cut, mirrored and not."""
    return np.concatenate([_described(_cut(image, CUTS)) for image in _both(original)])


def _fitted(told: np.ndarray, original: np.ndarray) -> float:
    """The best score that some cut of the original has with the whole picture, or with its middle."""
    begun = []
    for image in _both(original):
        scores = told @ _described(_cut(image, CUTS)).T
        begun += [(row.max(), own, image, CUTS[row.argmax()]) for own, row in zip(told, scores, strict=True)]
    begun.sort(key=lambda start: -start[0])
    return max(_climbed(own, image, box, float(score)) for score, own, image, box in begun[:2])


def _climbed(own: np.ndarray, image: Image.Image, box: Box, score: float) -> float:
    """Edges of the cut are moved as long as that betters the score, by ever smaller steps."""
    for step in (0.04, 0.02, 0.01):
        for _ in range(2):
            tries = np.clip(box + np.concatenate([step * MOVES, -step * MOVES]), 0, 1)
            tries = tries[np.minimum(tries[:, 2] - tries[:, 0], tries[:, 3] - tries[:, 1]) >= INSIDE]
            scores = _described(_cut(image, tries)) @ own
            if scores.max() <= score:
                break
            score, box = float(scores.max()), tries[scores.argmax()]
    return score


def _boxes(scales: Sequence[float]) -> np.ndarray:
    """Squares of these shares of a side, a tenth apart."""
    found = []
    for scale in scales:
        places = np.linspace(0, 1 - scale, round(10 * (1 - scale)) + 1)
        found += [(x, y, x + scale, y + scale) for y, x in product(places, places)]
    return np.array(found)


CUTS = _boxes((1.0, 0.9, 0.8))
MIDDLES = np.array([(k, k, 1 - k, 1 - k) for k in (0, 0.05, 0.1)])  # what is left of a picture that was moved


def _small(picture: np.ndarray) -> Image.Image:
    image = Image.fromarray(picture)
    return image.resize((MOST, MOST), Image.Resampling.BOX) if max(image.size) > MOST else image


def _both(picture: np.ndarray) -> tuple[Image.Image, Image.Image]:
    image = _small(picture)
    return image, image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)


def _cut(image: Image.Image, boxes: np.ndarray) -> np.ndarray:
    """(n, SIDE, SIDE, 3) of the image's cuts."""
    scale = np.array([*image.size, *image.size])
    how = {"size": (SIDE, SIDE), "resample": Image.Resampling.BILINEAR}
    return np.stack([np.asarray(image.resize(box=tuple(box * scale), **how), np.float32) for box in boxes])


def _described(views: np.ndarray) -> np.ndarray:
    """Vectors whose products are scores: (n, SIDE, SIDE, 3) -> (n, d)."""
    n, planes = len(views), np.ascontiguousarray(views.transpose(1, 2, 0, 3)).reshape(SIDE, SIDE, -1)
    grey = planes.reshape(SIDE, SIDE, n, 3).mean(-1)
    fine = grey - _softened(grey)
    light = _pooled(fine / (np.sqrt(_softened(fine * fine)) + 8))
    dx, dy = (cv2.Sobel(planes, cv2.CV_32F, k, 1 - k, ksize=3).reshape(SIDE, SIDE, n, 3) for k in (1, 0))
    strength = np.sqrt((dx * dx + dy * dy).sum(-1))
    per = (strength + 1e-6) * (strength + strength.mean((0, 1)) + 4)
    edges = [_pooled((dx * dx - dy * dy).sum(-1) / per), _pooled(2 * (dx * dy).sum(-1) / per)]
    light = light - light.mean(1, keepdims=True)
    return np.concatenate([np.sqrt(LIGHT) * _unit(light), np.sqrt(1 - LIGHT) * _unit(np.concatenate(edges, 1))], 1)


def _softened(maps: np.ndarray) -> np.ndarray:
    return cv2.GaussianBlur(maps, (0, 0), SIDE / 6).reshape(maps.shape)


def _pooled(maps: np.ndarray) -> np.ndarray:
    """(SIDE, SIDE, n) -> (n, d): means of 2 x 2."""
    return maps.reshape(SIDE // 2, 2, SIDE // 2, 2, -1).mean((1, 3)).reshape(-1, maps.shape[2]).T


def _unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
