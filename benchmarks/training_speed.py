"""How fast does a lesson train, beside diffusers' DreamBooth scripts on the same work?

    python -m benchmarks.training_speed --scripts DIR [--python FILE] [--wrap FILE] [--full] [--minutes N] [-o FILE]

DIR holds `train_dreambooth.py` and `train_dreambooth_lora.py` of github.com/huggingface/diffusers, where they lie in
examples/dreambooth. They run in processes of their own, by `--python` if their needs (torchvision) live in another
environment, and through `--wrap` if a script has to prepare that (`python WRAP SCRIPT ...`). Both get their best flags:
bf16 arithmetic, text embeddings computed once, as many priors as photos. Steps are timed by turns as the difference of
a longer and a shorter lesson, so that neither pays for starting up. Then a whole first subject with its class images,
from command to published model, against the script as its README says: with our sampler, and with its own. Stopped, it
goes on where it was: every turn is kept.
"""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import mean, median
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import arguments, full_size, once, pieces, places, plain, say
from benchmarks.concepts import CONCEPTS, SEED
from benchmarks.painting import computing
from remembrandt.family.family import Family
from remembrandt.family.load import load, save
from remembrandt.report import sheet, write_atomic
from remembrandt.training import examples, methods
from remembrandt.training.method import Lesson

CONCEPT, WORD = CONCEPTS["dog 1"], "sks"
PRIORS = 4  # class pictures where only steps are timed
LOSS = re.compile(r"loss=([0-9.]+(?:e-?[0-9]+)?)")
Document = dict[str, Any]


@dataclass(frozen=True)
class Contest:
    """A script, its flags, and the method and options that do the same work, at the rate of both."""

    script: str
    method: str
    rate: float
    flags: Sequence[str] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


LORA = {"rank": 4, "alpha": 4.0, "token_rate": 0.0}
CONTESTS = {
    "lora": Contest("train_dreambooth_lora.py", "lora", 5e-4, ("--rank=4",), LORA),
    "all weights": Contest("train_dreambooth.py", "dreambooth", 5e-6),
}


@dataclass(frozen=True)
class Race:
    """Steps of the shorter and of the longer lesson, turns, photos a step (and as many priors)."""

    steps: tuple[int, int]
    rounds: int
    batch: int


@dataclass(frozen=True)
class Size:
    """The race on the base and on one of SD 1.5's size, and class images and steps of the whole subject."""

    races: Mapping[str, Race]
    class_images: int = 100
    whole: int = 400


SIZES = {
    "tiny": Size({"base": Race((1, 3), 1, 1)}, 2, 2),
    "usual": Size({"base": Race((10, 70), 3, 2), "sd1": Race((1, 3), 1, 1)}),
    "full": Size({"base": Race((50, 550), 7, 2), "sd1": Race((2, 12), 3, 2)}, 200, 800),
}


@dataclass(frozen=True)
class Peer:
    """Where the scripts are and how they are run."""

    scripts: Path
    python: str
    wrap: Path | None

    def run(self, script: str, flags: Sequence[str]) -> tuple[float, list[float]]:
        """Seconds from start to end, and the losses that its progress bar told."""
        wrap = [str(self.wrap)] if self.wrap else []
        words = [self.python, *wrap, str(self.scripts / script), *flags]
        began = time.monotonic()
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        took = time.monotonic() - began
        if done.returncode:
            raise SystemExit(f"{script} failed:\n{done.stderr[-2000:]}")
        return took, [float(value) for value in LOSS.findall(done.stderr + done.stdout)]


def flags(base: Path, data: Path, out: Path, size: int, batch: int, steps: int, class_images: int) -> list[str]:
    """What both scripts are told, whatever is measured."""
    prompts = {"instance_prompt": f"a {WORD} {CONCEPT.category}", "class_prompt": f"a {CONCEPT.category}"}
    told = {
        "pretrained_model_name_or_path": base,
        "instance_data_dir": data / "photos",
        "class_data_dir": data / f"class-{class_images}",
        "output_dir": out,
        "resolution": size,
        "train_batch_size": batch,
        "max_train_steps": steps,
        "num_class_images": class_images,
        "lr_warmup_steps": 0,
        "checkpointing_steps": 1_000_000,
        "seed": SEED,
        **prompts,
    }
    return ["--with_prior_preservation", *(f"--{name}={value}" for name, value in told.items())]


