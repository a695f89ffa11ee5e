"""`train`: a recipe from the command to a model's folder, in one process or in several of them."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

from remembrandt.family.device import choose_device, choose_precision, training_precision
from remembrandt.family.load import load
from remembrandt.jobs.adding import NAME
from remembrandt.jobs.files import Home
from remembrandt.report import Progress
from remembrandt.settings import Settings, Wrong
from remembrandt.training import train
from remembrandt.training.course import Course, foreseen

Document = dict[str, Any]


def run(settings: Settings, source: str, course: Course, dry_run: bool, progress: Progress) -> Document:
    """Train, or say what it would take. `source` is any family; several processes are begun here."""
    course.checked()
    begun = int(os.environ.get("WORLD_SIZE", 1))
    if course.processes > 1 and begun == 1 and not dry_run:
        return launched(settings, source, course)
    device = choose_device(settings.device)
    if begun > 1 and device.type == "cuda" and device.index is None:
        device = choose_device(f"cuda:{os.environ.get('LOCAL_RANK', 0)}")
    precision = training_precision(device, settings.precision or choose_precision(device))
    family = load(source, device=str(device), precision=precision)
    return foreseen(course, family) if dry_run else train.train(course, family, progress)


def launched(settings: Settings, source: str, course: Course) -> Document:
    """The same command in as many processes, as accelerate or torchrun would begin them; the first one's document."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    words = [sys.executable, "-m", "remembrandt", "train", source, course.recipe, "--json", *_words(settings, course)]
    begun = []
    for rank in range(course.processes):
        told = {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(course.processes)}
        out = subprocess.DEVNULL if rank else subprocess.PIPE
        begun.append(subprocess.Popen(words, env={**os.environ, **meeting, **told}, stdout=out))
    try:
        said = begun[0].communicate()[0]
        codes = [process.wait() for process in begun[1:]] if not begun[0].returncode else []
    except KeyboardInterrupt:  # which they have heard as well
        for process in begun:
            process.wait()
        raise
    finally:
        for process in begun:
            process.kill()
    if any([begun[0].returncode, *codes]):
        raise Wrong(f"one of {course.processes} processes ended before its time; what it said stands above")
    return json.loads(said)


def _words(settings: Settings, course: Course) -> list[str]:
    told = {
        "home": settings.home, "device": settings.device, "precision": settings.precision, "data": course.data,
        "out": course.out, "preset": course.preset, "stage": course.stage, "gpus": course.processes,
        "batch": course.batch, "seed": course.seed,
    }  # fmt: skip
    words = [word for name, value in told.items() if value is not None for word in (f"--{name}", str(value))]
    words += [word for name, value in (course.options or {}).items() for word in ("--set", f"{name}={value}")]
    return [*words, "--dedup"] if course.dedup else words


def asked(
    recipe: str, data: str | Path, out: str | Path | None, name: str | None, home: Home, **more: Any
) -> Course:
    """What is asked for, its paths absolute; without `out` the folder is named after the recipe.

    A control has a `name` instead, by which it is painted with.
    """
    source = str(data) if "{" in str(data) else str(Path(data).expanduser().absolute())
    if name is not None and (recipe != "controlnet" or out is not None or not NAME.fullmatch(name)):
        raise Wrong("--name is of plain letters, digits, '-' and '.', of the recipe controlnet, and in the place of -o")
    place = home.controls / name if name else Path(out or recipe)
    return Course(recipe, source, place.expanduser().absolute(), **more)
