"""How fast the samplers settle, how well they paint in so many calls, and all of them in one batch: docs/samplers.md.

    python -m benchmarks.samplers [PART...] [--quick] [-o FILE] [--page FILE]

Parts, all of them if none is named (the others stay as they are in the file):

    mixture   data whose denoiser is exact: what `remembrandt convergence` tells; and how well each paints the data in
              so many model calls, as the energy distance of its end points to exact samples over that of other exact
              samples (1: as good as the data themselves, give or take `chance`, the deviation among exact samples)
    painter   the embedded painter: the same in its latents; and of how many unseen prompts category, colour, place and
              style are all read right by its judges, at each sampler's usual steps and for so many calls
    together  twenty requests with twenty samplers in one batch against each alone, by turns, fp32: pictures and time

It then fills the page's figures from the file (`benchmarks/guide.py`). `--quick` shows in a minute that it runs;
its figures mean nothing and go to no page.
"""

from __future__ import annotations

import json
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, median, pstdev
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import guide, plain, say, surroundings
from benchmarks.painting import computing
from remembrandt.diffusion.convergence import MODES, SPREAD, Bench, bench, drive
from remembrandt.diffusion.samplers import SAMPLERS, Sampler, finish
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation import convergence, judges
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.report import write_atomic

USUAL = "usual"


@dataclass(frozen=True)
class Size:
    """End points on the mixture, sets of exact samples; prompts; calls that are compared; rounds by turns, and steps in
    them (0: the usual ones); whether it is measured how the painter settles."""

    starts: int = 2048
    sets: int = 16
    prompts: int = 24
    calls: tuple[int, ...] = (5, 10, 20, 40)
    rounds: int = 3
    steps: int = 0
    settling: bool = True


SIZES = {False: Size(), True: Size(64, 2, 2, (5,), 1, 3, False)}


def budgets(row: Sampler, calls: Sequence[int]) -> dict[str, int]:
    """Steps: the usual ones, and the most that make at most so many calls; a rule that decides itself has no others."""
    fitting = {} if row.max_calls else {str(n): within(row, n) for n in calls}
    return {USUAL: row.steps, **fitting}


def within(row: Sampler, calls: int) -> int:
    return max(n for n in range(1, calls + 1) if n == 1 or row.total(n) <= calls)


def on_mixture(size: Size, base: str) -> dict[str, Any]:
    ground, truth = bench(size.starts), data(0, size.starts)
    exact = [distance(data(seed, size.starts), truth) for seed in range(1, size.sets + 1)]
    found = convergence.measure(list(SAMPLERS))
    for row in found["samplers"]:
        for point in row["points"]:
            del point["seconds"]
        rule = SAMPLERS[row["name"]]
        each = {} if rule.max_calls else budgets(rule, size.calls)  # walks of the adaptive one go one by one
        row["quality"] = {k: distance(ends(ground, row["name"], n), truth) / mean(exact) for k, n in each.items()}
        row["steps"] = rule.steps
    return {"chance": pstdev(exact) / mean(exact), **found, **surroundings()}


def data(seed: int, count: int) -> Tensor:
    """Exact samples (count, 2) of the mixture."""
    chance = torch.Generator("cpu").manual_seed(seed)
    mode = torch.randint(len(MODES), (count,), generator=chance)
    return MODES[mode] + SPREAD * torch.randn(count, 2, generator=chance, dtype=torch.float64)


def distance(a: Tensor, b: Tensor) -> float:
    """The energy distance 2 E|a - b| - E|a - a'| - E|b - b'| (Szekely and Rizzo 2013), biased, >= 0."""
    return (2 * torch.cdist(a, b).mean() - torch.cdist(a, a).mean() - torch.cdist(b, b).mean()).item()


def ends(ground: Bench, name: str, steps: int) -> Tensor:
    """Where the sampler's walks end, on its own levels."""
    row = SAMPLERS[name]
    sigmas = row.sigmas(ground.schedule, steps)
    found, _ = drive([ground.walk(row, sigmas, ground.noise * row.scale(sigmas[0]))], ground.denoise)
    return finish(found, sigmas[-1])