def pictures(data: Path, size: int) -> None:
    """Photos of the subject, and a few pictures of its class, as the scripts read them."""
    others = [pair[0] for pair in CONCEPT.others()][:PRIORS]
    for name, made in {"photos": CONCEPT.photos(size), f"class-{PRIORS}": others}.items():
        (data / name).mkdir(parents=True, exist_ok=True)
        for k, picture in enumerate(made):
            Image.fromarray(picture).resize((size, size)).save(data / name / f"{k}.png")


def ours(family: Family, contest: Contest, batch: int, steps: int) -> tuple[float, list[float]]:
    """Seconds of a lesson without what comes before its first step, and its losses. The family stays as it is."""
    size, prompt = family.record.size, f"a {CONCEPT.category}"
    others = [_sized(pair[0], size) for pair in CONCEPT.others()[:PRIORS]]
    found = examples.encode(family, CONCEPT.photos(size), [f"a {WORD} {CONCEPT.category}"])
    found += examples.encode(family, others, [prompt], kind="class")
    moved = family if contest.method != "dreambooth" else replace(family, unet=copy.deepcopy(family.unet))
    given = {"steps": steps, "batch": 2 * batch, "warmup": 0, "dropout": 0.0, "gradient_accumulation": 1}
    method = methods.method(contest.method, {**given, "learning_rate": contest.rate, **contest.options}, family)
    began = time.monotonic()
    learned = methods.learn(method, moved, Lesson(found, {}, SEED))
    return time.monotonic() - began, learned.losses


def _sized(picture: np.ndarray, size: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((size, size)))


def turn(peer: Peer, family: Family, contest: Contest, race: Race, data: Path) -> Document:
    """One turn: steps a second of both, and their mean losses."""
    side, found = family.record.size, Document()
    pictures(data, side)
    for name in ("ours", "theirs"):
        took, losses = [], list[float]()
        for count in race.steps:
            if name == "ours":
                seconds, losses = ours(family, contest, race.batch, count)
            else:
                with tempfile.TemporaryDirectory() as out:
                    words = flags(family.folder, data, Path(out), side, race.batch, count, PRIORS)  # type: ignore[arg-type]
                    words += ["--mixed_precision=bf16", "--pre_compute_text_embeddings", *contest.flags]
                    words += [f"--learning_rate={contest.rate}", "--lr_scheduler=constant"]
                    seconds, losses = peer.run(contest.script, words)
            took.append(seconds)
        speed = (race.steps[1] - race.steps[0]) / max(took[1] - took[0], 1e-9)
        found[name] = {"steps_a_second": speed, "mean_loss": mean(losses) if losses else None}
    return found


def raced(turns: Sequence[Document], race: Race) -> Document:
    """Medians over turns, and the ratio of every turn."""
    speeds = {name: [told[name]["steps_a_second"] for told in turns] for name in ("ours", "theirs")}
    ratios = [a / b for a, b in zip(*speeds.values(), strict=True)]
    return {
        "steps_a_second": {name: median(some) for name, some in speeds.items()},
        "ratio": median(ratios),
        "ratios": ratios,
        "mean_loss": {name: turns[-1][name]["mean_loss"] for name in speeds},
        "batch": f"{race.batch}+{race.batch}",
    }


