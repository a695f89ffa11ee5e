"""Jobs as Replicate tells them, and inputs as its clients send them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remembrandt.api.files import when
from remembrandt.api.replicate import number_mark
from remembrandt.settings import Wrong
from remembrandt.store.rows import ENDED, Job
from remembrandt.store.store import Store

STATUS = {"queued": "starting", "running": "processing", "interrupted": "processing"}
Document = dict[str, Any]


def shape(store: Store, row: Job) -> Document:
    """A job as Replicate tells it; a webhook's body is the same."""
    about = (row.webhook or {}).get("replicate", {})
    kind, host, result = about.get("kind"), about.get("base", ""), row.result or {}
    destination = about.get("destination")
    output: Any = None
    if kind == "prediction" and row.state == "succeeded":
        output = [host + image["url"] for image in result["images"]]
    if kind == "training" and row.state == "succeeded":
        held = next((m for m in store.models() if m.id == row.model), None)
        if held is not None:
            output = {"version": f"{destination}:{number_mark(held, result['version'])}", "weights": None}
    seconds = (row.finished or 0) - (row.started or 0) if row.finished and row.started else None
    return {
        "id": row.id,
        "model": destination or row.request.get("model"),
        "version": about.get("version"),
        "destination": destination,
        "status": STATUS.get(row.state, row.state),
        "input": about.get("input"),
        "output": output,
        "logs": logs(row),
        "error": row.error if row.state in ENDED else None,
        "metrics": {} if seconds is None else {"predict_time": round(seconds, 3)},
        "created_at": when(row.created),
        "started_at": when(row.started),
        "completed_at": when(row.finished),
        "urls": {"get": f"{host}/v1/{kind}s/{row.id}", "cancel": f"{host}/v1/{kind}s/{row.id}/cancel"},
        "notes": about.get("notes"),
        "webhook_completed": (row.webhook or {}).get("url"),
    }


def logs(row: Job) -> str:
    """Progress as tqdm writes it: the client reads it out of the text."""
    if not row.total:
        return ""
    share = min(row.step / row.total, 1)
    bar = ("█" * round(10 * share)).ljust(10)
    return f"{row.stage or ''}\n{round(100 * share)}%|{bar}| {row.step}/{row.total}\n"


def text(given: Mapping[str, Any], name: str) -> str | None:
    found = given.get(name)
    if found is None or found == "":
        return None
    if not isinstance(found, str) or len(found) > 32000 or found != found.encode(errors="replace").decode():
        raise Wrong(f"{name} must be text")
    return found


def whole(given: Mapping[str, Any], name: str) -> int | None:
    found = real(given, name)
    if found is not None and found != int(found):
        raise Wrong(f"{name} must be a whole number, not {given[name]!r}")
    return None if found is None else int(found)


def real(given: Mapping[str, Any], name: str) -> float | None:
    """A number, which clients also send as text."""
    found = given.get(name)
    if found in (None, ""):
        return None
    try:
        number = float(found)
    except (TypeError, ValueError):
        raise Wrong(f"{name} must be a number, not {found!r}") from None
    if not abs(number) < 1e18:
        raise Wrong(f"{name} must be a number, not {found!r}")
    return number
