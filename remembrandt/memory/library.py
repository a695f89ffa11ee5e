"""The library: a model's concepts, and how a prompt calls them up.

The gate (design.md, idea 5): a concept's adapter and embedding rows take part in a request only if
its prompt names the concept, by identifier or by name. Nothing else reads them. An imported LoRA is
called as other tools do: `<lora:name:0.8>`, which is taken out of the prompt.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from remembrandt.adapters import adapter as adapters
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import By, Worn
from remembrandt.conditions import text
from remembrandt.engine import compose
from remembrandt.settings import Wrong, nearest

STYLES = ("painting", "drawing", "style", "watercolour", "cartoon", "sketch", "illustration", "print")


def is_style(category: str) -> bool:
    """Whether a category names a way of painting, not a thing."""
    return category.split()[-1].lower() in STYLES
TAG = re.compile(r"\s*<lora:([^:<>]+)(?::([^<>]*))?>\s*", re.IGNORECASE)


@dataclass(frozen=True)
class Concept:
    """What a model knows by `identifier` (and `name`); `folder` holds its adapter if any."""

    id: str
    identifier: str
    category: str
    name: str | None = None
    folder: Path | None = None

    @property
    def style(self) -> bool:
        """Whether it is a way of painting, not a thing."""
        return is_style(self.category)


@dataclass(frozen=True, eq=False)
class Called:
    """A prompt as it is painted, what its picture wears, and how what it wears acts together."""

    prompt: str
    negative: str
    words: Mapping[str, Tensor]
    wears: tuple[Worn, ...]
    concepts: tuple[Concept, ...]
    composition: str = compose.SUMMED


@dataclass(frozen=True, eq=False)
class Library:
    """Concepts on one base. Adapters are read when first called up, and checked against `base`.

    `loras` is the folder of those that were imported, by name; they fit any base of their shapes. `composition` is a
    key of `compose.WAYS`, for prompts that name several concepts; one alone is painted as it always was. `load` reads
    an adapter: whoever paints for many keeps them on a shelf.
    """

    concepts: Sequence[Concept] = ()
    base: str | None = None
    worn_by: By = "half"
    loras: Path | None = None
    composition: str = compose.DEFAULT
    load: Callable[..., tuple[Adapter, dict]] = adapters.load
    _read: dict[str, Adapter] = field(default_factory=dict)

    def call_up(
        self, prompt: str, negative: str = "", strengths: Mapping[str, float] | None = None
    ) -> Called:
        """Names become "identifier category"; what either prompt names is worn.

        `strengths`, by identifier or name, are 1 where nothing is said. `Wrong` if one of them
        belongs to no concept of the model or to none that is named.
        """
        guests = [*self._guests(prompt), *self._guests(negative)]
        prompt, negative = (self.spelled(TAG.sub(" ", p).strip() if TAG.search(p) else p) for p in (prompt, negative))
        words = {c.identifier: c for c in self.concepts}
        named = text.named(prompt, words) | text.named(negative, words)
        concepts = tuple(c for c in self.concepts if c.identifier in named)
        weights = self._strengths(strengths or {}, concepts)
        worn = [(c, self.adapter(c), weights.get(c.identifier, 1.0)) for c in concepts if c.folder is not None]
        wears = [Worn(a, w, self.worn_by, (c.identifier, c.category), c.style) for c, a, w in worn]
        rows = {c.identifier: a.called(w) for c, a, w in worn}
        taught = {word: row for word, row in rows.items() if row is not None}
        moving = [a for _, a, _ in worn if a.tensors]  # words alone disturb nobody
        way = self.composition if len(moving) > 1 else compose.SUMMED
        return Called(prompt, negative, taught, (*wears, *guests), concepts, way)

    def spelled(self, prompt: str) -> str:
        """The prompt with each name written as its concept's identifier and category."""
        for concept in self.concepts:
            if concept.name:
                name, category = re.escape(concept.name), re.escape(concept.category)
                full = f"{concept.identifier} {concept.category}"
                pattern = rf"(?<!\w){name}(?!\w)(\s+{category}(?!\w))?"
                prompt = re.sub(pattern, lambda _, full=full: full, prompt, flags=re.IGNORECASE)
        return prompt

    def find(self, word: str) -> Concept:
        """The concept of that identifier or name."""
        known = {k.lower(): c for c in self.concepts for k in (c.identifier, c.name) if k}
        if word.lower() not in known:
            hint = nearest(word, list(known)) if known else " The model was taught nothing yet."
            raise Wrong(f"the model knows no concept {word!r}.{hint}")
        return known[word.lower()]

    def adapter(self, concept: Concept) -> Adapter:
        """What was taught, read once."""
        assert concept.folder is not None
        if concept.id not in self._read:
            self._read[concept.id] = self.load(concept.folder, base=self.base)[0]
        return self._read[concept.id]

    def _guests(self, prompt: str) -> list[Worn]:
        """The imported LoRAs that a prompt calls."""
        return [Worn(self._guest(name), _weight(name, said)) for name, said in TAG.findall(prompt)]

    def _guest(self, name: str) -> Adapter:
        known = {p.parent.name.lower(): p.parent for p in self.loras.glob("[!.]*/manifest.json")} if self.loras else {}
        folder = known.get(name.strip().lower())
        if folder is None:
            hint = nearest(name, known) or " `models import FILE` brings one."
            raise Wrong(f"there is no imported LoRA {name!r}.{hint}")
        key = f"<lora:{folder.name}>"
        if key not in self._read:
            self._read[key] = self.load(folder)[0]
        return self._read[key]

    def _strengths(self, asked: Mapping[str, float], named: Sequence[Concept]) -> dict[str, float]:
        found = {self.find(word).identifier: weight for word, weight in asked.items()}
        idle = [word for word in found if word not in {c.identifier for c in named}]
        if idle:
            raise Wrong(f"the prompt does not name {idle[0]!r}, whose strength is given")
        return found


def _weight(name: str, said: str) -> float:
    try:
        return float(said or 1)
    except ValueError:
        raise Wrong(f"<lora:{name}:{said}> must hold one number, such as <lora:{name}:0.8>") from None