def whole(peer: Peer, family: Family, size: Size, work: Path) -> Document:
    """A first subject, from the command to the model: the script as its README says, and ours, each in a fresh process.

    Ours with the base's own sampler, and with the script's pipeline's: 50 steps of ddim.
    """
    side = family.record.size
    slow = save(replace(family, record=replace(family.record, sampler="ddim", steps=50)), work / "slow")
    with tempfile.TemporaryDirectory() as place:
        data = Path(place)
        pictures(data, side)
        told = flags(family.folder, data, data / "out", side, 1, size.whole, size.class_images)  # type: ignore[arg-type]
        theirs, _ = peer.run("train_dreambooth.py", [*told, "--learning_rate=5e-6", "--lr_scheduler=constant"])
        seconds = {"theirs": theirs}
        for name, base in {"ours": family.folder, "ours, their sampler": slow}.items():
            words = [sys.executable, "-m", "remembrandt", "finetune", str(data / "photos"), "--base", str(base)]
            words += ["--category", CONCEPT.category, "--home", str(data / name), "--method", "dreambooth", "--json"]
            words += ["--steps", str(size.whole), "--num-class-images", str(size.class_images), "--set", "batch=2"]
            began = time.monotonic()
            subprocess.run(words, check=True, stdout=subprocess.PIPE)
            seconds[name] = time.monotonic() - began
    ratios = {name: theirs / took for name, took in seconds.items() if name != "theirs"}
    return {"seconds": seconds, "ratio": ratios, "steps": size.whole, "class_images": size.class_images}


def large(place: Path) -> Family:
    """A family of SD 1.5's size; it is made of random weights the first time."""
    if not (place / "model_index.json").is_file():
        say("random weights of SD 1.5's size")
        full_size.make(place)
    return load(place, precision="bf16")


def drawn(found: Mapping[str, Document]) -> Image.Image:
    """Bars of what a second holds, ours over theirs."""
    rows = [(name, [_bar(told["ratio"])]) for name, told in found.items()]
    under = [[f"{told['ratio']:.2f} times theirs"] for told in found.values()]
    return sheet(rows, "Training speed, ours over diffusers' scripts", captions=under, cell=160)


def _bar(ratio: float) -> np.ndarray:
    made = np.full((48, 480, 3), 238, np.uint8)
    made[8:40, : min(470, round(120 * ratio))] = (96, 150, 120)
    made[:, 119:121] = (120, 60, 60)  # as fast as theirs
    return made


def main(given: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, "training_speed")
    parser.add_argument("--scripts", type=Path, required=True, help="the folder of diffusers' two scripts")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that runs them")
    parser.add_argument("--wrap", type=Path, help="a script that prepares their environment: PYTHON WRAP SCRIPT ...")
    asked = parser.parse_args(given)
    absent = [c.script for c in CONTESTS.values() if not (asked.scripts / c.script).is_file()]
    if absent:
        parser.error(f"{asked.scripts} holds no {absent[0]}: take it from examples/dreambooth of diffusers' repository")
    peer, size = Peer(asked.scripts.absolute(), asked.python, asked.wrap and asked.wrap.absolute()), SIZES[asked.size]
    family = load(asked.base, precision="bf16")
    work, out = places(asked, "training_speed", family.digest)
    found, told, first = dict[str, Document](), Document(), Document()

    def publish() -> None:
        nonlocal told
        told = plain({"steps": found, "first subject": first, "size": asdict(size), **computing(family)})
        write_atomic(out, json.dumps(told, indent=1) + "\n")
        bars = {f"first subject, {name}": {"ratio": r} for name, r in first.get("ratio", {}).items()}
        drawn({**found, **bars}).save(out.with_suffix(".png"))

    def contests(where: str) -> None:
        race, held = size.races[where], family if where == "base" else large(work / where)
        for name, contest in CONTESTS.items():
            path, turns = work / f"{where}-{name}-{{}}.json", list[Document]()
            for k in range(race.rounds):
                one = lambda c=contest: turn(peer, held, c, race, work / where / "data")  # noqa: E731
                turns.append(once(Path(str(path).format(k)), one))
            found[f"{name}, {family.name if where == 'base' else 'the size of SD 1.5'}"] = raced(turns, race)
            publish()

    races = [(w, n, k) for w, race in size.races.items() for n in CONTESTS for k in range(race.rounds)]
    with pieces([*(work / f"{w}-{n}-{k}.json" for w, n, k in races), work / "whole.json"]):
        contests("base")
        first = once(work / "whole.json", lambda: whole(peer, load(asked.base), size, work))
        publish()
        for where in size.races:
            if where != "base":
                contests(where)
    print(json.dumps({k: told.get(k) for k in ("steps", "first subject")}, indent=1))


if __name__ == "__main__":
    main()
