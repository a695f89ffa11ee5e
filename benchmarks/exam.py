"""How well the embedded painter paints what it is asked, read by its judges; and how well the judges read.

    python -m benchmarks.exam [--family FOLDER] [--singles 512] [--pairs 128] [--photos DIR] [--shards DIR] [-o FILE]

Writes the JSON and, beside it, a sheet of prompts that the painter has never seen, renders above paintings, one of
every category (`categories.jpg`) and one of a prompt at five guidances (`guidance.jpg`). `--photos` measures the
autoencoder on real pictures too, `--shards` (`pictures` in the recipe's work folder) finds near copies.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from benchmarks.painting import computing
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation import judges
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.pocket import autoencoder, judging, pictures
from remembrandt.pocket.exam import diversity, exam, guidance, near_copies
from remembrandt.pocket.world.captions import canonical
from remembrandt.pocket.world.vocabulary import CATEGORIES, HELD_BACK, STYLES
from remembrandt.report import sheet, write_atomic

FIRST = pictures.UNSEEN + 10_000


def painter(family: Family, guidance: float | None = None):
    engine = Engine(family)

    def paint(prompts: Sequence[str], seed: int) -> np.ndarray:
        asked = [Request(p, seed=seed + k, guidance=guidance) for k, p in enumerate(prompts)]
        return np.stack([made[0].pixels for made in engine.paint(asked)])

    return paint


def compared(family: Family, columns: int = 8, rows: int = 4) -> Image.Image:
    """Unseen scenes, rendered and painted."""
    paint, lines = painter(family), []
    for row in range(rows):
        scenes = [pictures.scene(pictures.UNSEEN + 5_000 + row * columns + k) for k in range(columns)]
        renders = [pictures.picture(pictures.UNSEEN + 5_000 + row * columns + k) for k in range(columns)]
        lines += [("rendered", renders), ("painted", list(paint([canonical(s) for s in scenes], row * columns)))]
    return sheet(lines, "Unseen scenes, rendered and painted", cell=128)


def categories(family: Family, each: int = 16) -> Image.Image:
    """Every category without further words."""
    paint = painter(family)
    lines = [(f"a {words[0]}", list(paint([f"a {words[0]}"] * each, 1))) for words in CATEGORIES.values()]
    return sheet(lines, "Every category, without further words", cell=64)


def guided(family: Family, prompt: str = "a striped orange cat on the beach", each: int = 8) -> Image.Image:
    """One prompt at several guidances, the same noise in a column."""
    lines = [(f"guidance {g:g}", list(painter(family, g)([prompt] * each, 1))) for g in (0.0, 1.0, 2.0, 5.0, 10.0)]
    return sheet(lines, f'"{prompt}"', cell=96)


def squares(folder: Path) -> np.ndarray:
    """Every photo under `folder`, the largest square in its middle, at 128 pixels."""
    photos = (Image.open(p).convert("RGB") for p in sorted(folder.rglob("*")) if p.suffix in (".jpg", ".png"))
    return np.stack([np.asarray(ImageOps.fit(photo, (128, 128))) for photo in photos])


def noise(readers: judges.Readers, count: int = 200) -> dict[str, float]:
    """Share of "right" answers about unseen scenes when noise is shown instead: no more than guessing gives."""
    random = np.random.default_rng(5).integers(0, 256, (count, 128, 128, 3), dtype=np.uint8)
    return exam(lambda prompts, seed: random[seed : seed + len(prompts)], readers, singles=count, pairs=0)


def near(paint, shards: Path) -> float:
    """Share of 256 paintings of unseen captions that are near copies of what was trained on."""
    numbers = range(FIRST + 20_000, FIRST + 20_256)
    made = np.concatenate([paint([canonical(pictures.scene(n)) for n in part], part[0]) for part in parts(numbers)])
    trained = (np.load(path, mmap_mode="r") for path in sorted(shards.glob("pictures-*.npy")))
    return near_copies(made, np.stack([pictures.picture(n) for n in numbers]), trained)


def parts(numbers: range, size: int = 32) -> list[range]:
    return [numbers[k : k + size] for k in range(0, len(numbers), size)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="pocket")
    parser.add_argument("--singles", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("--photos", type=Path)
    parser.add_argument("--shards", type=Path)
    parser.add_argument("-o", "--out", type=Path, default=Path("benchmarks/exam.json"))
    asked = parser.parse_args()
    family = load(asked.family)
    assert family.folder is not None
    readers = judges.load(family.folder / "judges" / "readers")
    instances = judges.load(family.folder / "judges" / "instances")
    assert isinstance(readers, judges.Readers) and isinstance(instances, judges.Instances)
    unseen, began, paint = range(FIRST, FIRST + 500), time.perf_counter(), painter(family)
    found = {
        "autoencoder_psnr": autoencoder.psnr(family.vae, np.stack([pictures.picture(n) for n in unseen])),
        "autoencoder_psnr_photos": asked.photos and autoencoder.psnr(family.vae, squares(asked.photos)),
        "readers": judging.reader_accuracy(readers, unseen),
        "readers_by_style": {
            style: judging.reader_accuracy(readers, range(FIRST + 1_000, FIRST + 1_100), styles=(style,))
            for style in STYLES
        },
        "readers_of_noise": noise(readers),
        "instances_auc": judging.instance_auc(instances, 100, 1),
        "instances_auc_unseen_styles": judging.instance_auc(instances, 100, 2, HELD_BACK),
        "instances_auc_twins": judging.instance_auc(instances, 100, 3, twins=1.0),
        "instances_auc_twins_unseen_styles": judging.instance_auc(instances, 100, 4, HELD_BACK, twins=1.0),
        "painter": exam(paint, readers, asked.singles, asked.pairs),
        "diversity": diversity(paint, readers, count=asked.singles),
        "near_copies": asked.shards and near(paint, asked.shards),
        "guidance": guidance(lambda g: painter(family, g), readers),
        "seed": FIRST,
        "singles": asked.singles,
        "pairs": asked.pairs,
        "settings": {
            "guidance": family.record.guidance,
            "steps": family.record.steps,
            "sampler": family.record.sampler,
        },
        "seconds": round(time.perf_counter() - began),
        **computing(family),
    }
    write_atomic(asked.out, json.dumps(found, indent=1) + "\n")
    compared(family).save(asked.out.with_suffix(".png"))
    for name, made in (("categories", categories(family)), ("guidance", guided(family))):
        made.convert("RGB").save(asked.out.with_name(f"{name}.jpg"), quality=85)
    told = {name: value for name, value in found.items() if name not in ("readers_by_style", "readers_of_noise")}
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
