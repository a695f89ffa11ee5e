"""Prompts of any length to tokens, with identifiers as embedding rows of their own.

The tokenizer is shared by all models of a family and never touched: a prompt is cut at the words
that its model was taught, what lies between is tokenised as ever, and the taught rows are laid into
the embedded sequence. So another model's `brc` is another row, and a prompt that names no taught
word gets the very tokens that the base gives it.

`(red:1.3)` makes words weigh more, `(red:0.5)` less: what their states differ by from those of an empty prompt is
multiplied (ComfyUI's way; to scale the states, and then all by their mean, is unstable where that is near 0). Brackets
without a number are brackets.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from remembrandt.adapters.wear import Outfit, Wardrobe
from remembrandt.family.family import Family
from remembrandt.settings import Wrong

Words = Mapping[str, Tensor]

Phrase = tuple[str, str]  # a concept's identifier and category
Places = dict[Phrase, list[int]]
CHUNK = 75  # tokens between start and end that the text encoder reads at once
BLANK = 0  # stands where a taught row goes; any token but the end
HEAVIEST = 5.0
BRACKET = re.compile(r"\(|:\s*(?P<weight>[+-]?(?:\d+\.?\d*|\.\d+))\s*\)|\)")
HANGING = re.compile(r":\s*[+-]?[\d.]+\s*$")


@dataclass
class Chunk:
    """Up to 75 tokens, what each weighs, and the taught rows that replace some of them, by position."""

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    rows: list[tuple[int, Tensor]] = field(default_factory=list)

    def add(self, unit: list[int | Tensor], weight: float) -> None:
        self.weights += [weight] * len(unit)
        for part in unit:
            if isinstance(part, Tensor):
                self.rows.append((len(self.ids), part))
            self.ids.append(BLANK if isinstance(part, Tensor) else part)


def named(prompt: str, identifiers: Iterable[str]) -> set[str]:
    """The identifiers that stand in the prompt as whole words, in whatever case."""
    known = {word.lower(): word for word in identifiers}
    found = _pattern(known).findall(prompt) if known else []
    return {known[word.lower()] for word in found}


def tokens_of(family: Family, prompt: str) -> list[str]:
    """The tokens of a prompt, as the vocabulary spells them."""
    return [str(t) for t in family.tokenizer.convert_ids_to_tokens(_ids(family, prompt))]


def encode(family: Family, prompts: Sequence[str], words: Words | None = None, outfit: Outfit = ()) -> Tensor:
    """Prompts to (n, 77 * chunks, D) in fp32, `words` (each (k, D)) spliced in where they stand.

    `outfit` is what the text encoder wears meanwhile.

    Prompts longer than 75 tokens take several chunks, the others are padded to as many with empty
    ones. Gradients flow into rows that want them. Each chunk is encoded by itself, so that a prompt
    means the same to the bit whatever it is encoded with.
    """
    cut = [
        _chunks((unit, weight) for text, weight in weighed(prompt) for unit in _units(family, text, words or {}))
        for prompt in prompts
    ]
    most = max((len(chunks) for chunks in cut), default=1)
    padded = [chunks + [Chunk()] * (most - len(chunks)) for chunks in cut]
    with Wardrobe(family.text_encoder, text=True)([outfit]):
        rows = [torch.cat([_encode(family, c) for c in chunks], 1) for chunks in padded]
    width = family.text_encoder.config.hidden_size
    return torch.cat(rows) if rows else torch.zeros(0, CHUNK + 2, width, device=family.device)


def places(family: Family, prompt: str, phrase: Phrase, words: Words | None = None) -> list[int]:
    """Where in `encode`'s sequence a concept's noun phrase stands: its identifier, and its category if that follows."""
    return _places(family, prompt, _own(phrase), words)


def plainly(family: Family, prompt: str, phrases: Collection[Phrase], words: Words | None = None) -> tuple[str, Places]:
    """The prompt with bare categories in place of these noun phrases, and where in its sequence each of them stands."""
    found = {}
    for phrase in phrases:
        marked = _own(phrase).sub(f"\0{phrase[1]}\0", _plain(prompt, (p for p in phrases if p != phrase)))
        found[phrase] = _places(family, marked, re.compile("\0(.*?)\0"), words)
    return _plain(prompt, phrases), found


def _plain(prompt: str, phrases: Iterable[Phrase]) -> str:
    for phrase in phrases:
        prompt = _own(phrase).sub(phrase[1], prompt)
    return prompt


def _own(phrase: Phrase) -> re.Pattern[str]:
    identifier, category = (re.escape(part) for part in phrase)
    return re.compile(rf"(?<!\w)({identifier}(?:\s+{category})?)(?!\w)", re.IGNORECASE)


def _places(family: Family, prompt: str, own: re.Pattern[str], words: Words | None) -> list[int]:
    found, chunk, used = [], 0, 0
    for k, part in enumerate(own.split("".join(part for part, _ in weighed(prompt)))):
        for unit in _units(family, part, words or {}):
            if used + len(unit) > CHUNK:
                chunk, used = chunk + 1, 0
            first = chunk * (CHUNK + 2) + 1 + used
            found += range(first, first + len(unit)) if k % 2 else ()
            used += len(unit)
    return found


def weighed(prompt: str) -> list[tuple[str, float]]:
    """A prompt cut where the weight changes; groups within groups multiply. `Wrong` where brackets lack their half."""
    levels: list[list[tuple[str, float]]] = [[]]
    at = 0
    for found in BRACKET.finditer(prompt):
        levels[-1].append((prompt[at : found.start()], 1.0))
        at = found.end()
        if found[0] == "(":
            levels.append([])
        elif found["weight"] is None:
            plain = [("(", 1.0), *levels.pop()] if len(levels) > 1 else []
            levels[-1] += [*plain, (")", 1.0)]
        elif len(levels) == 1:
            raise Wrong(f"the prompt has no bracket that opens before {found[0]!r}: a weight is (words:1.3)")
        elif not 0 <= (weight := float(found["weight"])) <= HEAVIEST:
            raise Wrong(f"a weight in brackets is from 0 to {HEAVIEST:g}, as in (words:1.3), not {weight:g}")
        else:
            inner = levels.pop()
            levels[-1] += [(text, own * weight) for text, own in inner]
    levels[-1].append((prompt[at:], 1.0))
    if len(levels) > 1 and HANGING.search(prompt):
        raise Wrong("the prompt has no bracket that closes after its last weight: (words:1.3)")
    flat = levels[0] + [piece for level in levels[1:] for piece in [("(", 1.0), *level]]
    alike = itertools.groupby((piece for piece in flat if piece[0]), key=lambda piece: piece[1])
    return [("".join(text for text, _ in pieces), weight) for weight, pieces in alike]


def _pattern(words: Iterable[str]) -> re.Pattern[str]:
    either = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    return re.compile(rf"(?<!\w)({either})(?!\w)", re.IGNORECASE)


def _ids(family: Family, text: str) -> list[int]:
    return family.tokenizer(text, add_special_tokens=False, verbose=False).input_ids


def _units(family: Family, prompt: str, words: Words) -> Iterator[list[int | Tensor]]:
    """What may not be torn apart at the end of a chunk: words, and the rows of one identifier."""
    known = {word.lower(): rows for word, rows in words.items()}
    for k, part in enumerate(_pattern(known).split(prompt) if known else [prompt]):
        if k % 2:
            rows = known[part.lower()]
            yield list(rows if rows.ndim == 2 else rows[None])
            continue
        ids = _ids(family, part)
        unit: list[int | Tensor] = []
        for number, token in zip(ids, family.tokenizer.convert_ids_to_tokens(ids), strict=True):
            unit.append(number)
            if token.endswith("</w>") or len(unit) == CHUNK:
                yield unit
                unit = []
        if unit:
            yield unit


def _chunks(units: Iterable[tuple[list[int | Tensor], float]]) -> list[Chunk]:
    chunks = [Chunk()]
    for unit, weight in units:
        if len(chunks[-1].ids) + len(unit) > CHUNK:
            chunks.append(Chunk())
        chunks[-1].add(unit, weight)
    return chunks


def _encode(family: Family, chunk: Chunk) -> Tensor:
    states = _states(family, chunk)
    if all(weight == 1 for weight in chunk.weights):
        return states
    empty = _states(family, Chunk())
    weights = torch.ones(CHUNK + 2)
    weights[1 : 1 + len(chunk.ids)] = torch.tensor(chunk.weights)
    return torch.lerp(empty, states, weights.to(states)[None, :, None])


def _states(family: Family, chunk: Chunk) -> Tensor:
    tokenizer = family.tokenizer
    ids = [tokenizer.bos_token_id, *chunk.ids, tokenizer.eos_token_id]
    ids += [tokenizer.pad_token_id] * (CHUNK + 2 - len(ids))
    with _spliced(family, chunk.rows):
        out = family.text_encoder(torch.tensor([ids], device=family.device))
    return out.last_hidden_state.float()


@contextmanager
def _spliced(family: Family, rows: Sequence[tuple[int, Tensor]]) -> Iterator[None]:
    """Inside, the embedding of a sequence has `rows` at their positions behind the start token."""
    if not rows:
        yield
        return

    def splice(module: torch.nn.Module, args: object, out: Tensor) -> Tensor:
        index = torch.tensor([position + 1 for position, _ in rows], device=out.device)
        taught = torch.stack([row for _, row in rows])[None].to(out)
        return out.index_copy(1, index, taught)

    handle = family.text_encoder.get_input_embeddings().register_forward_hook(splice)
    try:
        yield
    finally:
        handle.remove()
