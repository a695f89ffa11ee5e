"""From a user's wish to a job's request: every check of a lesson, before anything is written.

A request is JSON and complete: resumed after an upgrade or in another process, it says the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from remembrandt.conditions import text
from remembrandt.evaluation.captions import brought
from remembrandt.family.device import training_precision
from remembrandt.family.family import Family
from remembrandt.jobs import captioning, permissions, replay
from remembrandt.jobs.painters import MINE, MODEL_NAME, RESERVED, known, spelled, text_to_image
from remembrandt.memory import identifiers, ladder, policies, retention
from remembrandt.settings import Missing, Wrong, nearest
from remembrandt.store import lineage
from remembrandt.store.rows import Concept, Model
from remembrandt.store.store import Store, new_id
from remembrandt.training import cost, methods, photos

SCOPES = ("private", "private_meta", "meta")
MEMORIES = ("gated", "replay", "consolidated")
CATEGORY = re.compile(r"[^\W_]+([ '-][^\W_]+){0,5}")
Document = dict[str, Any]


@dataclass(frozen=True)
class Wish:
    """A lesson as a user asks for it; None where nothing was said."""

    images: Any
    category: str
    name: str | None = None
    model: str | None = None
    base: str | None = None
    scope: str | None = None
    memory: str | None = None
    method: str | None = None
    identifier: str | None = None
    class_images: Any = None
    instance_prompt: str | None = None
    class_prompt: str | None = None
    seed: int = 0
    options: Mapping[str, Any] | None = None
    policy: str | None = None
    margin: float = retention.MARGIN
    captioner: str | None = None
    masks: Any = None  # a folder, or files in the order of the photos
    told: Sequence[Sequence[str]] | None = None  # the prompts of each photo, instead of the texts beside them
    ladder: bool = False  # whether it chooses its own number of steps


@dataclass(frozen=True)
class Order:
    """A checked lesson: the model's row, its squares and their masks, `compose(used) -> (word, request)`."""

    model: Model
    squares: list[np.ndarray]
    masks: list[np.ndarray]
    class_squares: list[np.ndarray]
    compose: Callable[[set[str]], tuple[str, Document]]


def lesson(
    wish: Wish, store: Store, load: Callable[[str | Path], Family], home: Path, days: float | None = None
) -> Order:
    """Check a wish against the home and the base; `Wrong` at the first misfit. Photos are kept for `days`."""
    category, wish = _category(wish.category), _named(wish, store, home)
    held, model, method_name = _model(wish, store)
    if not 0 <= wish.seed < 2**63:
        raise Wrong(f"seed must be a whole number from 0 to 2**63 - 1, not {wish.seed}")
    if not 0 < wish.margin <= retention.LOOSEST:
        raise Wrong(f"--margin must be above 0 and at most {retention.LOOSEST:g}, not {wish.margin:g}")
    methods.method(method_name, wish.options or {})  # a slip of the pen, before weights are read
    family = text_to_image(load(_source(held, wish, home)))
    method = methods.method(method_name, wish.options or {}, family)
    prepared = photos.prepare(wish.images, family.record.size)
    masks = photos.masks(wish.masks, prepared) if wish.masks else []
    said = wish.captioner or (None if wish.instance_prompt else brought(family))
    plain = wish.instance_prompt or f"a {{identifier}} {category}"
    told = wish.told or captioning.captions(prepared, said, category, plain, family, method_name)
    beside = _class_squares(wish, model.memory, method_name, family)
    older = store.concepts(held) if held else []
    version = store.version(held.id, held.version) if held else None
    versions = lineage.ancestry(store, held) if held else []
    used = store.used(held.id) if held else set()
    base = held.base if held and held.version else _base(family, wish.base or "pocket")
    options = asdict(method)  # type: ignore[call-overload]
    priced = cost.count(family, methods.moved(method))
    options = cost.fitted(options, priced, wish.options or {}, 1 if method.added else 2)
    rungs = ladder.steps(options["steps"], category) if wish.ladder else []
    about = {
        "model": model.name,
        "version": model.version,
        "scope": model.scope,
        "memory": model.memory,
        "worn_by": model.worn_by,
        "base": base,
        "weights": version and version.weights,
        "older": [known(c) for c in older],
        "number": model.version + 1,
        "method": method_name,
        "options": {**options, "steps": rungs[-1]} if rungs else options,
        "rungs": rungs,
        "seed": wish.seed,
        "margin": wish.margin,
        "device": str(family.device),
        "precision": training_precision(family.device, family.precision),
        "threads": torch.get_num_threads(),
        "names": list(prepared.names),
        "warnings": [*prepared.hints, *permissions.fading(model.memory, days)],
    }
    if model.memory == "replay":
        about["replay"] = replay.plan(wish.policy, category, older, versions, about["options"], about["number"])
    compose = _composer(wish, category, family, older, about, told)
    compose(used)
    row = Model(model.id, model.name, model.scope, model.memory, base, model.worn_by, model.version)
    return Order(row, prepared.squares, masks, beside, compose)


