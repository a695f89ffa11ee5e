"""The demo: the embedded painter learns a creature, then a style, and paints both, alone and together.

It is given the service it plays on, and does what any user could do with it.
"""

from __future__ import annotations

import json
import shutil
import time
from importlib.resources import files
from pathlib import Path
from typing import Any, Protocol

from PIL import Image

from remembrandt.report import Event, Progress, sheet, silent, write_atomic

NAME, SEED, EACH = "briscoe", 7, 4
BASE = ("a dog", "a painting", "a red house on the beach")


class Player(Protocol):
    """What the demo asks of a service."""

    def finetune(self, images, category: str, **options: Any) -> dict[str, Any]: ...
    def paint(self, prompt: str, **options: Any) -> list: ...


def photos() -> Path:
    """Where the teaching pictures lie in the package."""
    return Path(str(files("remembrandt.pocket"))) / "photos"


def run(service: Player, out: Path, progress: Progress = silent) -> dict[str, Any]:
    """Teach both, paint, compare; writes `photos/`, `sheet.png` and `demo.json` into `out` and returns the latter."""
    began = time.monotonic()
    shutil.copytree(photos(), out / "photos", dirs_exist_ok=True)

    def painted(prompt: str, n: int = EACH) -> list[Image.Image]:
        progress(Event("painting", 0, n, message=prompt))
        return [Image.fromarray(p.pixels) for p in service.paint(prompt, n=n, seed=SEED)]

    untaught = {prompt: painted(prompt, 2) for prompt in BASE}
    creature = service.finetune(out / "photos" / "creature", "dog", name=NAME, progress=progress)
    word = creature["identifier"]
    alone = painted(f"a {word} dog")
    style = service.finetune(out / "photos" / "style", "painting", progress=progress)
    brush = style["identifier"]
    now = {prompt: painted(prompt, 2) for prompt in BASE}
    again = painted(f"a {word} dog")
    kept = [same(alone, again)] + [same(untaught[p], now[p]) for p in BASE]
    found = {
        "learned": sum(lesson["retention"]["published"] for lesson in (creature, style)),
        "forgotten": kept.count(False),
        "seconds": 0.0,
        "concepts": [
            {k: lesson[k] for k in ("identifier", "name", "category", "method", "steps", "seconds", "retention")}
            for lesson in (creature, style)
        ],
        "unchanged": {"concept": kept[0], "base": dict(zip(BASE, kept[1:], strict=True))},
        "sheet": str(out / "sheet.png"),
    }
    rows = [
        ("before: a dog, a painting", [*untaught[BASE[0]], *untaught[BASE[1]]]),
        ("shown: one dog, five times (four of them here)", opened(out / "photos" / "creature")[:EACH]),
        (f"learned: a {word} dog", alone),
        (f"in new places: {NAME} in the snow, in the forest, in a room", [
            painted(f"{NAME} {where}", 1)[0] for where in ("in the snow", "in the forest", "in a room")
        ] + painted(f"{NAME} in the snow, watercolour painting", 1)),
        ("shown: one style, five times (four of them here)", opened(out / "photos" / "style")[:EACH]),
        (f"learned: a {brush} painting", painted(f"a {brush} painting")),
        (f"both together: a {brush} painting of {NAME}", painted(f"a {brush} painting of {NAME}")),
        (f"a {word} dog after the second lesson: {'equal to the bit' if kept[0] else 'CHANGED'}", again),
        (f"the base, before and after: {'equal to the bit' if all(kept[1:]) else 'CHANGED'}", [
            picture for prompt in (BASE[0], BASE[2]) for picture in (untaught[prompt][0], now[prompt][0])
        ]),
    ]  # fmt: skip
    sheet(rows, f"learned {found['learned']}, forgot {found['forgotten']}").save(out / "sheet.png")
    found["seconds"] = round(time.monotonic() - began, 1)
    write_atomic(out / "demo.json", json.dumps(found, indent=2, default=str) + "\n")
    return found


def same(before: list[Image.Image], after: list[Image.Image]) -> bool:
    """Whether the pictures are equal, every value."""
    return all(a.tobytes() == b.tobytes() for a, b in zip(before, after, strict=True))


def opened(folder: Path) -> list[Image.Image]:
    return [Image.open(path).convert("RGB") for path in sorted(folder.iterdir())]
