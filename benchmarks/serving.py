"""Ten users at once with private adapters, against the same requests one after another through diffusers.

    python -m benchmarks.serving [--quick] [-o benchmarks/serving.json]

Each user has one LoRA of their own and asks for one picture after another, of mixed samplers, steps (10 to 30; of heun,
which calls the network twice in each, half as many) and guidance. Ours:
`remembrandt serve` in a process of its own, each user a thread with a `remembrandt.Client`; a picture is there when its
PNG has come over HTTP and is decoded. Theirs: one `StableDiffusionPipeline` on the same folder, which serves the same
ten users in the order in which they ask, with `load_lora_weights` from the fastest format that it reads; a picture is
there when the pipeline gives it. By turns on the same machine, at the same precision and number of threads; figures are
medians over rounds, ratios within a round. Beside them how far the pictures of both are apart. Some five minutes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks import plain, say
from benchmarks.painting import computing
from benchmarks.served import CATEGORY, Person, Server, arguments, people, place, random_lora, serving, spread
from remembrandt.adapters.lora import DOWN, UP
from remembrandt.client import Client
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.report import write_atomic

USERS, ROUNDS, PICTURES = 10, 3, 6
STEPS, GUIDANCES, PLACES = (10, 15, 20, 30), (3.0, 4.0, 7.5), ("on the beach", "in the forest", "in the snow")
#: Our samplers, and the scheduler of diffusers that walks the same way.
SAMPLERS: Mapping[str, tuple[str, Mapping[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "euler-a": ("EulerAncestralDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "heun": ("HeunDiscreteScheduler", {"timestep_spacing": "linspace"}),
    "dpmpp-2m": ("DPMSolverMultistepScheduler", {"timestep_spacing": "linspace"}),
}
Paint = Callable[[int, "Asked"], np.ndarray]


@dataclass(frozen=True)
class Asked:
    """One picture."""

    prompt: str
    sampler: str
    steps: int
    guidance: float
    seed: int


def wishes(crowd: Sequence[Person], round: int, pictures: int) -> list[list[Asked]]:
    """What everyone asks for in a round: the same in every run, no two alike."""
    draw = np.random.default_rng([7, round])

    def one(person: Person, number: int) -> Asked:
        sampler, steps = str(draw.choice(list(SAMPLERS))), int(draw.choice(STEPS))
        steps = steps // 2 if sampler == "heun" else steps
        prompt = f"a {person.words[0]} {CATEGORY} {draw.choice(PLACES)}"
        return Asked(prompt, sampler, steps, float(draw.choice(GUIDANCES)), 1000 * round + number)

    return [[one(person, k) for k in range(pictures)] for person in crowd]


def crowded(paint: Paint, asked: Sequence[Sequence[Asked]]) -> tuple[float, list[float], list[list[np.ndarray]]]:
    """Everyone asks at once, each for the next when the last has come: seconds in all, of each, the pictures."""
    latencies: list[float] = []

    def user(number: int) -> list[np.ndarray]:
        found = []
        for one in asked[number]:
            began = time.perf_counter()
            found.append(paint(number, one))
            latencies.append(time.perf_counter() - began)
        return found

    with ThreadPoolExecutor(len(asked)) as pool:
        began = time.perf_counter()
        pictures = list(pool.map(user, range(len(asked))))
        return time.perf_counter() - began, latencies, pictures


def ours(server: Server, crowd: Sequence[Person]) -> Paint:
    clients: list[Client] = [person.client(server) for person in crowd]

    def paint(user: int, asked: Asked) -> np.ndarray:
        return np.asarray(clients[user].generate(**asdict(asked))[0])

    return paint


class Diffusers:
    """One pipeline and who waits for it; `loading` are the seconds that its adapters took."""

    def __init__(self, family: Family, crowd: Sequence[Person], folder: Path, rank: int) -> None:
        from diffusers import StableDiffusionPipeline
        from diffusers.utils import logging

        logging.set_verbosity_error()  # at each load it tells that the text encoder has no part in it
        self.pipeline = StableDiffusionPipeline.from_pretrained(str(family.folder))
        self.pipeline.to(family.device)
        self.pipeline.set_progress_bar_config(disable=True)
        self.folder, self.loading = folder, 0.0
        self._one = ThreadPoolExecutor(1)
        for number, person in enumerate(crowd):
            made = random_lora(family, person.words[0], rank).tensors
            flat = {f"{n}.lora_A.weight": pair[DOWN] for n, pair in made.items()}
            flat |= {f"{n}.lora_B.weight": pair[UP] for n, pair in made.items()}
            StableDiffusionPipeline.save_lora_weights(folder / str(number), unet_lora_layers=flat)

    def __call__(self, user: int, asked: Asked) -> np.ndarray:
        return self._one.submit(self._paint, user, asked).result()

    def _paint(self, user: int, asked: Asked) -> np.ndarray:
        import diffusers

        began = time.perf_counter()
        self.pipeline.load_lora_weights(self.folder / str(user))
        self.loading += time.perf_counter() - began
        kind, options = SAMPLERS[asked.sampler]
        self.pipeline.scheduler = getattr(diffusers, kind).from_config(self.pipeline.scheduler.config, **options)
        picture: Image.Image = self.pipeline(
            asked.prompt,
            num_inference_steps=asked.steps,
            guidance_scale=asked.guidance,
            generator=torch.Generator("cpu").manual_seed(asked.seed),
        ).images[0]
        began = time.perf_counter()
        self.pipeline.unload_lora_weights()
        self.loading += time.perf_counter() - began
        return np.asarray(picture)


def apart(first: Sequence[Sequence[np.ndarray]], second: Sequence[Sequence[np.ndarray]]) -> list[float]:
    """Grey levels between the pictures of both, each a mean."""
    pairs = [(a, b) for one, other in zip(first, second, strict=True) for a, b in zip(one, other, strict=True)]
    return [float(np.abs(a.astype(float) - b).mean()) for a, b in pairs]


def turn(number: int, arms: Mapping[str, Paint], crowd: Sequence[Person], pictures: int) -> dict[str, Any]:
    """One round of both."""
    asked, found, seen = wishes(crowd, number, pictures), {}, []
    for name, paint in arms.items():
        say(f"round {number}: {name}")
        loaded = getattr(paint, "loading", 0.0)
        seconds, latencies, painted = crowded(paint, asked)
        found[name] = {"pictures_a_second": len(latencies) / seconds, "seconds": seconds, **spread(latencies)}
        if loading := getattr(paint, "loading", 0.0) - loaded:
            found[name]["loading"] = loading
        seen.append(painted)
    mine, other = found["ours"], found["diffusers"]
    gaps = apart(*seen)
    return {
        **found,
        "throughput": mine["pictures_a_second"] / other["pictures_a_second"],
        "p95": mine["p95"] / other["p95"],
        "grey levels apart": {"median": median(gaps), "worst": max(gaps)},
    }


def main(given: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, "serving")
    parser.add_argument("--family", default="pocket")
    asked = parser.parse_args(given)
    users, rounds, pictures, rank = (3, 1, 1, 4) if asked.quick else (USERS, ROUNDS, PICTURES, 4)
    shutil.rmtree(asked.work, ignore_errors=True)
    family, home = load(asked.family, device="cpu", precision="fp32"), (asked.work / "home").absolute()
    crowd = people(home, users, family, rank=rank)
    with serving(home) as server:
        arms = {"ours": ours(server, crowd), "diffusers": Diffusers(family, crowd, asked.work / "loras", rank)}
        for paint in arms.values():  # weights and adapters are read, and every way of painting was gone once
            crowded(paint, [[Asked(f"a {p.words[0]} {CATEGORY}", "ddim", 2, 4.0, 0)] for p in crowd])
        rows = [turn(number, arms, crowd, pictures) for number in range(1, rounds + 1)]
    found = {
        "throughput, ours over diffusers (>= 1.5)": median(row["throughput"] for row in rows),
        "p95, ours over diffusers (< 1)": median(row["p95"] for row in rows),
        "users": users,
        "pictures": users * pictures,
        "rank": rank,
        "samplers": list(SAMPLERS),
        "steps": STEPS,
        "rounds": rows,
        "family": {"name": family.name, "revision": family.revision, "precision": family.precision},
        **computing(family),
    }
    write_atomic(place(asked, "serving"), json.dumps(plain(found), indent=1) + "\n")
    print(json.dumps(plain({k: v for k, v in found.items() if "over" in k}), indent=1))


if __name__ == "__main__":
    main()
