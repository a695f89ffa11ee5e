"""What a store knows of one model, as JSON: a child that computes from it never opens the database."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from remembrandt.store import lineage
from remembrandt.store.rows import Concept, Job, Model, Version
from remembrandt.store.store import Store

TOLD = ("concept", "source", "options", "seed")  # of the requests of its lessons
Document = dict[str, Any]


def of(store: Store, name: str) -> Document:
    """Everything about the model of that name that its report and its card need."""
    held = store.model(name)
    rows = lineage.lessons(store, held) if held else []
    requests = [{k: v for k, v in job.request.items() if k in TOLD} for job in rows]
    return {
        "owner": store.owner,
        "model": held and asdict(held),
        "versions": [asdict(v) for v in store.versions(held.id)] if held else [],
        "concepts": [asdict(c) for c in lineage.everything(store)[2] if c.model == held.id] if held else [],
        "jobs": [{"id": j.id, "kind": j.kind, "request": r} for j, r in zip(rows, requests, strict=True)],
        "families": store.families(),
    }


class Known:
    """A snapshot, read as a store is."""

    def __init__(self, told: Document) -> None:
        self.owner = ""  # whoever took the snapshot was allowed to
        self._told = told

    def models(self) -> list[Model]:
        return [Model(**self._told["model"])] if self._told["model"] else []

    def model(self, name: str) -> Model | None:
        return next((m for m in self.models() if m.name == name), None)

    def versions(self, model: str) -> list[Version]:
        return [Version(**row) for row in self._told["versions"] if row["model"] == model]

    def version(self, model: str, number: int) -> Version | None:
        return next((v for v in self.versions(model) if v.number == number), None)

    def concepts(self, model: Model) -> list[Concept]:
        version = self.version(model.id, model.version)
        known = {row["id"]: Concept(**row) for row in self._told["concepts"]}
        return [known[key] for key in version.concepts] if version else []

    def job(self, key: str) -> Job | None:
        found = next((row for row in self._told["jobs"] if row["id"] == key), None)
        return found and Job(found["id"], found["kind"], None, "succeeded", found["request"])

    def families(self) -> dict[str, str]:
        return self._told["families"]
