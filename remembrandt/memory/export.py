"""A concept for tools that know no gate: merged into plain weights, as a LoRA, or as an embedding.

Each kind of export is a function of what is `Wanted` and a row of `KINDS`. Beside what it writes lies a manifest: what
it is, which word calls it up, which file is which, and whose licences travel with it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as write_tensors
from torch import Tensor
from transformers import AddedToken

from remembrandt import __version__
from remembrandt.adapters import keys, lora
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.lora import DOWN, UP
from remembrandt.adapters.wear import KINDS as WAYS
from remembrandt.adapters.wear import Worn, merge, prepared
from remembrandt.family import load as families
from remembrandt.family.family import Family
from remembrandt.memory import identifiers
from remembrandt.memory.library import Concept, Library
from remembrandt.report import write_atomic
from remembrandt.settings import Wrong

FILE, MANIFEST = "model.safetensors", "manifest.json"
RANK = 64
Document = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Wanted:
    """A concept of a library (None: the bare base), on a family of one's own, to a new folder.

    `rank` bounds a LoRA's.
    """

    family: Family
    library: Library
    concept: Concept | None
    folder: Path
    rank: int | None = None

    @property
    def adapter(self) -> Adapter:
        """What was taught; `Wrong` where the lesson moved all weights or there was none."""
        if self.concept is None or self.concept.folder is None:
            raise Wrong("there is no adapter to export: take --to diffusers or --to single-file")
        return self.library.adapter(self.concept)


def diffusers(wanted: Wanted) -> Document:
    """A folder in diffusers' format with the concept in its weights, or all of them, with words of their own."""
    trigger = bake(wanted) if wanted.concept else speak(wanted.family, wanted.library) or None
    return {"path": str(families.save(wanted.family, wanted.folder)), "trigger": trigger}


def single_file(wanted: Wanted) -> Document:
    """One checkpoint with the concept in its weights, or all of them; its tokenizer is the one that every tool has."""
    trigger = bake(wanted) if wanted.concept else settle(wanted.family, wanted.library) or None
    path = families.save_single_file(wanted.family, wanted.folder / FILE)
    return {"path": str(path), "trigger": trigger}


def low_rank(wanted: Wanted) -> Document:
    """A LoRA, and the embedding of its identifier in a second file.

    What is no LoRA becomes the nearest one; `error` is what it loses, relative to all that the adapter changes.
    """
    adapter, word = wanted.adapter, _identifier(wanted)
    tensors, error = _nearest(wanted.family, adapter, wanted.rank)
    files, trigger = {}, word
    if adapter.rows is not None:
        files[f"{word}.safetensors"] = write_tensors(_embedding(word, adapter.rows))
        trigger = f"<{word}>"
    rank = max(len(pair[DOWN]) for pair in tensors.values())
    header = {"ss_network_module": "networks.lora", "ss_network_dim": str(rank), "ss_network_alpha": str(rank)}
    header |= {"modelspec.trigger_phrase": trigger}
    path = wanted.folder / f"{word}-lora.safetensors"
    files[path.name] = write_tensors(keys.kohya(Adapter("lora", tensors)), metadata=header)
    written = _write(wanted.folder, files)
    return {"path": str(path), "rank": rank, "files": written, "error": error, "trigger": trigger}


def embedding(wanted: Wanted) -> Document:
    """The identifier's rows as textual inversion is shared: diffusers goes by the word inside, web UIs by the name."""
    adapter, word = wanted.adapter, _identifier(wanted)
    if adapter.rows is None:
        raise Wrong(f"{word} has no embedding of its own: take --to lora or --to diffusers")
    path = wanted.folder / f"{word}.safetensors"
    files = _write(wanted.folder, {path.name: write_tensors(_embedding(word, adapter.rows))})
    alone = {} if adapter.tensors == {} else {"warning": "the embedding is half of the concept: --to lora has the rest"}
    return {"path": str(path), "trigger": f"<{word}>", "vectors": len(adapter.rows), "files": files, **alone}


KINDS: dict[str, Callable[[Wanted], Document]] = {
    "diffusers": diffusers,
    "single-file": single_file,
    "lora": low_rank,
    "embedding": embedding,
}


def export(to: str, wanted: Wanted, about: Document) -> Document:
    """Write an export and its manifest; `about` (model, version, base) is told in both."""
    concept, licence = wanted.concept, _licence(wanted.family)
    named = {k: getattr(concept, k) for k in ("identifier", "name", "category")} if concept else {}
    found = {**about, "to": to, **KINDS[to](wanted), "concept": concept and concept.id, **named, "licence": licence}
    facts = found | {"base_digest": wanted.library.base, "remembrandt": __version__}
    kept = {k: v for k, v in facts.items() if k != "path"}
    write_atomic(wanted.folder / MANIFEST, json.dumps(kept, indent=1, sort_keys=True) + "\n")
    return found


def chosen(library: Library, word: str | None, *, whole: bool = False) -> Concept | None:
    """The concept that is exported: the one that is named, or the only one; None if the weights hold the `whole`."""
    if word is not None:
        return library.find(word)
    if whole:
        return None
    if len(library.concepts) > 1:
        known = ", ".join(c.identifier for c in library.concepts)
        raise Wrong(f"one concept can be exported: name it with --concept ({known})")
    return library.concepts[0] if library.concepts else None


