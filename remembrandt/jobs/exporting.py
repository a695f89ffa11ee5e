"""A model in the form that other tools take, with its card where it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from remembrandt.jobs import cards, painters, work
from remembrandt.jobs.files import Home
from remembrandt.memory import export
from remembrandt.report import write_atomic
from remembrandt.settings import Wrong, nearest
from remembrandt.store.store import Store

Document = dict[str, Any]


def check(to: str, rank: int | None) -> None:
    """`Wrong` if there is no such export, or it takes no rank."""
    if to not in export.KINDS:
        hint = nearest(to, export.KINDS)
        raise Wrong(f"there is no export {to!r}.{hint} Exports: {', '.join(export.KINDS)}")
    if to != "lora" and rank is not None:
        raise Wrong("--rank is for --to lora: leave it out")
    if rank is not None and rank < 1:
        raise Wrong(f"--rank must be at least 1, not {rank}")


def write(
    store: Store, home: Home, name: str, to: str, target: Path, concept: str | None = None, rank: int | None = None
) -> Document:
    """Export `name` into the new or empty folder `target`."""
    from remembrandt.family.load import load

    request = painters.painter(store, name)
    known = work.library(request, home)
    chosen = export.chosen(known, concept, whole=bool(request["weights"]))
    family = load(work.standing(request, home), device="cpu", precision="fp32")
    about = {"model": request["model"], "version": request["version"], "base": family.name}
    found = export.export(to, export.Wanted(family, known, chosen, target, rank), about)
    if request["weights"] and chosen is None and (held := store.model(name)):
        write_atomic(target / "README.md", cards.card(store, held, found))
    return found
