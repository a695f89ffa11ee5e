"""How fast the samplers settle on data whose denoiser is exact: the figures of docs/samplers.md.

    python -m benchmarks.samplers [-o benchmarks/samplers.json]

Beside what `remembrandt convergence` tells, how well each paints the data in so many model calls: the energy distance
of its end points to exact samples, over that of other exact samples (1: as good as the data themselves).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import surroundings
from remembrandt.diffusion.convergence import MODES, SPREAD, Bench, bench, drive
from remembrandt.diffusion.samplers import SAMPLERS, finish
from remembrandt.evaluation.convergence import measure
from remembrandt.report import write_atomic

STARTS, CALLS = 2048, (10, 20, 40)


def data(seed: int) -> Tensor:
    """Exact samples (STARTS, 2) of the mixture."""
    chance = torch.Generator("cpu").manual_seed(seed)
    mode = torch.randint(len(MODES), (STARTS,), generator=chance)
    return MODES[mode] + SPREAD * torch.randn(STARTS, 2, generator=chance, dtype=torch.float64)


def distance(a: Tensor, b: Tensor) -> float:
    """The energy distance 2 E|a - b| - E|a - a'| - E|b - b'| (Szekely and Rizzo 2013), biased, >= 0."""
    return (2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).item()


def painted(ground: Bench, name: str, calls: int) -> Tensor:
    """Where the sampler's own walks end that make at most so many calls a picture."""
    row = SAMPLERS[name]
    steps = max(n for n in range(1, calls + 1) if n == 1 or row.total(n) <= calls)
    sigmas = row.sigmas(ground.schedule, steps)
    found, _ = drive([ground.walk(row, sigmas, ground.noise * row.scale(sigmas[0]))], ground.denoise)
    return finish(found, sigmas[-1])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("-o", type=Path, default=Path("benchmarks/samplers.json"))
    out = options.parse_args().o
    ground, truth = bench(STARTS), data(0)
    floor = distance(data(1), truth)
    found = measure(list(SAMPLERS))
    for row in found["samplers"]:
        for point in row["points"]:
            del point["seconds"]
        if SAMPLERS[row["name"]].max_calls is None:  # whose walks go one by one
            ends = {calls: painted(ground, row["name"], calls) for calls in CALLS}
            row["quality"] = {calls: distance(end, truth) / floor for calls, end in ends.items()}
    write_atomic(out, json.dumps(surroundings() | found, indent=1) + "\n")
    for row in found["samplers"]:
        print(row["name"], f"{row['order']:.2f}", row["used"], row.get("quality"))


if __name__ == "__main__":
    main()
