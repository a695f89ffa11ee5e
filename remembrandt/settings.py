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


class Missing(Wrong):
    """There is no such thing, or it is another user's, which is the same."""


class Denied(Wrong):
    """It is there, and this user may not do that with it."""


class Full(Wrong):
    """It would be more than this user, or the disk, has room for."""


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
    #: Names of the users who may teach models of scope `meta`; "everyone" is all of them.
    meta_teachers: tuple[str, ...] = ("everyone",)
    photo_days: float | None = None  # how long photos are kept; None: until their concept is deleted
    quota: int = 2_000_000_000  # bytes of uploads and pictures that a user may keep
    share: float = 1.0  # of the time, for training while a server paints on the same device

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
        own = {
            "meta_teachers": tuple((told("REMEMBRANDT_META_TEACHERS") or "everyone").replace(",", " ").split()),
            "photo_days": _number("REMEMBRANDT_PHOTO_DAYS", 1e-6, 1e6),
            "quota": int(_number("REMEMBRANDT_QUOTA", 0, 2**60) or cls.quota),
            "share": _number("REMEMBRANDT_SHARE", 0.01, 1) or cls.share,
        }
        return cls(place, device, precision, **own)


def _number(name: str, least: float, most: float) -> float | None:
    given = os.environ.get(name)
    if not given:
        return None
    try:
        number = float(given)
    except ValueError:
        raise Wrong(f"{name} must be a number, not {given!r}") from None
    if not least <= number <= most:
        raise Wrong(f"{name} must be from {least:g} to {most:g}, not {given}")
    return number


settings = Settings.read
