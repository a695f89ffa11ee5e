"""What a set of photos will teach besides its subject: told before the lesson, never in its way.

Thresholds were set on the photos of ten real subjects; each test of
`tests/training/test_photos.py` shows a hint both where it belongs and where it must stay silent.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from remembrandt.training.photo import Photo

FEW, MANY = 4, 20
BLURRED = 0.72  # sharp photos reach 0.61, the same blurred by 1/64 of their side 0.78 or more
ALIKE = 0.93  # correlation of small grey pictures: two photos of one thing reach 0.83
ONE_PLACE = 18.0  # grey levels between borders: in different places 32 or more


def hints(photos: Sequence[Photo], size: int) -> list[str]:
    """One sentence for each thing worth knowing, with the names of the photos it concerns."""
    found = []
    if len(photos) < FEW:
        found.append(f"only {len(photos)} photo{'s' * (len(photos) != 1)}: {FEW} to {MANY} teach better")
    if len(photos) > MANY:
        found.append(f"{len(photos)} photos: {FEW} to {MANY} good ones teach as much, sooner")
    noted = {
        "small": f"smaller than {size} pixels, will be enlarged",
        "long": "long and narrow, only the middle square is used",
        "alpha": "transparent, laid on white",
        "moving": "moving, only the first frame is used",
    }
    for note, text in noted.items():
        found += _say([p.name for p in photos if note in p.notes], text)
    found += _say([p.name for p in photos if blur(p.square) > BLURRED], "blurred: so will be what is painted")
    twins = alike([p.square for p in photos])
    for one, other in twins[:3]:
        found.append(f"{photos[one].name} and {photos[other].name}: nearly the same photo")
    if len(twins) > 3:
        found.append(f"{len(twins) - 3} more pairs are nearly the same photo")
    if len(photos) >= 3 and not twins and background([p.square for p in photos]) < ONE_PLACE:
        found.append("all photos share one background: it will be learned with the subject")
    return found


def blur(square: np.ndarray) -> float:
    """Perceptual blur in [0, 1]: how little a further blur changes (Crete et al. 2007, eq. 9).

    The worst over octaves, since a strong blur hides from a narrow filter behind sensor noise.
    """
    grey, worst = Image.fromarray(square).convert("L"), 0.0
    if grey.width > 512:
        grey = grey.resize((512, 512), Image.Resampling.BOX)
    while grey.width >= 64:
        worst = max(worst, _blur(np.asarray(grey, np.float64)))
        grey = grey.reduce(2)
    return worst


def _blur(grey: np.ndarray) -> float:
    found = []
    for lines in (grey, grey.T):
        softer = np.lib.stride_tricks.sliding_window_view(np.pad(lines, ((0, 0), (2, 2)), "edge"), 5, axis=1).mean(-1)
        steps, left = np.abs(np.diff(lines)), np.abs(np.diff(softer))
        found.append(1 - np.maximum(steps - left, 0).sum() / max(steps.sum(), 1e-9))
    return max(found)


def alike(squares: Sequence[np.ndarray], least: float = ALIKE) -> list[tuple[int, int]]:
    """Pairs of photos that are one moment: equal up to light, a little shift, or a mirror."""
    if len(squares) < 2:
        return []
    small = [Image.fromarray(s).convert("L").resize((16, 16), Image.Resampling.BOX) for s in squares]
    grey = np.stack([np.asarray(s, np.float64) for s in small])
    plain, mirrored = standard(grey), standard(grey[:, :, ::-1])
    same = np.maximum(plain @ plain.T, plain @ mirrored.T)
    return [(int(i), int(j)) for i, j in np.argwhere(np.triu(same, 1) > least)]


def standard(grey: np.ndarray) -> np.ndarray:
    """Pictures (n, ...) as rows of mean 0 and length 1, whose products are correlations."""
    rows = grey.reshape(len(grey), -1)
    rows = rows - rows.mean(1, keepdims=True)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)


def background(squares: Sequence[np.ndarray]) -> float:
    """Mean difference, in grey levels, between the borders (left, top, right) of any two photos."""
    ring = np.ones((16, 16), bool)
    ring[2:, 3:13] = False
    small = [Image.fromarray(s).resize((16, 16), Image.Resampling.BOX) for s in squares]
    borders = np.stack([np.asarray(s, np.float64)[ring] for s in small])
    apart = [np.abs(borders[i] - borders[i + 1 :]).mean() for i in range(len(borders) - 1)]
    weights = range(len(borders) - 1, 0, -1)
    return float(np.average(apart, weights=list(weights)))


def _say(names: Sequence[str], text: str) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return [f"{', '.join(names[:3])}{more}: {text}"]
