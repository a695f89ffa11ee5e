"""The retention of a model as a heat map, and its versions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remembrandt.ui import markup

Document = Mapping[str, Any]


def report(model: Document, versions: list[Document], kept: Mapping[int, Document]) -> str:
    """Concepts down, the lessons that led to the present version across: what was left of each after each."""
    line = ancestry(versions)
    columns = [v["version"] for v in line]
    rows = []
    for concept in model["concepts"]:
        cells = "".join(cell(left(model["memory"], concept, number, kept)) for number in columns)
        rows.append(f'<tr><th scope="row">{markup.text(concept["name"] or concept["identifier"])}</th>{cells}</tr>')
    head = "".join(f'<th scope="col">{number}</th>' for number in columns)
    worst = line[-1]["worst_retention"] if line else None
    said = {
        "gated": "Gated: each thing has its own weights, and what is known is painted again to the bit.",
        "replay": "Replay: one set of weights for all; every lesson is measured before it counts.",
    }.get(model["memory"], "")
    least = "" if worst is None else f" After the last lesson {worst:.0%} is left at the least."
    acts = [markup.button("Measure anew", "measure", model=model["name"])]
    if len(line) > 1 or (line and line[0]["parent"]):
        acts.append(markup.button("Roll back", "rollback", model=model["name"]))
    return (
        f"<h2>What is left of it</h2><p>{markup.text(said + least)}</p>"
        f'<div class="scroll" tabindex="0" role="group" aria-label="Retention after each version">'
        f'<table class="heat"><tr><th scope="col">version</th>{head}</tr>{"".join(rows)}</table></div>'
        f'<div class="acts">{"".join(acts)}</div>'
    )


def ancestry(versions: list[Document]) -> list[Document]:
    """The versions that led to the present one, oldest first."""
    numbered = {v["version"]: v for v in versions}
    found, now = [], next((v for v in versions if v["present"]), None)
    while now is not None:
        found.insert(0, now)
        now = numbered.get(now["parent"])
    return found


def left(memory: str | None, concept: Document, version: int, kept: Mapping[int, Document]) -> float | None:
    """How much of a concept is there in a version (1: as it was learned); None: not there, or not measured."""
    if version < concept["lesson"]:
        return None
    if memory == "gated":
        return 1.0
    own, now = (
        kept.get(k, {}).get("concepts", {}).get(concept["id"], {}).get("fidelity") for k in (concept["lesson"], version)
    )
    return None if own is None or now is None else max(0.0, min(1.0, now / own)) if own > 0 else None


def cell(share: float | None) -> str:
    if share is None:
        return '<td class="none"><span class="hidden">not there</span></td>'
    return f'<td style="--left:{share:.2f}">{share:.0%}</td>'


def ended(did: str, job: Document) -> str:
    """What a job came to, as markup."""
    result = job.get("result") or {}
    files = f'<a class="act" href="/jobs/{job["id"]}/files" download>Save the files</a>'
    if did == "measure":
        rows = "; ".join(
            f"{row['name'] or row['identifier']} {row['retention']:.0%}"
            for row in result.get("concepts", [])
            if row.get("retention") is not None
        )
        return f"Measured: {markup.text(rows or 'nothing can be measured without photos')}. {files}"
    return f"Done. {files}" if did == "export" else "Done."