def on_painter(size: Size, base: str) -> dict[str, Any]:
    from remembrandt.pocket.exam import exam

    family = load(base)
    assert family.folder
    judge = judges.load(family.folder / "judges" / "readers")
    assert isinstance(judge, judges.Readers)
    found: dict[str, Any] = {"samplers": [{"name": name} for name in SAMPLERS]}
    if size.settling:
        found = convergence.measure(list(SAMPLERS), family)
    for row in found["samplers"]:
        say(row["name"])
        each: dict[int, dict[str, float]] = {}  # once for the same steps
        row |= {"quality": {}, "steps": SAMPLERS[row["name"]].steps}
        for key, steps in budgets(SAMPLERS[row["name"]], size.calls).items():
            if steps not in each:
                each[steps] = exam(painter(family, row["name"], steps), judge, size.prompts, 0)
            row["quality"][key] = each[steps].get("all four")
            row.setdefault("read", {})[key] = each[steps]
    return {**found, "prompts": size.prompts, "guidance": family.record.guidance, **computing(family)}


def painter(family: Family, sampler: str, steps: int) -> Callable[[Sequence[str], int], np.ndarray]:
    engine = Engine(family)

    def paint(prompts: Sequence[str], seed: int) -> np.ndarray:
        asked = [Request(p, seed=seed + k, sampler=sampler, steps=steps) for k, p in enumerate(prompts)]
        return np.stack([made[0].pixels for made in engine.paint(asked)])

    return paint


def together(size: Size, base: str) -> dict[str, Any]:
    """How far the pictures of one batch are from each alone, in grey levels, and its time over theirs."""
    family = load(base, precision="fp32")
    engine, things = Engine(family), ("dog", "house", "car", "bird", "cat")
    asked = [
        Request(f"a {things[k % 5]} on the beach", seed=k, sampler=name, steps=size.steps or row.steps)
        for k, (name, row) in enumerate(SAMPLERS.items())
    ]
    ways: dict[str, Callable[[], list]] = {
        "in one batch": lambda: engine.paint(asked),
        "one after another": lambda: [engine.paint([one])[0] for one in asked],
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    made: dict[str, np.ndarray] = {}
    for turn in range(1 + size.rounds):  # the first warms up
        for name, paint in ways.items():
            began = time.perf_counter()
            made[name] = np.stack([pictures[0].pixels for pictures in paint()]).astype(float)
            if turn:
                seconds[name].append(time.perf_counter() - began)
    gap = np.abs(made["in one batch"] - made["one after another"])
    return {
        "requests": len(asked),
        "steps": [one.steps for one in asked],
        "grey_levels_apart": {"mean": gap.mean(), "max": gap.max(), "within 2": (gap <= 2).mean()},
        "of_each": dict(zip(SAMPLERS, gap.mean((1, 2, 3)), strict=True)),
        "seconds": {name: median(each) for name, each in seconds.items()},
        "ratio": median(a / b for a, b in zip(*seconds.values(), strict=True)),
        "rounds": size.rounds,
        **computing(family),
    }


PARTS: dict[str, Callable[[Size, str], dict[str, Any]]] = {
    "mixture": on_mixture,
    "painter": on_painter,
    "together": together,
}


def main(given: Sequence[str] | None = None) -> None:
    parser = ArgumentParser(prog="python -m benchmarks.samplers", description=__doc__)
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], metavar="PART")
    parser.add_argument("--quick", action="store_true", help="to see that it runs; figures mean nothing")
    parser.add_argument("--base", default="pocket", help="the painter: pocket, or a folder like it")
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--page", type=Path, help="whose figures are filled in; docs/samplers.md")
    asked = parser.parse_args(given)
    quick = Path(".benchmarks/samplers-quick.json")
    out = asked.out or (quick if asked.quick else Path("benchmarks/samplers.json"))
    found = json.loads(out.read_text()) if out.is_file() else {}
    for name in asked.parts or PARTS:
        say(name)
        found[name] = plain(PARTS[name](SIZES[asked.quick], asked.base))
        write_atomic(out, json.dumps(found, indent=1) + "\n")
    if asked.page or not (asked.quick or asked.out):
        guide.fill(asked.page or guide.PAGE, guide.made(found))
    print(json.dumps({k: v for k, v in found.get("together", {}).items() if k != "of_each"}))


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
