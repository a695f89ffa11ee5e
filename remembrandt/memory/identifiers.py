"""Identifiers and names: the words that call a concept up.

An identifier is a word that means nothing yet. Which word is free is a question to three: the
tokenizer, what the model has handed out before, and what it calls by name.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Collection
from itertools import product

from remembrandt.settings import Wrong

END = "</w>"  # marks the tokens of CLIP's vocabulary that end a word
CONSONANTS = "bcdfghjklmnpqrstvwxz"
RARE = re.compile(f"[{CONSONANTS}]{{3}}")
IDENTIFIER = re.compile(r"[a-z][a-z0-9]{1,15}")
NAME = re.compile(r"[^\W\d_][^\W_]{1,31}")
ENDINGS = ("o", "y", "ka", "ix", "ello")


def vocabulary(tokenizer) -> dict[str, int]:
    """The whole words that are one token, with their numbers: the rarer a word, the higher."""
    found = tokenizer.get_vocab().items()
    return {token.removesuffix(END): i for token, i in found if token.endswith(END)}


def candidates(tokenizer) -> list[str]:
    """Three consonants that are one token, the rarer half; where there are none, any three."""
    known = vocabulary(tokenizer)
    rare = sorted((w for w in known if RARE.fullmatch(w)), key=known.__getitem__, reverse=True)
    return rare[: max(64, len(rare) // 2)] or ["".join(c) for c in product(CONSONANTS, repeat=3)]


def choose(tokenizer, used: Collection[str], seed: int) -> str:
    """A free identifier, the same for the same `used` and `seed`."""
    free = [w for w in candidates(tokenizer) if w not in used]
    free = free or ["".join(c) for c in product(CONSONANTS, repeat=4)]
    draw = random.Random(seed)
    while (word := draw.choice(free)) in used:
        continue
    return word


def check(
    word: str, tokenizer, used: Collection[str], names: Collection[str] = (), *, rare: bool = False
) -> str:
    """The identifier that the user asks for, in lower case; `Wrong` proposes a free one.

    Where it becomes no token of its own, it has to be a `rare` one already.
    """
    word = word.strip().lower()
    instead = f"leave --identifier out, or take {choose(tokenizer, used, 0)!r}"
    if not IDENTIFIER.fullmatch(word):
        raise Wrong(
            f"identifier {word!r} must be 2 to 16 letters and digits, a letter first: {instead}"
        )
    if word in used:
        raise Wrong(f"identifier {word!r} was handed out in this model before: {instead}")
    if word in vocabulary(tokenizer) and re.search("[aeiouy]", word):
        raise Wrong(f"identifier {word!r} is a word that the base knows already: {instead}")
    if word in names:
        raise Wrong(f"identifier {word!r} is a name or a category in this model: {instead}")
    if rare and (why := _common(word, tokenizer)):
        raise Wrong(f"identifier {word!r} {why}: {instead}")
    return word


def _common(word: str, tokenizer) -> str:
    """Why a frozen text encoder has no clean place for the word, if its vocabulary has better ones."""
    known = vocabulary(tokenizer)
    better = [known[w] for w in candidates(tokenizer) if w in known]
    if not better:
        return ""
    if word not in known:
        return "is several tokens, which share their meaning with other words"
    return "is a common token, which means something already" if known[word] < min(better) else ""


def check_name(name: str, tokenizer, taken: Collection[str]) -> str:
    """A concept's name, in lower case; `Wrong` if it is taken or the tokenizer knows the word."""
    name = name.strip().lower()
    if not NAME.fullmatch(name):
        raise Wrong(f"name {name!r} must be one word of 2 to 32 letters and digits: say 'briscoe'")
    known = vocabulary(tokenizer)

    def free(word: str) -> bool:
        return word not in known and word not in taken

    if not free(name):
        why = "belongs to another concept or is a category" if name in taken else "is a word that the base knows"
        raise Wrong(f"name {name!r} {why}: take for example {_near(name, free)!r}")
    return name


def _near(name: str, free: Callable[[str], bool]) -> str:
    stem = name[:26]
    return next(stem + a + b for a, b in product(("", *ENDINGS), ENDINGS) if free(stem + a + b))