def _category(category: str) -> str:
    category = " ".join(category.split())
    if not CATEGORY.fullmatch(category):
        raise Wrong(f"category {category!r} must be a plain word or two, for example dog")
    return category


def _model(wish: Wish, store: Store) -> tuple[Model | None, Model, str]:
    """The model as it is, if it is, and as this lesson would make it; and the lesson's method."""
    shared = "meta" if wish.scope == "meta" and store.owner else MINE
    name = wish.model or (_own_name(wish, store) if wish.scope == "private" else shared)
    if name in RESERVED:
        raise Wrong(f"{name!r} is the base itself and stays as it is: leave --model out, or name one")
    if not MODEL_NAME.fullmatch(name):
        raise Wrong(f"model name {name!r} must be letters, digits, '-', '_' and '.', 64 at most")
    held = store.model(name)
    taught = held if held and held.version else None
    scope = wish.scope or (taught.scope if taught else "private_meta")
    if scope not in SCOPES:
        raise Wrong(f"there is no scope {scope!r}.{nearest(scope, SCOPES)} {_list(SCOPES)}")
    memory, method = _pair(wish, taught)
    if taught:
        _same(wish, taught, scope, memory)
    worn_by = taught.worn_by if taught else Model.worn_by
    version = taught.version if taught else 0
    return held, Model(held.id if held else "", name, scope, memory, {}, worn_by, version), method


def _own_name(wish: Wish, store: Store) -> str:
    stem = re.sub(r"[^A-Za-z0-9]+", "-", wish.name or wish.identifier or wish.category).strip("-")
    taken = {m.name for m in store.models()} | {*RESERVED, MINE}
    stem = stem or "model"
    numbered = (f"{stem}-{k}" if k > 1 else stem for k in range(1, len(taken) + 2))
    return next(n for n in numbered if n not in taken)


def _pair(wish: Wish, taught: Model | None) -> tuple[str, str]:
    """Memory and method of the lesson: what is named, else the model's own, else what goes with the other."""
    if wish.memory is not None and wish.memory not in MEMORIES:
        hint = nearest(wish.memory, MEMORIES)
        raise Wrong(f"there is no memory {wish.memory!r}.{hint} {_list(MEMORIES)}")
    memory = wish.memory or (taught.memory if taught else methods.method(wish.method or "oft", {}).memories[0])
    if memory == "consolidated":
        raise Wrong("a consolidated model is not taught: teach its gated source, then consolidate")
    fitting = [name for name in methods.METHODS if memory in methods.method(name, {}).memories]
    method = wish.method or ("dreambooth" if memory == "replay" else "oft")
    if wish.method is not None:
        methods.method(method, {})  # there may be none of that name
    if method not in fitting:
        elsewhere = f", or another --model than {taught.name}" if taught and not wish.memory else ""
        take = f"take --method {' or '.join(fitting)}{elsewhere}"
        raise Wrong(f"method {method!r} does not suit memory {memory!r}: {take}")
    return memory, method


