"""Options written once: dataclass fields with help and limits, read by CLI, API and docs."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar, get_type_hints

from remembrandt.settings import Wrong, nearest

T = TypeVar("T")


def option(default: Any, help: str, *, low: float | None = None, high: float | None = None) -> Any:
    """A dataclass field that the user may set; numbers lie in [low, high]."""
    return dataclasses.field(default=default, metadata={"help": help, "low": low, "high": high})


# What any method may have; `methods.learn` sees to them.
ACCUMULATION = partial(option, 1, "batches that one step takes together", low=1, high=1024)
CHECKPOINTING = partial(option, False, "less memory for more time, the same weights")


def describe(kind: type) -> list[dict]:
    """`{name, type, default, help, low, high}` of every option of a dataclass."""
    hints = get_type_hints(kind)
    return [
        {"name": f.name, "type": hints[f.name].__name__, "default": f.default, **f.metadata}
        for f in dataclasses.fields(kind)
    ]


def build(kind: type[T], values: Mapping[str, Any]) -> T:
    """An instance with `values` (or text as typed) over the defaults; `Wrong` names the faulty."""
    rows = {row["name"]: row for row in describe(kind)}
    for name in values:
        if name not in rows:
            hint = nearest(name, list(rows))
            raise Wrong(f"there is no option {name!r}.{hint} Options: {', '.join(rows)}")
    return kind(**{name: _read(rows[name], value) for name, value in values.items()})


def _read(row: dict, value: Any) -> Any:
    name, low, high = row["name"], row["low"], row["high"]
    try:
        if row["type"] == "bool":
            return _TRUTH[str(value).lower()]
        if row["type"] == "str":
            return str(value)
        number = float(value)
        if row["type"] == "int":
            if number != int(number):
                raise ValueError
            number = int(number)
    except (KeyError, TypeError, ValueError, OverflowError):  # over HTTP a value may be any JSON
        raise Wrong(f"{name} must be {_NOUN[row['type']]}, not {value!r}") from None
    if not (low is None or number >= low) or not (high is None or number <= high):
        raise Wrong(f"{name} must be {_span(low, high)}, not {value}")
    return number


_TRUTH = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_NOUN = {"bool": "true or false", "int": "a whole number", "float": "a number", "str": "a word"}


def _span(low: float | None, high: float | None) -> str:
    if high is None:
        return f"at least {low:g}"
    return f"at most {high:g}" if low is None else f"from {low:g} to {high:g}"
