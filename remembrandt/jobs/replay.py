"""What a replay lesson trains beside its photos: planned with the order, gathered when the lesson begins."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from remembrandt.family.family import Family
from remembrandt.jobs.files import Files, read
from remembrandt.memory import harm, measuring, policies
from remembrandt.memory.library import Concept
from remembrandt.report import Progress, silent
from remembrandt.settings import Wrong
from remembrandt.store import rows
from remembrandt.training import class_images, examples
from remembrandt.training.examples import Example

CLASS_IMAGES = 64  # of a category, where the method does not say
Document = dict[str, Any]


def plan(
    policy: str | None,
    category: str,
    older: Sequence[rows.Concept],
    versions: Sequence[rows.Version],
    options: Mapping[str, Any],
    number: int,
) -> Document:
    """The policy's split of lesson `number`, with all that the priors are made of and harm is judged by. JSON.

    `versions` led to the present one, oldest first: the newest word on a concept is what is known of it.
    """
    told = {key: doc for version in versions for key, doc in version.retention.get("concepts", {}).items()}
    fading = {c.id: told[c.id].get("fading", 0.0) for c in older if c.id in told}
    known: dict[str, list[str]] = {}
    for concept in older:
        known.setdefault(concept.category.lower(), []).append(concept.id)
    name = policy or next(iter(policies.POLICIES))
    draws = options["steps"] * options["batch"] * options.get("gradient_accumulation", 1) // 2
    images = options["steps"] if name == "big" else max(1, draws)  # BIG takes one prior image a step
    split = policies.policy(name)(known, category.lower(), images, fading, number)
    return {
        "policy": name,
        "draws": draws,
        "total": split.total,
        "class": split.classes,
        "class_prompts": {c.category.lower(): c.facts["class_prompt"] for c in older},
        "past": {
            c.id: {"count": split.concepts[c.id], "photos": c.photos, "known": told.get(c.id)}
            | {k: c.facts.get(k) for k in ("prompts", "told", "masks")}
            for c in older
        },
    }


def prompted(plan: Document, category: str, prompt: str) -> Document:
    """The plan, with the class prompt of the new concept's category."""
    return {**plan, "class_prompts": {**plan["class_prompts"], category.lower(): prompt}}


def priors(family: Family, request: Document, files: Files, progress: Progress) -> list[Example]:
    """Class images and past photos; each slot weighs what the policy gave it, and one without pictures drops out."""
    found, plan = [], request["replay"]
    own, most = request["concept"]["category"].lower(), request["options"].get("num_class_images", CLASS_IMAGES)
    for category, count in plan["class"].items():
        squares = files.squares("class") if category == own else []
        prompt = plan["class_prompts"][category]
        wanted = min(most, math.ceil(plan["draws"] * count / max(1, plan["total"])))
        if count and wanted and not squares:
            base, place = _base(family, request, files), files.home.class_pictures
            squares = class_images.paint(base, prompt, wanted, place, progress=progress)
        if count and squares:
            found += examples.encode(family, squares, [prompt], kind="class", weight=count)
    for row in plan["past"].values():
        if row["count"]:
            found += _past(family, row, files, progress)
    return found


def _base(family: Family, request: Document, files: Files) -> Family:
    """Who paints the classes: the base, so that what has drifted is never taught as the class."""
    if not request["weights"]:
        return family
    place: str | Path = files.home.path / request["base"]["folder"]
    return files.load(place, request["device"], request["precision"], own=True)


def _past(family: Family, row: Document, files: Files, progress: Progress) -> list[Example]:
    """The real photos of a concept, as they were taught, but for the one that it is measured on; where they were
    deleted, what the model paints for it.
    """

    def place(address: str) -> Path:
        return files.home.photos / f"{address}.png"

    told = row.get("told") or [row["prompts"]] * len(row["photos"])
    masks = [read(place(a))[..., 0] if place(a).is_file() else None for a in row.get("masks") or ()]
    rows = zip(row["photos"], told, masks or [None] * len(told), strict=True)
    kept = [(read(place(a)), said, mask) for a, said, mask in rows if place(a).is_file()]
    if len(kept) == len(row["photos"]):
        kept = kept[: len(measuring.taught([square for square, *_ in kept]))]
    if kept:
        how = {"kind": "past", "weight": row["count"] / len(kept)}
        return [e for square, said, mask in kept for e in examples.encode(family, [square], said, masks=[mask], **how)]
    count = min(CLASS_IMAGES, row["count"])
    squares = class_images.paint(family, row["prompts"][0], count, files.home.class_pictures, progress=progress)
    return examples.encode(family, squares, row["prompts"], kind="past", weight=row["count"])


def judge(request: Document, files: Files, weights: Path, progress: Progress = silent) -> Document:
    """What a lesson that left `weights` did to the concepts that were there, by the weights before and after."""
    load = lambda place: files.load(place, request["device"], request["precision"], own=True)  # noqa: E731
    was = files.home.path / request["weights"]
    if not was.is_dir():
        raise Wrong("the version before that lesson was cleaned away, so nothing can be judged: teach anew")
    before, after = load(was), load(weights)
    past = [_judged(Concept(**{**row, "folder": None}), request, files) for row in request["older"]]
    return harm.judge(before, after, past, request["margin"], files.folder / "samples", progress)


def _judged(concept: Concept, request: Document, files: Files) -> harm.Past:
    """Measured on the photos that it was measured on before; where one is gone, not at all."""
    past = request["replay"]["past"][concept.id]
    places = [files.home.photos / f"{address}.png" for address in past["photos"]]
    shades = [files.home.photos / f"{address}.png" for address in past.get("masks") or ()]
    whole = all(place.is_file() for place in (*places, *shades))
    photos, masks = ([read(place) for place in some] if whole else [] for some in (places, shades))
    subject = measuring.Subject(concept, past["prompts"][0], photos, [mask[..., 0] for mask in masks])
    return harm.Past(subject, past["known"])
