"""How long a picture takes, ours against diffusers' own pipeline: same folder, same noise, same steps, one run.

    python -m benchmarks.painting [--family pocket|FOLDER] [--rounds 15] [-o benchmarks/painting.json]

Both paint by turns, so that whatever else the machine does falls on both; the figure is the median over rounds of the
ratio within a round. Each is as its user gets it: diffusers by `from_pretrained(folder)`, ours by `load(folder)`.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from statistics import median

import numpy as np
import torch

from benchmarks import surroundings
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.report import write_atomic

PROMPT, SEED, STEPS = "a red dog on the beach", 1, 20
BATCHES = (1, 4)
WARM = 2


def ours(family: Family, batch: int):
    engine = Engine(family)
    asked = Request(PROMPT, n=batch, seed=SEED, steps=STEPS, sampler="ddim")
    return lambda: np.stack([p.pixels for p in engine.paint([asked])[0]])


def theirs(family: Family, batch: int):
    from diffusers import StableDiffusionPipeline

    pipeline = StableDiffusionPipeline.from_pretrained(str(family.folder)).to(family.device)
    pipeline.set_progress_bar_config(disable=True)
    size = family.record.size

    def paint() -> np.ndarray:
        noise = [torch.Generator("cpu").manual_seed(SEED + k) for k in range(batch)]
        made = pipeline(
            [PROMPT] * batch,
            height=size,
            width=size,
            num_inference_steps=STEPS,
            guidance_scale=family.record.guidance,
            generator=noise,
            output_type="np",
            return_dict=False,
        )
        return (np.asarray(made[0]) * 255).round().astype(np.uint8)

    return paint


def measured(family: Family, batch: int, rounds: int) -> dict:
    """Medians in seconds a call, the ratio, and how far the pictures are apart in grey levels."""
    painters = {"ours": ours(family, batch), "diffusers": theirs(family, batch)}
    seconds: dict[str, list[float]] = {name: [] for name in painters}
    pictures = {}
    for turn in range(WARM + rounds):
        for name, paint in painters.items():
            began = time.perf_counter()
            pictures[name] = paint()
            if turn >= WARM:
                seconds[name].append(time.perf_counter() - began)
    gap = np.abs(pictures["ours"].astype(float) - pictures["diffusers"])
    return {
        "batch": batch,
        "rounds": rounds,
        **{f"{name}_seconds": round(median(each), 4) for name, each in seconds.items()},
        "ratio": round(median(a / b for a, b in zip(*seconds.values(), strict=True)), 3),
        "grey_levels_apart": {"mean": round(gap.mean().item(), 3), "max": gap.max().item()},
    }


def computing(family: Family) -> dict:
    """The hardware that the family computes on, and how."""
    name = {"device": torch.cuda.get_device_name()} if family.device.type == "cuda" else {}
    return surroundings(**name, threads=torch.get_num_threads())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", default="pocket")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--device")
    parser.add_argument("--precision")
    parser.add_argument("-o", "--out", type=Path, default=Path("benchmarks/painting.json"))
    asked = parser.parse_args()
    family = load(asked.family, device=asked.device, precision=asked.precision)
    found = {
        "family": {"name": family.name, "revision": family.revision, "size": family.record.size},
        "precision": {"ours": family.precision, "diffusers": "fp32"},
        "prompt": PROMPT,
        "seed": SEED,
        "steps": STEPS,
        "guidance": family.record.guidance,
        "sampler": "ddim",
        "batches": [measured(family, batch, asked.rounds) for batch in BATCHES],
        **computing(family),
    }
    write_atomic(asked.out, json.dumps(found, indent=1) + "\n")
    print(json.dumps(found["batches"], indent=1))


if __name__ == "__main__":
    main()
