"""Ten subjects of DreamBench taught one by one: do their pictures lie nearest to their own photos?

    python -m benchmarks.subjects PHOTOS_DIR [-o benchmarks/subjects.json]      PHOTOS_DIR holds a folder a subject

The judge is a plain colour-and-layout feature (8 x 8 means in L*a*b* and a 4 x 4 x 4 colour histogram), with which
unseen real photos find their own subject in 24 of 40 cases; chance is 4. A second prompt names another place. Copying
is looked for as the distance to the nearest photo, relative to the photos' distances among themselves.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.painting import computing
from remembrandt.report import sheet, write_atomic
from remembrandt.studio import Studio

EACH, PLACE, SEED = 4, "on the beach", 1


def feature(pixels: np.ndarray) -> np.ndarray:
    """uint8 (h, w, 3) to a vector: layout and colours, each of unit length."""
    small = cv2.cvtColor(cv2.resize(pixels, (64, 64), interpolation=cv2.INTER_AREA), cv2.COLOR_RGB2LAB).astype(
        np.float32
    )
    layout = cv2.resize(small, (8, 8), interpolation=cv2.INTER_AREA).ravel() - 128
    colours = cv2.calcHist([small.astype(np.uint8)], [0, 1, 2], None, [4, 4, 4], [0, 256] * 3).ravel() ** 0.5
    return np.concatenate([v / (np.linalg.norm(v) + 1e-6) for v in (layout, colours)])


def nearest(made: np.ndarray, known: dict[str, np.ndarray]) -> str:
    """The subject whose photos are nearest on average over the nearest two."""
    far = {name: np.sort(np.linalg.norm(photos - made, axis=1))[:2].mean() for name, photos in known.items()}
    return min(far, key=far.__getitem__)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("benchmarks/subjects.json"))
    asked = parser.parse_args()
    rows = (asked.photos / "prompts_and_classes.txt").read_text().splitlines()
    classes = dict(row.split(",") for row in rows if row.count(",") == 1)
    names = sorted(p.name for p in asked.photos.iterdir() if p.is_dir())
    with tempfile.TemporaryDirectory() as home:
        studio, squares, lines, taught = Studio(home), {}, [], []
        for name in names:
            began = time.perf_counter()
            prepared = studio.prepare(asked.photos / name, out=Path(home) / "prepared" / name)
            squares[name] = [cv2.imread(image["path"])[..., ::-1] for image in prepared["images"]]
            lesson = studio.finetune(asked.photos / name, category=classes.get(name, "thing"), seed=SEED)
            word = f"{lesson.identifier} {lesson.category}"
            alone, away = (studio.generate(p, n=EACH, seed=SEED) for p in (f"a {word}", f"a {word} {PLACE}"))
            seconds = (round(lesson.seconds, 1), round(time.perf_counter() - began, 1))
            taught.append((name, alone, away, *seconds))
            lines.append((name, [squares[name][0], *alone, *away]))
    known = {name: np.stack([feature(s) for s in squares[name]]) for name in names}
    hits = {"alone": 0, "elsewhere": 0}
    apart = []
    for name, alone, away, *_ in taught:
        photos = known[name]
        own = np.linalg.norm(photos[:, None] - photos[None], axis=2)
        typical = np.median(np.where(np.eye(len(own)), np.inf, own).min(1))
        for key, made in (("alone", alone), ("elsewhere", away)):
            for picture in made:
                seen = feature(np.asarray(picture))
                hits[key] += nearest(seen, known) == name
                apart.append(np.linalg.norm(photos - seen, axis=1).min() / typical)
    found = {
        "subjects": names,
        "nearest_own": hits,
        "of": EACH * len(names),
        "nearest_photo_distance": round(float(np.median(apart)), 3),
        "lesson_seconds": [lesson for *_, lesson, _ in taught],
        "seconds_a_subject": [seconds for *_, seconds in taught],
        "seed": SEED,
        **computing(studio.service._family("pocket")),
    }
    write_atomic(asked.out, json.dumps(found, indent=1) + "\n")
    sheet(lines, "A photo, then the lesson: alone and on the beach", cell=128).save(asked.out.with_suffix(".png"))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
