"""The pictures of docs/tasks.md, painted by the commands that stand there.

    python -m benchmarks.gallery [--page docs/tasks.md] [--demo demo] [SECTION...]

Each section's commands run in a home made for it; its pictures, with what they were given, become
`docs/pictures/SECTION.png`. `--demo` is what `make demo` leaves; without it the photos of the package do.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import shutil
import tempfile
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from PIL import Image

from remembrandt.report import sheet

PAGE = Path("docs/tasks.md")
MANY = 4  # pictures side by side


@dataclass(frozen=True)
class Section:
    """`name` is that of its picture; `code` runs before its commands."""

    name: str
    title: str
    code: str
    commands: list[list[str]]


def sections(page: str) -> list[Section]:
    """The parts of a page that hold commands."""
    found = []
    for part in re.split(r"^## ", page, flags=re.MULTILINE)[1:]:
        title = part.splitlines()[0]
        blocks = {k: re.findall(rf"^```{k}\n(.*?)^```", part, re.MULTILINE | re.DOTALL) for k in ("python", "sh")}
        lines = [line for block in blocks["sh"] for line in block.splitlines() if line.startswith("remembrandt ")]
        commands = [shlex.split(line, comments=True)[1:] for line in lines]
        if commands:
            found.append(Section(title.lower().replace(" ", "-"), title, "".join(blocks["python"]), commands))
    return found


def document(words: list[str]) -> dict[str, Any]:
    """What a command prints with `--json`."""
    from remembrandt.cli import app

    told = io.StringIO()
    with contextlib.redirect_stdout(told):
        try:
            app([*words, "--json"])
        except SystemExit as done:
            if done.code:
                raise RuntimeError(f"{' '.join(words)} ended with {done.code}") from None
    return json.loads(told.getvalue())


def drawn(section: Section) -> Image.Image:
    """The section's pictures after the photo or photos that its commands were given."""
    exec(section.code)
    found = [document(words) for words in section.commands]
    if "sheet" in found[0]:
        return Image.open(found[0]["sheet"])
    given = dict.fromkeys(word for words in section.commands for word in words if Path(word).is_file())
    pictures: list[Any] = [*given, *(image["path"] for told in found for image in told["images"])]
    rows = [("", pictures[k : k + MANY]) for k in range(0, len(pictures), MANY)]
    captions = [[*(["given"] * len(given))], *([] for _ in rows[1:])]
    said = [" ".join(["remembrandt", *map(shlex.quote, words)]) for words in section.commands]
    return sheet(rows, foot="   ".join(said), captions=captions, cell=200)


@contextlib.contextmanager
def workshop(demo: Path | None) -> Iterator[Path]:
    """A folder that holds the demo's photos, to be in while it lasts, with a home of its own."""
    photos = demo / "photos" if demo else Path(str(files("remembrandt.pocket"))) / "photos"
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(photos, Path(folder) / "demo" / "photos")
        os.environ["REMEMBRANDT_HOME"] = str(Path(folder) / "home")
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def main() -> None:
    parser = ArgumentParser(prog="python -m benchmarks.gallery", description=__doc__)
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument("sections", nargs="*")
    parser.add_argument("--page", type=Path, default=PAGE)
    parser.add_argument("--demo", type=Path)
    asked = parser.parse_args()
    out = asked.page.parent.absolute() / "pictures"
    out.mkdir(exist_ok=True)
    known = sections(asked.page.read_text())
    with workshop(asked.demo and asked.demo.absolute()):
        for section in known:
            if not asked.sections or section.name in asked.sections:
                drawn(section).save(out / f"{section.name}.png")
                print(f"{section.name}.png")


if __name__ == "__main__":
    main()
