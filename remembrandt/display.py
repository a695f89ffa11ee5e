"""What the command line shows: progress on stderr, and in the end a table on stdout."""

from __future__ import annotations

import logging
import os
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.table import Table

from remembrandt.report import Event, Progress

WIDE = 400  # columns where stdout is no terminal: nothing is cut
PACE = 15.0  # seconds between two lines where stderr is no terminal


def quiet(verbose: bool, *, online: bool) -> None:
    """Silence libraries unless `verbose`, and keep them off the network unless `online`."""
    os.environ["HF_HUB_OFFLINE"] = "0" if online else "1"
    if verbose:
        return
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    silent = {"TRANSFORMERS_VERBOSITY": "error", "DIFFUSERS_VERBOSITY": "error"}
    silent |= {"HF_HUB_DISABLE_PROGRESS_BARS": "1", "TQDM_DISABLE": "1"}
    os.environ.update(silent | {"TOKENIZERS_PARALLELISM": "false"})


@contextmanager
def progress() -> Iterator[Progress]:
    """A bar with the time left; where stderr is no terminal, a line now and then."""
    if not sys.stderr.isatty():
        yield _lines()
        return
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description:>14}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[loss]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks: dict[str, Any] = {}

        def tell(event: Event) -> None:
            if event.message or event.preview:
                bars.console.print(event.message or f"preview: {event.preview}", highlight=False)
                return
            if event.stage not in tasks:
                tasks[event.stage] = bars.add_task(event.stage, loss="")
            loss = "" if event.loss is None else f"loss {event.loss:.4f}"
            bars.update(tasks[event.stage], completed=event.step, total=event.total, loss=loss)

        yield tell


def _lines() -> Progress:
    began: dict[str, float] = {}
    last = 0.0

    def tell(event: Event) -> None:
        nonlocal last
        now = time.monotonic()
        first = began.setdefault(event.stage, now)
        if event.message or event.preview:
            print(event.message or f"preview: {event.preview}", file=sys.stderr, flush=True)
        elif event.step >= event.total or now - last > PACE:
            last = now
            left = (now - first) / max(event.step, 1) * (event.total - event.step)
            loss = "" if event.loss is None else f", loss {event.loss:.4f}"
            rest = f", {left:.0f} s left" if event.step and left else ""
            said = f"{event.stage} {event.step}/{event.total}{loss}{rest}"
            print(said, file=sys.stderr, flush=True)

    return tell


def show(shown: Any) -> None:
    """Print text or a table on stdout."""
    if isinstance(shown, str):
        print(shown)
    elif shown is not None:
        Console(width=None if sys.stdout.isatty() else WIDE).print(shown)


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str], empty: str) -> Table | str:
    """The named fields of the documents, or what `empty` says where there are none."""
    if not rows:
        return empty
    made = Table(box=None, header_style="bold", pad_edge=False)
    for column in columns:
        made.add_column(column.replace("_", " "), no_wrap=column != columns[-1])
    for row in rows:
        made.add_row(*(cell(column, row.get(column)) for column in columns))
    return made


def facts(document: dict[str, Any]) -> str:
    """A document as lines of `field: value`, what is empty left out."""
    wide = max((len(k) for k in document), default=0)
    lines = []
    for key, value in document.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append(f"{key}:")
            lines += [
                "  " + ", ".join(f"{k} {cell(k, v)}" for k, v in row.items()) for row in value
            ]
        elif value not in (None, [], {}):
            lines.append(f"{key.ljust(wide)}  {cell(key, value)}")
    return "\n".join(lines)


def cell(field: str, value: Any) -> str:
    """A value as people read it."""
    if value is None:
        return "-"
    if field in ("created", "started", "finished", "consent", "time"):
        return datetime.fromtimestamp(value).strftime("%Y-%m-%d %H:%M")
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{k} {cell(k, v)}" for k, v in value.items())
    return str(value)


def lesson(found: dict[str, Any]) -> str:
    """What was learned, what is left of the rest, and how to paint it."""
    word, kept = found.get("identifier"), found.get("retention")
    if kept is None:
        return paths(found)
    if "concepts" in found:
        return consolidated(found)
    hints(found["warnings"])
    if not kept["published"]:
        return _refused(found, found["model"])
    if kept.get("unsure"):
        hints([f"{kept['pairs']} pairs do not tell if more than the margin was lost: {', '.join(kept['unsure'])}"])
    if kept.get("faded"):
        hints([f"lost more than the margin since its best, over all lessons: {', '.join(kept['faded'])}"])
    called = f" ({found['name']})" if found["name"] else ""
    model = "" if found["model"] == "mine" else f" --model {found['model']}"
    climbed = found.get("ladder")
    if climbed:
        print(f"{climbed['chosen']} steps: {climbed['why']}; drawn in {climbed['picture']}", file=sys.stderr)
    scene = "of a dog" if found["category"] == "painting" else "on the beach"
    return (
        f"learned {word} {found['category']}{called}: {found['model']}, version {found['version']},"
        f" {found['steps']} steps, {found['seconds']:.0f} s\n"
        f"retention of what was there: mean {kept['mean']:.3f}, worst {kept['worst']:.3f}\n"
        f'paint it: remembrandt generate "a {word} {found["category"]} {scene}"{model}'
    )


def _refused(found: dict[str, Any], model: str) -> str:
    print("remembrandt: not published:", found["retention"]["why"], file=sys.stderr)
    return f"{model} stays as it was (job {found['job']})"


def consolidated(found: dict[str, Any]) -> str:
    """What one set of weights keeps of its teachers, and how to take it elsewhere."""
    kept, words = found["retention"], [c["identifier"] for c in found["concepts"]]
    if not kept["published"]:
        return _refused(found, found["source"]["model"])
    mean, worst = ("-" if kept.get(k) is None else f"{kept[k]:.3f}" for k in ("mean", "worst"))
    return (
        f"{', '.join(words)} in one set of weights: {found['model']}, version {found['version']},"
        f" {found['steps']} steps, {found['seconds']:.0f} s\n"
        f"retention of the concepts: mean {mean}, worst {worst}\n"
        f"take it elsewhere: remembrandt models export {found['model']} --to diffusers -o {found['model']}"
    )


def paths(found: dict[str, Any]) -> str:
    """Where pictures lie."""
    return found.get("sheet") or "\n".join(image["path"] for image in found["images"] if image["path"])


def hints(some: Sequence[str]) -> None:
    """What one may want to know, on stderr."""
    for hint in some:
        print("hint:", hint, file=sys.stderr)
