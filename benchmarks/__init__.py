"""One command a figure. What every result file says of where it was made stands here, and imports no torch."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import sys
import time
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

from remembrandt import __version__
from remembrandt.report import write_atomic

PACKAGES = ("torch", "diffusers", "transformers")


class Enough(SystemExit):
    """The minutes that were given are over; where nobody minds, the command ends."""


@dataclass
class Clock:
    """How long a command runs already and may run, and of its pieces which are to come and what their like took."""

    began: float = 0.0
    until: float = math.inf
    pieces: Sequence[Path] = ()
    took: dict[str, list[float]] = field(default_factory=dict)
    within: int = 0  # a piece may be made of others

    def start(self, minutes: float | None) -> None:
        self.began, self.pieces, self.took = time.monotonic(), (), {}
        self.until = math.inf if minutes is None else self.began + 60 * minutes

    def timed(self, path: Path, make: Callable[[], Any]) -> Any:
        """What `make` makes; `Enough` if it is too late to begin."""
        now = time.monotonic()
        if not self.within and now > self.until:
            raise Enough
        self.within += 1
        try:
            made = make()
        finally:
            self.within -= 1
        if not self.within:
            seconds = time.monotonic() - now
            for kind in _kinds(path):
                self.took.setdefault(kind, []).append(seconds)
            ran, left = (time.monotonic() - self.began) / 60, self.left(path) / 60
            say(f"{path.parent.name}/{path.stem}: {seconds:.0f} s, {ran:.1f} min so far, about {left:.0f} min left")
        return made

    def left(self, but: Path) -> float:
        """Seconds that the pieces to come will take, as what is nearest of kind took."""
        waiting = [path for path in self.pieces if path != but and not path.is_file()]
        return sum(mean(next(self.took[k] for k in _kinds(path) if k in self.took)) for path in waiting)


CLOCK = Clock()


def _kinds(path: Path) -> list[str]:
    """What a piece is like, nearest first: its place and name without numbers, its name, any."""
    place, name = (re.sub(r"\d+", "#", str(p)) for p in (path.with_suffix(""), path.stem))
    return [place, name, ""]


@contextmanager
def pieces(some: Sequence[Path] = ()) -> Iterator[None]:
    """Inside, `once` says how long all these pieces will take, and ends it when the time is over."""
    CLOCK.pieces = some
    try:
        yield
    except Enough:
        say("the time is over: the same command goes on here")


def arguments(about: str | None, name: str) -> ArgumentParser:
    """What the long benchmarks can be told."""
    parser = ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.formatter_class = RawDescriptionHelpFormatter
    sizes = parser.add_mutually_exclusive_group()
    for size, what in {"full": "more of everything, for a night", "tiny": "seconds, to see that it runs"}.items():
        sizes.add_argument(f"--{size}", action="store_const", const=size, dest="size", default="usual", help=what)
    parser.add_argument("--base", default="pocket", help="the family that is taught: pocket, or a folder like it")
    parser.add_argument("--work", type=Path, default=Path(".benchmarks"), help="where finished pieces are kept")
    parser.add_argument("--minutes", type=float, help="begin nothing new after so many; the same command goes on")
    parser.add_argument("-o", "--out", type=Path, help=f"the result; benchmarks/{name}.json")
    return parser


def places(asked: Namespace, name: str, digest: str) -> tuple[Path, Path]:
    """The folder of finished pieces, one for each size and base, and the file of the result; the clock starts."""
    CLOCK.start(asked.minutes)
    work = (asked.work / name / f"{asked.size}-{digest[:8]}").absolute()
    plain = work if asked.size == "tiny" else Path("benchmarks")  # where published figures lie
    return work, asked.out or plain / f"{name}.json"


def once(path: Path, make: Callable[[], Any]) -> Any:
    """The JSON in `path`, made the first time: what is finished is not done again."""
    if not path.is_file():
        write_atomic(path, json.dumps(plain(CLOCK.timed(path, make)), indent=1))
    return json.loads(path.read_text())


def plain(found: Any) -> Any:
    """As JSON has it: four digits, what is no number None."""
    if isinstance(found, dict):
        return {str(k): plain(v) for k, v in found.items()}
    if isinstance(found, list | tuple):
        return [plain(v) for v in found]
    if hasattr(found, "tolist"):
        return plain(found.tolist())
    if isinstance(found, float):
        return float(f"{found:.4g}") if math.isfinite(found) else None
    return found


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def surroundings(**hardware) -> dict:
    """Commit, versions and hardware: all that a figure depends on and the code does not say."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    common = {"device": processor(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
    return {
        "commit": git.stdout.strip() or None,
        "versions": {
            "python": platform.python_version(),
            "remembrandt": __version__,
            **{p: version(p) for p in PACKAGES},
        },
        "hardware": common | hardware,
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
