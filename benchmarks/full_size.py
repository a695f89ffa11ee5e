"""Does Stable Diffusion 1.5 at full size fit into a plain computer's memory? Random weights, CPU.

    python -m benchmarks.full_size [--folder DIR] [-o benchmarks/full_size.json]

Each step runs in a process of its own, whose peak resident memory is the figure: writing the family (860 M, 123 M and
84 M weights, 2.1 GB on disk), loading it in bf16, painting one guided step at 512 x 512, one step of an `oft` lesson.
With `--folder` a folder of real weights is measured instead.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import surroundings

SEED = 0
LIMITS = {"paint": 6.0, "teach": 14.0}  # GB of 10^9 bytes


def make(folder: Path) -> dict:
    """A family of SD 1.5's sizes, saved in half precision; norms are 1, biases 0, the rest keeps its input's scale."""
    import torch

    from remembrandt.family import load, parts, single_file
    from remembrandt.pocket.networks import tokenizer as spell

    configs = single_file.LAYOUTS["cond_stage_model.transformer."][1]
    tokenizer = spell(["a", "dog", "on", "the", "beach"], folder.parent / "tokenizer")  # any: the weights are random
    pool = torch.randn(49408 * 768, generator=torch.Generator().manual_seed(SEED)).half()

    def drawn(name: str, shape: torch.Size):
        if len(shape) == 1:
            return lambda: torch.full(shape, float(name.endswith("weight")), dtype=torch.float16)
        std = 0.02 if "embedding" in name else 0.5 / math.sqrt(math.prod(shape[1:]))
        return lambda: (pool[: shape.numel()] * std).view(shape)

    lazy = {
        part: {n: drawn(n, t.shape) for n, t in parts.blank(part, config, tokenizer).state_dict().items()}
        for part, config in configs.items()
    }
    facts = {"name": "random-sd1", "sampler": "ddim"}
    made = parts.Parts(folder, configs, lazy, tokenizer, dict(parts.SCHEDULER), facts)
    family = load._built(made, {}, torch.device("cpu"), torch.float16)
    family.folder = None
    load.save(family, folder)
    return {"weights": sum(p.numel() for part in configs for p in getattr(family, part).parameters())}


def read(folder: Path) -> dict:
    from remembrandt.family.load import load

    family = load(folder, device="cpu", precision="bf16")
    return {"precision": family.precision}


def paint(folder: Path) -> dict:
    from remembrandt.engine.engine import Engine
    from remembrandt.engine.request import Request
    from remembrandt.family.load import load

    engine = Engine(load(folder, device="cpu", precision="bf16"))
    asked = Request("a dog on the beach", steps=1, guidance=7.5, size=(512, 512), sampler="ddim", seed=SEED)
    picture = engine.paint([asked])[0][0]
    return {"picture": list(picture.pixels.shape)}


def teach(folder: Path) -> dict:
    import numpy as np

    from remembrandt.family.load import load
    from remembrandt.training import methods
    from remembrandt.training.examples import encode
    from remembrandt.training.method import Lesson, first_rows

    family = load(folder, device="cpu", precision="bf16")
    photo = np.random.default_rng(SEED).integers(0, 255, (512, 512, 3)).astype(np.uint8)
    found = encode(family, [photo], ["a brc dog"])
    method = methods.method("oft", {"steps": 1}, family)
    lesson = Lesson(found, {"brc": first_rows(family, "dog")}, SEED)
    learned = methods.learn(method, family, lesson)
    return {"loss": learned.losses[0], "batch": getattr(method, "batch", None)}


STEPS = {"make": make, "load": read, "paint": paint, "teach": teach}


def child(step: str, folder: Path) -> None:
    began = time.perf_counter()
    found = STEPS[step](folder)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"peak_gb": round(peak / 1e9, 2), "seconds": round(time.perf_counter() - began, 1), **found}))


def measured(step: str, folder: Path) -> dict:
    """What the child says. This process imports no torch: a child's peak begins with its parent's."""
    arguments = [sys.executable, "-m", "benchmarks.full_size", "--child", step, "--folder", str(folder)]
    ran = subprocess.run(arguments, stdout=subprocess.PIPE, text=True, check=True)
    found = json.loads(ran.stdout.splitlines()[-1])
    if step in LIMITS:
        found |= {"limit_gb": LIMITS[step], "passed": found["peak_gb"] <= LIMITS[step]}
    print(f"{step}: {found}", file=sys.stderr)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--child", choices=STEPS, help=argparse.SUPPRESS)
    parser.add_argument("-o", "--out", type=Path, default=Path("benchmarks/full_size.json"))
    asked = parser.parse_args()
    if asked.child:
        return child(asked.child, asked.folder)
    with tempfile.TemporaryDirectory() as place:
        folder = asked.folder or Path(place) / "sd1"
        steps = {s: measured(s, folder) for s in STEPS if s != "make" or asked.folder is None}
    found = {
        "weights": "random" if asked.folder is None else str(asked.folder),
        "steps": steps,
        "seed": SEED,
        **surroundings(),
    }
    asked.out.write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(steps, indent=1))


if __name__ == "__main__":
    main()