def bake(wanted: Wanted) -> str:
    """Merge the concept into the weights; returns the words that now call it up.

    The trained rows take the places of words': the identifier's own if that is one token, else rare
    words'. So the tokenizer stays what every tool knows.
    """
    family, concept = wanted.family, wanted.concept
    assert concept is not None
    if concept.folder is None:
        return concept.identifier
    adapter = wanted.adapter
    merge(family.unet, adapter)
    if adapter.rows is None:
        return concept.identifier
    words = _words(family, concept.identifier, len(adapter.rows))
    known = identifiers.vocabulary(family.tokenizer)
    _place(family, {known[word]: row for word, row in zip(words, adapter.rows, strict=True)})
    return " ".join(words)


def settle(family: Family, library: Library) -> dict[str, str]:
    """Every concept's rows take the places of rare words: by identifier, the words that now call it up."""
    taught, found = _taught(library), {c.identifier: c.identifier for c in library.concepts}
    known = identifiers.vocabulary(family.tokenizer)
    for word, some in taught.items():
        others = {part for other, said in found.items() if other != word for part in said.split()}
        words = _words(family, word, len(some), others)
        _place(family, {known[each]: row for each, row in zip(words, some, strict=True)})
        found[word] = " ".join(words)
    return found


def speak(family: Family, library: Library) -> dict[str, str]:
    """Every concept's word becomes a token, as whole words are, with its row; further rows are `word_1`, `word_2`,
    which diffusers puts behind the word by itself.
    """
    taught = _taught(library)
    rows = {f"{w}_{k}" if k else w: row for w, some in taught.items() for k, row in enumerate(some)}
    tokenizer, known = family.tokenizer, identifiers.vocabulary(family.tokenizer)
    numbers: dict[str, Any] = {word: known[word] for word in rows if word in known and f"{word}_1" not in rows}
    added = [AddedToken(word, single_word=True, normalized=True) for word in rows if word not in numbers]
    if added:
        tokenizer.add_tokens(added)  # type: ignore[arg-type]
        family.text_encoder.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    numbers |= {str(token): tokenizer.convert_tokens_to_ids(str(token)) for token in added}
    _place(family, {numbers[word]: row for word, row in rows.items()})
    return {c.identifier: c.identifier for c in library.concepts}


def _taught(library: Library) -> dict[str, Tensor]:
    """The rows of the concepts that have any, by identifier."""
    found = {c.identifier: library.adapter(c).rows for c in library.concepts if c.folder}
    return {word: rows for word, rows in found.items() if rows is not None}


@torch.no_grad()
def _place(family: Family, rows: Mapping[int, Tensor]) -> None:
    """Rows into the text encoder's table, by token."""
    table = family.text_encoder.get_input_embeddings().weight
    assert isinstance(table, Tensor)
    for token, row in rows.items():
        table[token] = row.to(table)


def _nearest(family: Family, adapter: Adapter, rank: int | None) -> tuple[dict[str, dict[str, Tensor]], float]:
    """The adapter as low-rank pairs of at most `rank`, and the share of its change that they lose (Frobenius)."""
    if not adapter.tensors:
        raise Wrong("the concept is an embedding and changes no layer: take --to embedding")
    if adapter.kind == "lora" and (rank is None or all(len(p[DOWN]) <= rank for p in adapter.tensors.values())):
        return {n: dict(pair) for n, pair in adapter.tensors.items()}, 0.0
    found, lost, all_ = {}, 0.0, 0.0
    for layer, parts in prepared(family.unet, (Worn(adapter),))[adapter.kind].items():
        weight = family.unet.get_submodule(layer).weight
        assert isinstance(weight, Tensor)
        exact = weight.detach().double()
        change = WAYS[adapter.kind].merged(exact, *(p.double() for p in parts)) - exact
        found[layer] = lora.nearest(change, rank or RANK)
        lost += float((change - found[layer][UP].double() @ found[layer][DOWN].double()).square().sum())
        all_ += float(change.square().sum())
    return found, round((lost / all_) ** 0.5, 6) if all_ else 0.0


def _identifier(wanted: Wanted) -> str:
    assert wanted.concept is not None
    return wanted.concept.identifier


def _embedding(word: str, rows: Tensor) -> dict[str, Tensor]:
    """In angle brackets: a plain word may be in the tokenizer already, and diffusers then refuses it."""
    return {f"<{word}>": rows.detach().float().cpu().contiguous()}


def _words(family: Family, identifier: str, count: int, taken: Collection[str] = ()) -> list[str]:
    """So many rare words of the base's vocabulary, none of them `taken`, the identifier itself first if it is one."""
    known = identifiers.vocabulary(family.tokenizer)
    rare = dict.fromkeys((identifier, *identifiers.candidates(family.tokenizer), *"qzxjkvw"))
    words = [w for w in rare if w in known and w not in taken][:count]
    if len(words) < count:
        raise Wrong(f"the base's vocabulary has no {count} rare words that could call the concept up")
    return words


def _write(folder: Path, files: dict[str, bytes]) -> dict[str, str]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in sorted(files.items()):
        write_atomic(folder / name, data)
    return {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())}


def _licence(family: Family) -> dict[str, str]:
    """What is known of the licences that bind an export."""
    card = family.folder / "README.md" if family.folder and family.folder.is_dir() else None
    said = re.search(r"^license:\s*(\S+)", card.read_text(), re.MULTILINE) if card and card.is_file() else None
    own = "Apache-2.0" if family.name == "pocket" else "not recorded: see where the base came from"
    photos = "theirs who took them: publish what was taught from photos only as far as the photos' licence goes"
    return {"base": said[1] if said else own, "photos": photos}
