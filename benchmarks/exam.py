"""How well the embedded painter paints what it is asked, read by its judges; and how well the judges read.

    python -m benchmarks.exam [--family FOLDER] [--singles 512] [--pairs 128] [-o benchmarks/exam.json]

Writes the JSON and, beside it, a sheet of prompts that the painter has never seen, renders above paintings.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from benchmarks.painting import computing
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation import judges
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.pocket import autoencoder, judging, pictures
from remembrandt.pocket.exam import exam
from remembrandt.pocket.world.captions import canonical
from remembrandt.report import sheet, write_atomic


def painter(family: Family):
    engine = Engine(family)

    def paint(prompts: Sequence[str], seed: int) -> np.ndarray:
        asked = [Request(p, seed=seed + k) for k, p in enumerate(prompts)]
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="pocket")
    parser.add_argument("--singles", type=int, default=512)
    parser.add_argument("--pairs", type=int, default=128)
    parser.add_argument("-o", "--out", type=Path, default=Path("benchmarks/exam.json"))
    asked = parser.parse_args()
    family = load(asked.family)
    readers = judges.load(family.folder / "judges" / "readers")
    instances = judges.load(family.folder / "judges" / "instances")
    assert isinstance(readers, judges.Readers) and isinstance(instances, judges.Instances)
    unseen = range(pictures.UNSEEN + 10_000, pictures.UNSEEN + 10_500)
    began = time.perf_counter()
    found = {
        "autoencoder_psnr": autoencoder.psnr(family.vae, np.stack([pictures.picture(n) for n in list(unseen)[:200]])),
        "readers": judging.reader_accuracy(readers, unseen),
        "instances_auc": judging.instance_auc(instances, 60, 1),
        "painter": exam(painter(family), readers, asked.singles, asked.pairs),
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
    print(json.dumps({k: found[k] for k in ("autoencoder_psnr", "readers", "instances_auc", "painter")}, indent=1))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