def _same(wish: Wish, held: Model, scope: str, memory: str) -> None:
    """A model keeps its base, scope and memory; a private one holds one concept."""
    other = "another --model NAME makes a new one"
    if held.scope == "private":
        raise Wrong(f"{held.name} is private and holds its one concept: {other}")
    if scope != held.scope:
        raise Wrong(f"{held.name} has scope {held.scope!r}, not {scope!r}: {other}")
    if memory != held.memory:
        raise Wrong(f"{held.name} has memory {held.memory!r}, not {memory!r}: {other}")
    own = [held.base[k] for k in ("source", "name", "revision", "digest")]
    if wish.base is not None and wish.base not in own and spelled(wish.base) not in own:
        raise Wrong(f"{held.name} stands on {held.base['name']} and keeps it: {other}")


def _source(held: Model | None, wish: Wish, home: Path) -> str | Path:
    if held and held.version:
        return home / held.base["folder"]
    return wish.base or "pocket"


def _named(wish: Wish, store: Store, home: Path) -> Wish:
    """The wish with the base that a name of `families add` stands for; users of a server give only such names."""
    added, base = store.families(), wish.base or "pocket"
    if base in added:
        return replace(wish, base=added[base])
    kept = Path(base).resolve().is_relative_to((home / "bases").resolve())  # as a promotion calls it
    if store.owner and base != "pocket" and not kept:
        raise Missing(f"there is no base {base!r} here: `families list` names those that are")
    return wish


def _base(family: Family, base: str) -> Document:
    about = {"name": family.name, "revision": family.revision, "digest": family.digest}
    return {"source": spelled(base), **about, "folder": None}


def _class_squares(wish: Wish, memory: str, method: str, family: Family) -> list[np.ndarray]:
    idle = {"--class-images": wish.class_images, "--class-prompt": wish.class_prompt, "--policy": wish.policy}
    if memory != "replay":
        for option in (name for name, given in idle.items() if given is not None):
            raise Wrong(f"method {method!r} with memory {memory!r} trains no class images: leave {option} out")
    if wish.policy is not None:
        policies.policy(wish.policy)
    if wish.class_images is None:
        return []
    return list(photos.prepare(wish.class_images, family.record.size).squares)


def _composer(
    wish: Wish,
    category: str,
    family: Family,
    older: Sequence[Concept],
    about: Document,
    told: Sequence[Sequence[str]],
) -> Callable[[set[str]], tuple[str, Document]]:
    tokenizer, key = family.tokenizer, new_id()
    names = {c.name for c in older if c.name}
    # A category calls its concepts up beside their identifiers: as a name it would call up this one too.
    names |= {word for c in (*(o.category for o in older), category) for word in c.lower().split()}

    def compose(used: set[str]) -> tuple[str, Document]:
        if wish.identifier is None:
            word = identifiers.choose(tokenizer, used | names, len(used))
        else:
            rare = about["memory"] == "replay"  # on a frozen text encoder: else it is an added token
            word = identifiers.check(wish.identifier, tokenizer, used, names, rare=rare)
        name = wish.name and identifiers.check_name(wish.name, tokenizer, used | names | {word})
        concept = {"id": key, "identifier": word, "category": category, "name": name}
        prompts = {
            "prompts": [_instance(wish.instance_prompt, word, category)],
            "class_prompt": wish.class_prompt or f"a {category}",
        }
        if text.named(prompts["class_prompt"], {word}):
            raise Wrong(f"the class prompt must not name the identifier {word!r}")
        if any(told):
            free = lambda some: [captioning.prompt(c, word, category, about["method"]) for c in some]  # noqa: E731
            prompts["told"] = [free(some) or prompts["prompts"] for some in told]
        if "replay" in about:
            prompts["replay"] = replay.prompted(about["replay"], category, prompts["class_prompt"])
        return word, {**about, **prompts, "concept": concept}

    return compose


def _instance(prompt: str | None, word: str, category: str) -> str:
    if prompt is None:
        return f"a {word} {category}"
    prompt = prompt.replace("{identifier}", word)
    if not text.named(prompt, {word}):
        raise Wrong(
            f"the instance prompt {prompt!r} must hold the identifier {word!r}:"
            " write {identifier} where it belongs, or give --identifier"
        )
    return prompt


def _list(options: Sequence[str]) -> str:
    return "There are " + ", ".join(options) + "."
