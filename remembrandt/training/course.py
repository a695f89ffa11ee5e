"""What a training is asked for, how its steps are divided among processes, and what it would take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from remembrandt.family.family import Family
from remembrandt.settings import Wrong
from remembrandt.training import corpus, cost
from remembrandt.training.corpus import Filters
from remembrandt.training.dreambooth import exact
from remembrandt.training.encoded import bytes_of
from remembrandt.training.recipe import Recipe, Stage
from remembrandt.training.recipes import recipe as named

Document = dict[str, Any]


@dataclass(frozen=True)
class Course:
    """What is asked for: a recipe, its pictures, the folder of the model.

    `stage` is the one stage to run, `batch` the pictures that a process takes at once; both None are all and what fits.
    """

    recipe: str
    data: str
    out: Path
    preset: str | None = None
    options: Mapping[str, Any] | None = None
    stage: int | None = None
    processes: int = 1
    batch: int | None = None
    dedup: bool = False
    seed: int = 0

    @property
    def work(self) -> Path:
        return self.out / "work"

    def checked(self) -> Recipe:
        """The recipe, after all that can be said before weights are read."""
        found = named(self.recipe, self.preset, self.options)
        if not 1 <= self.processes <= 1024 or not (self.batch is None or 1 <= self.batch <= 4096):
            raise Wrong("--gpus and --batch are whole numbers from 1 on")
        if not (self.work / "request.json").is_file():
            if self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
                raise Wrong(f"{self.out} exists already: name a new folder with -o")
            # Is there a source, and can it be read?
            if not any(i.caption or not found.captions for i in corpus.items(self.data)) and found.captions:
                raise uncaptioned(self.recipe)
        return found


@dataclass(frozen=True)
class Share:
    """How a step's pictures are divided: `batch` of them on each of `processes`, `calls` times."""

    processes: int
    batch: int
    calls: int
    checkpointing: bool = False

    def part(self, call: int, rank: int) -> tuple[int, range]:
        """The step of a call, and which pictures of its global batch this process takes."""
        (step, k), at_once = divmod(call, self.calls), self.processes * self.batch
        return step, range(k * at_once + rank, (k + 1) * at_once, self.processes)


def uncaptioned(recipe: str) -> Wrong:
    return Wrong(f"no picture has a caption, which {recipe} needs: a .txt beside it, or its JSON")


def foreseen(course: Course, family: Family) -> Document:
    """What a training would take: pictures seen, hours, gigabytes of memory and of disk. Trains nothing."""
    recipe = course.checked()
    exact(family)
    family = recipe.begun(family)
    pictures = corpus.count(course.data, filters(course, recipe))
    if not pictures:
        raise Wrong("no picture can be trained on: none has the aesthetic score that is asked for")
    rows = []
    for number, stage in wanted(course, recipe.stages(family, Nothing(), course.seed)):
        if course.stage not in (None, number):
            continue
        share, priced = shared(course, recipe, family, stage)
        how = {"batch": share.batch, "gradient_accumulation": share.calls, "steps": stage.plan.steps}
        how["gradient_checkpointing"] = share.checkpointing
        rows.append(
            {
                "stage": number,
                "moves": stage.name,
                "parameters": sum(p.numel() for p in stage.parameters.values()),
                "steps": stage.plan.steps,
                "learning_rate": stage.plan.learning_rate,
                "warmup": stage.plan.warmup,
                **asdict(share),
                "pictures_seen": stage.plan.steps * stage.batch,
                "hours": round(cost.pace(family, how) * stage.plan.steps / 3600, 3),
                "gigabytes": round(priced.peak(how) / cost.GIGA, 2),
            }
        )
    return {
        "recipe": course.recipe,
        "pictures": pictures,
        "pictures_seen": sum(row["pictures_seen"] for row in rows),
        "hours": round(sum(row["hours"] for row in rows), 2),
        "gigabytes": max(row["gigabytes"] for row in rows),
        "disk_gigabytes": round(pictures * bytes_of(family, recipe.adds) / cost.GIGA, 2),
        "stages": rows,
    }


def shared(course: Course, recipe: Recipe, family: Family, stage: Stage) -> tuple[Share, cost.Cost]:
    """How the stage's pictures are divided so that they fit, and what that costs; `Wrong` if they cannot be."""
    whole = cost.count(family, ("unet",))
    moved = sum(p.numel() for p in stage.parameters.values())
    still = sum(p.numel() for p in family.unet.parameters()) - moved
    priced = replace(whole, held=whole.held - 12 * still + (4 * moved if stage.plan.ema else 0))  # no moments; averages
    each, odd = divmod(stage.batch, course.processes)
    how = {"batch": course.batch or each, "gradient_checkpointing": recipe.gradient_checkpointing}
    calls, left = divmod(stage.batch, course.processes * how["batch"])
    if odd or left or not calls:
        told = f"--gpus {course.processes}" + (f" and --batch {course.batch}" if course.batch else "")
        raise Wrong(f"stage {stage.name!r} takes {stage.batch} pictures a step, which {told} do not divide")
    found = cost.fitted(how | {"gradient_accumulation": calls}, priced, {"batch"} if course.batch else ())
    share = Share(course.processes, found["batch"], found["gradient_accumulation"], found["gradient_checkpointing"])
    return share, priced


def wanted(course: Course, stages: list[Stage]) -> list[tuple[int, Stage]]:
    """The stages up to the last that is asked for, by number."""
    numbered = list(enumerate(stages, 1))
    if course.stage is not None and not 1 <= course.stage <= len(stages):
        told = " and ".join(f"{n} ({stage.name})" for n, stage in numbered)
        raise Wrong(f"there is no stage {course.stage} of {course.recipe} as asked: there are {told}")
    return numbered[: course.stage]


def filters(course: Course, recipe: Recipe) -> Filters:
    """What a picture must have to be trained on."""
    return Filters(recipe.min_side, recipe.aesthetic, course.dedup, recipe.paired)


class Nothing:
    """Rows of a training that is only foreseen."""

    def __len__(self) -> int:
        return 0

    def __getitem__(self, number: int) -> Mapping[str, Any]:
        raise IndexError(number)
