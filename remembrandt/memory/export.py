"""A model as plain weights: its base with one concept merged in, for tools that know no gate."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from remembrandt.adapters.wear import merge
from remembrandt.family import load as families
from remembrandt.family.family import Family
from remembrandt.memory import identifiers
from remembrandt.memory.library import Concept, Library
from remembrandt.settings import Wrong

FILE = "model.safetensors"


def single_file(family: Family, folder: Path) -> Path:
    """One checkpoint under `folder`."""
    return families.save_single_file(family, folder / FILE)


KINDS: dict[str, Callable[[Family, Path], Path]] = {
    "diffusers": families.save,
    "single-file": single_file,
}


def chosen(library: Library, word: str | None) -> Concept | None:
    """The concept that goes into the weights: the one that is named, or the only one."""
    if word is not None:
        return library.find(word)
    if len(library.concepts) > 1:
        known = ", ".join(c.identifier for c in library.concepts)
        raise Wrong(f"one concept can go into the weights: name it with --concept ({known})")
    return library.concepts[0] if library.concepts else None


def bake(family: Family, library: Library, concept: Concept) -> str:
    """Merge a concept into a family of one's own; returns the word that now calls it up.

    The trained row takes the place of a word's: the identifier's own if that is one token, else a
    rare word's. So the tokenizer stays what every tool knows.
    """
    if concept.folder is None:
        return concept.identifier
    adapter = library.adapter(concept)
    if adapter.rows is not None and len(adapter.rows) > 1:
        raise Wrong(f"{concept.identifier} has {len(adapter.rows)} embedding rows; a word has one")
    merge(family.unet, adapter)
    if adapter.rows is None:
        return concept.identifier
    word, number = _word(family, concept.identifier)
    with torch.no_grad():
        table = family.text_encoder.get_input_embeddings().weight
        assert isinstance(table, torch.Tensor)
        table[number] = adapter.rows[0].to(table)
    return word


def _word(family: Family, identifier: str) -> tuple[str, int]:
    known = identifiers.vocabulary(family.tokenizer)
    rare = (identifier, *identifiers.candidates(family.tokenizer), "q", "z", "x")
    word = next((w for w in rare if w in known), None)
    if word is None:
        raise Wrong("the base's vocabulary has no rare word that could call the concept up")
    return word, known[word]
