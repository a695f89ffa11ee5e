"""Forgetting where weights are shared: all other concepts are taught anew, as they were, into a draft.

The draft is a model of its own until it is whole: stopped anywhere, the same command goes on with it. Then its weights
become the next version of the model, in one transaction, and the version before stays for `models rollback`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from remembrandt.jobs import entering, painters, promoting
from remembrandt.jobs.files import Files, Home, move, remove, size
from remembrandt.jobs.orders import Wish
from remembrandt.jobs.process import alive
from remembrandt.jobs.runner import Runner, Stopped
from remembrandt.settings import Wrong
from remembrandt.store import lineage
from remembrandt.store.rows import Concept, Job, Model
from remembrandt.store.store import Store, new_id

Document = dict[str, Any]


def forget(
    store: Store,
    home: Home,
    held: Model,
    concept: Concept,
    teach: Callable[[Wish], Document],
    resume: Callable[[str], Document],
) -> Document:
    """The receipt; with `retention.published` false if a lesson of the rebuilding was refused, and all is as it was."""
    rest = [c for c in store.concepts(held) if c.id != concept.id]
    _whole(rest, home)
    name = f"{held.name[:40]}.without-{concept.identifier}"
    told = {"model": held.name, "was": held.version, "concept": concept.id, "identifier": concept.identifier}
    for lesson in _lessons(store, home, held, rest, name, teach, resume):
        if not lesson["retention"]["published"]:
            lineage.drop(store, _named(store, name), alive)
            return {**told, "version": held.version, "retention": lesson["retention"]}
    made = _adopted(store, home, held, concept, rest, name) if rest else lineage.without(store, held, concept, alive)
    kept = {k: made.retention.get(k) for k in ("mean", "worst", "published")}
    facts = {"rebuilt": [c.identifier for c in rest], "bytes": size([home.path / made.weights] if made.weights else [])}
    return {**told, "version": made.number, **facts, "retention": kept, "undo": f"models rollback {held.name}"}


def job(store: Store, home: Home, load: Callable[..., Any], asked: Job, runner: Runner) -> Document:
    """The work of a `forget` job: the lessons are jobs of their own, which `runner` runs. Begun again, it goes on.

    With `erase` nothing keeps the concept after it, no version to go back to either.
    """
    from remembrandt.jobs import consolidating, orders

    request = asked.request
    held = painters.taught(store, request["model"])
    concept = next((c for c in lineage.everything(store)[2] if c.id == request["concept"]), None)
    if concept is None:
        return {"model": held.name, "version": held.version, "retention": {"published": True}}

    def family(source: Any) -> Any:
        return load(source, request["device"], request["precision"])

    def resume(key: str) -> Document:
        try:
            return runner.run(key)
        except Stopped:
            if part := store.job(key):
                store.finish(part, "interrupted")
            raise

    def teach(wish: Wish) -> Document:
        order = orders.lesson(wish, store, family, home.path)
        return resume(entering.lesson(order, store, Files(home, new_id(), load)))

    if concept.id not in {c.id for c in store.concepts(held)}:  # all that is left is to erase it
        told = {"model": held.name, "version": held.version, "retention": {"published": True}}
    elif held.memory == "consolidated":
        made_by = lineage.lessons(store, held)[-1].request
        how = {"values": made_by["options"], "seed": made_by["seed"], "margin": made_by["margin"]}
        made = consolidating.order(store, family, home.path, made_by["source"]["model"], held.name, **how)
        told = resume(entering.making(*made, store, Files(home, new_id(), load)))
    else:
        told = forget(store, home, held, concept, teach, resume)
    if request.get("erase") and told["retention"]["published"]:
        places = lineage.expunge(store, painters.taught(store, held.name), concept, alive)
        remove(home.path / place for place in places)
    return told


def _whole(rest: list[Concept], home: Home) -> None:
    for concept in rest:
        if not concept.photos or not all((home.photos / f"{address}.png").is_file() for address in concept.photos):
            raise Wrong(f"the photos of {concept.identifier!r} are gone: without them it cannot be taught anew")


def _lessons(store, home, held, rest, name, teach, resume):
    """The lessons that the draft still lacks, one by one, each with what it told."""
    draft = store.model(name)
    if draft and {c.identifier for c in store.concepts(draft)} - {c.identifier for c in rest}:
        lineage.drop(store, draft, alive)  # of another day: it holds what the model has not
        draft = None
    for job in [j for j in lineage.unfinished(store) if draft and j.model == draft.id]:
        yield resume(job.id)
    draft = store.model(name)
    known = {c.identifier for c in store.concepts(draft)} if draft else set()
    for concept in rest:
        if concept.identifier not in known:
            yield teach(promoting.again(concept, held, name, store, home, held.scope))


def _adopted(store: Store, home: Home, held: Model, gone: Concept, rest: list[Concept], name: str):
    """The draft's last version as the model's own: the same rows of concepts, with what was measured of them now."""
    draft = _named(store, name)
    versions = store.versions(draft.id)
    last = next(v for v in versions if v.number == draft.version)
    own = {c.identifier: c.id for c in rest}
    ids = {c.id: own[c.identifier] for c in store.concepts(draft)}
    samples = home.job(last.job) / "samples"
    for new, old in ids.items():
        move(samples / new, samples / old)
    docs = {ids[key]: doc for key, doc in last.retention["concepts"].items()}
    kept = {**last.retention, "concepts": docs, "forgot": gone.identifier}
    made = lineage.adopt(store, held, draft, list(own.values()), last, kept, alive)
    remove(home.path / v.weights for v in versions if v.weights and v.weights != made.weights)
    return made


def _named(store: Store, name: str) -> Model:
    draft = store.model(name)
    assert draft is not None
    return draft
