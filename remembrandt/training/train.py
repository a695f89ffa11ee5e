"""A training from pictures to a model's folder: what `train` does.

The folder's `work` keeps what a training needs to go on: `request.json`, the encoded pictures, each stage's checkpoints
and then its result, a log of every step, previews. The model lies beside it when the last stage that was asked for is
done.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from safetensors.torch import save as write_tensors
from torch import Tensor

from remembrandt.engine.engine import UNPAINTED
from remembrandt.family.family import Family
from remembrandt.report import Event, Progress, sheet, silent, write_atomic
from remembrandt.settings import Wrong
from remembrandt.training.course import Course, Document, Nothing, Share, filters, shared, uncaptioned, wanted
from remembrandt.training.dreambooth import exact
from remembrandt.training.encoded import MANIFEST, Encoded, encode
from remembrandt.training.loop import fit
from remembrandt.training.methods import sparing
from remembrandt.training.recipe import Recipe, Stage, painted

LAST = ("model_index.json", "config.json")
SHOWN = 4  # pictures of a preview


def train(course: Course, family: Family, progress: Progress = silent) -> Document:
    """Train what `course` asks for, from wherever an earlier call of the same stopped, and write the model's folder.

    Each of several processes calls this with its own copy of the family; the first of them writes and tells. `Wrong` if
    the folder holds something else. Raises `loop.Diverged`; whatever `progress` raises leaves a checkpoint.
    """
    from accelerate import PartialState

    recipe, began = course.checked(), time.monotonic()
    state = PartialState(cpu=family.device.type == "cpu")
    course = replace(course, processes=state.num_processes)
    progress = progress if state.is_main_process else silent
    digest, kind = family.digest, family.kind
    exact(family)
    family = recipe.begun(family)
    shares = _shares(course, recipe, family, family.kind == kind, state)
    rows = _entered(course, recipe, family, digest, shares, progress) if state.is_main_process else _waited(course)
    if rows.left_out:
        said = "; ".join(f"{n} {why}" for why, n in list(rows.left_out.items())[:4])
        progress(Event("encoding", len(rows), len(rows), message=f"{len(rows)} pictures; left out: {said}"))
    told = []
    for number, stage in wanted(course, recipe.stages(family, rows, course.seed)):
        if (share := shares[number]) is None:
            continue
        losses = _stage(course, recipe, family, rows, stage, number, share, progress, state)
        told.append({"stage": number, "moves": stage.name, "steps": stage.plan.steps, **asdict(share), **losses})
    if state.is_main_process:
        _write(recipe, family, course)
    return {
        "recipe": course.recipe,
        "model": str(course.out),
        "pictures": len(rows),
        "left_out": rows.left_out,
        "stages": told,
        "seconds": round(time.monotonic() - began, 1),
        "log": str(course.work / "log.jsonl"),
    }


def _stage(
    course: Course, recipe: Recipe, family: Family, rows: Encoded, stage: Stage, number: int, share: Share,
    progress: Progress, state: Any,
) -> Document:  # fmt: skip
    """Run a stage, or take up its result; its parameters hold their averages then."""
    result, folder = _result(course, number), course.work / f"stage-{number}"
    if result.is_file():
        _fill(stage, load_file(result))
        return {}

    def preview(step: int) -> None:
        with suppress(*UNPAINTED):  # the loss tells, if it is lasting
            some = [rows[k] for k in range(min(SHOWN, len(rows)))]
            place = course.work / "previews" / f"stage-{number}-{step:08d}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            shown = family.decode(torch.stack([row["mean"].float() for row in some]))
            drawn = [("given", list(shown)), ("painted", list(painted(recipe, family, some, course.seed)))]
            sheet(drawn, f"{course.recipe}, stage {number}, step {step}").save(place)
            progress(Event(f"stage {number}", step, stage.plan.steps, preview=place))

    for parameter in stage.parameters.values():
        parameter.requires_grad_(True)
    try:
        with sparing(family, share.checkpointing):
            outcome = fit(
                lambda call: stage.loss(*share.part(call, state.process_index)),
                stage.parameters,
                replace(stage.plan, accumulate=share.calls),
                folder=folder,
                stage=f"stage {number}",
                progress=_logged(course, stage, number, progress) if state.is_main_process else silent,
                every={recipe.preview_every: preview} if recipe.preview_every and state.is_main_process else {},
            )
    except KeyboardInterrupt as stop:
        stop.add_note("the same command goes on from here")
        raise
    finally:
        for parameter in stage.parameters.values():
            parameter.requires_grad_(False)
    _fill(stage, outcome.average)
    if state.is_main_process:
        kept = {name: p.detach().cpu().contiguous() for name, p in stage.parameters.items()}
        write_atomic(result, write_tensors(kept))
    state.wait_for_everyone()
    if state.is_main_process:
        shutil.rmtree(folder, ignore_errors=True)
    last = outcome.losses[-max(1, len(outcome.losses) // 10) :]
    return {"loss": sum(last) / len(last) if last else None}


def _result(course: Course, number: int) -> Path:
    return course.work / f"stage-{number}.safetensors"


def _shares(course: Course, recipe: Recipe, family: Family, standing: bool, state: Any) -> dict[int, Share | None]:
    """How each stage's pictures are divided, as the first process sees its memory; None where a stage is not run.

    As before where a stage goes on, since sums depend on it to the bit. `standing`: the family was given as what an
    earlier stage leaves.
    """
    from accelerate.utils import broadcast_object_list

    found: dict[int, Share | None] = {}
    for number, stage in wanted(course, recipe.stages(family, Nothing(), course.seed)):
        path = course.work / f"stage-{number}.json"
        if course.stage not in (None, number) and not _result(course, number).is_file():
            if not standing:
                raise Wrong(f"stage {course.stage} goes on from stage {number}, which {course.out} lacks: run it first")
            found[number] = None
        elif state.is_main_process:
            then = Share(**json.loads(path.read_text())) if path.is_file() else None
            same = then and then.processes == course.processes and course.batch in (None, then.batch)
            found[number] = then if then and same else shared(course, recipe, family, stage)[0]
    told = [found]
    broadcast_object_list(told)
    return told[0]


def _fill(stage: Stage, values: Mapping[str, Tensor]) -> None:
    with torch.no_grad():
        for name, value in values.items():
            stage.parameters[name].copy_(value)


def _entered(
    course: Course, recipe: Recipe, family: Family, digest: str, shares: Mapping[int, Share | None], progress: Progress
) -> Encoded:
    """The encoded pictures, and beside them what this folder is for; what is wrong leaves nothing behind."""
    standing = [place for place in (course.out, course.work) if place.exists()]
    _enter(course, recipe, digest)
    try:
        for number, share in shares.items():
            if share:
                write_atomic(course.work / f"stage-{number}.json", json.dumps(asdict(share)))
        rows = encode(
            family, recipe.adds, course.data, filters(course, recipe), course.work / "pictures",
            seen_at=recipe.seen_at(family), progress=progress,
        )  # fmt: skip
        if recipe.captions and not rows.captions:
            raise uncaptioned(course.recipe)
    except Wrong:
        for place in (course.work, course.out):
            if place not in standing:
                shutil.rmtree(place, ignore_errors=True)
        raise
    return rows


def _waited(course: Course) -> Encoded:
    """What the first process encodes: a barrier would give up on hours of it."""
    while not (course.work / "pictures" / MANIFEST).is_file():
        time.sleep(0.2)
    return Encoded(course.work / "pictures")


def _enter(course: Course, recipe: Recipe, digest: str) -> None:
    """Note what this folder is for; `Wrong` if it was begun for something else."""
    path = course.work / "request.json"
    now = {"recipe": course.recipe, "family": digest, "data": course.data, "dedup": course.dedup, "seed": course.seed}
    now |= {"options": asdict(recipe)}  # type: ignore[call-overload]
    if path.is_file():
        then = json.loads(path.read_text())
        other = [k for k, value in now.items() if then.get(k) != value]
        if other:
            raise Wrong(f"{course.out} was begun with another {' and '.join(other)}: name a new folder with -o")
    write_atomic(path, json.dumps(now, indent=1))


def _logged(course: Course, stage: Stage, number: int, progress: Progress) -> Progress:
    """The progress, which writes each step as a line of JSON; lines past the checkpoint that is gone on from go."""
    path, began = course.work / "log.jsonl", time.monotonic()
    lines: list[str] | None = None

    def tell(event: Event) -> None:
        nonlocal lines
        if event.loss is None:
            return progress(event)
        if lines is None:
            lines = path.read_text().splitlines() if path.is_file() else []
            before = [line for line in lines if _before(json.loads(line), number, event.step)]
            write_atomic(path, "".join(f"{line}\n" for line in before))
        row = {"stage": number, "step": event.step, "loss": event.loss, "rate": stage.plan.rate(event.step - 1)}
        row |= {"pictures": event.step * stage.batch, "seconds": round(time.monotonic() - began, 2)}
        with path.open("a") as file:
            file.write(json.dumps(row) + "\n")
        progress(event)

    return tell


def _before(row: Document, number: int, step: int) -> bool:
    return (row["stage"], row["step"]) < (number, step)


def _write(recipe: Recipe, family: Family, course: Course) -> None:
    """The model's folder, its index last; of a control its configuration."""
    place = course.work / "model"
    shutil.rmtree(place, ignore_errors=True)
    recipe.write(replace(family, name=course.out.name), place)
    for part in sorted(place.iterdir(), key=lambda p: p.name in LAST):
        target = course.out / part.name
        if target.is_dir():
            shutil.rmtree(target)
        part.replace(target)
    place.rmdir()
