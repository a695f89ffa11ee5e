"""What this process was told from outside, and the one error that is the user's to mend."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

DEVICES = ("cuda", "mps", "cpu")


class Wrong(ValueError):
    """What the user gave is wrong: one line that says what and how to mend it. Exit code 2."""

    def __init__(self, message: object) -> None:
        super().__init__(" ".join(str(message).split()))  # what libraries said may hold line breaks


def nearest(word: str, options: Iterable[str]) -> str:
    """ " Did you mean 'x'?" for the option most like `word`, "" if none is like it."""
    known = {option.lower(): option for option in options}
    found = get_close_matches(word.lower(), known, n=1, cutoff=0.6)
    return f" Did you mean {known[found[0]]!r}?" if found else ""


@dataclass(frozen=True)
class Settings:
    """Where everything lives and what it runs on; None is chosen by the family's loader."""

    home: Path
    device: str | None = None
    precision: str | None = None

    @classmethod
    def read(
        cls,
        home: str | os.PathLike | None = None,
        device: str | None = None,
        precision: str | None = None,
    ) -> Settings:
        """What is given, else `REMEMBRANDT_HOME`, `_DEVICE`, `_PRECISION`, else ~/.remembrandt."""
        told = os.environ.get
        place = Path(home or told("REMEMBRANDT_HOME") or "~/.remembrandt").expanduser().absolute()
        if place.exists() and not place.is_dir():
            raise Wrong(f"the home {place} is a file: give a folder with --home")
        device, precision = (
            given or told(name) or None
            for given, name in (
                (device, "REMEMBRANDT_DEVICE"),
                (precision, "REMEMBRANDT_PRECISION"),
            )
        )
        return cls(place, device, precision)


settings = Settings.read
