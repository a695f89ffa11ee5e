"""What one says of a scene: full or partial, in many turns of phrase. Identity and held-back styles are never named."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np

from . import vocabulary as words
from .scene import Scene, Subject, true_to_size
from .styles import STYLES

LEADS = ("a picture of", "an image of", "a painting of")  # say nothing about the style
OF = {"photo": ("a photo of", "a photograph of")}
AFTER = {"photo": ("", "photo")}
RELATIONS = {"on top of": ("on top of", "on"), "beside": ("beside", "next to"), "behind": ("behind", "in back of")}
PATTERNS = {
    "plain": ("", "plain"),
    "striped": ("striped",),
    "dotted": ("dotted", "spotted"),
    "checked": ("checked", "chequered"),
}
SIZES = {"small": ("small", "little"), "middle": ("",), "big": ("big", "large")}


def article(noun: str) -> str:
    """The noun phrase with its indefinite article."""
    return ("an " if noun[0] in "aeiou" else "a ") + noun


def phrase(subject: Subject, rng: np.random.Generator, full: bool) -> str:
    """A noun phrase; unless `full`, attributes may be left out and synonyms used."""

    def say(options, keep: float) -> str:
        if full:
            return options[0]
        return options[0 if rng.random() < 0.75 else int(rng.integers(len(options)))] if rng.random() < keep else ""

    parts = [
        say(SIZES[subject.size], 0.7),
        say((subject.colour,), 0.85),
        say(PATTERNS[subject.pattern], 0.8),
        say(words.CATEGORIES[subject.category], 1.0),
    ]
    return article(" ".join(p for p in parts if p))


def things(scene: Scene, rng: np.random.Generator, full: bool) -> str:
    """The subjects and their relation; "beside" is also said the other way round, or as "and"."""
    subjects = zip(scene.subjects, true_to_size(scene), strict=True)
    said = [phrase(s if true else replace(s, size="middle"), rng, full) for s, true in subjects]
    if len(said) == 1:
        return said[0]
    if not full and scene.relation == "beside" and rng.random() < 0.5:
        said = said[::-1] if rng.random() < 0.5 else said
        if rng.random() < 0.4:
            return " and ".join(said)
    options = RELATIONS[scene.relation]
    relation = options[0] if full or rng.random() < 0.8 else options[1]
    return f"{said[0]} {relation} {said[1]}"


def caption(scene: Scene, rng: np.random.Generator) -> str:
    """One of many captions: lower case; place and style are sometimes dropped, orders change, styles lead or follow."""
    text = things(scene, rng, full=False)
    place = words.PLACES[scene.place] if rng.random() < 0.85 else ""
    style = STYLES[scene.style]
    keep = rng.random() < (0.4 if scene.style == "photo" else 0.93) and scene.style not in words.HELD_BACK
    lead = after = ""
    if keep and rng.random() < 0.55:
        options = OF.get(scene.style, (style.prefix,))
        lead = options[0 if rng.random() < 0.8 else int(rng.integers(len(options)))]
    elif keep:
        after = style.suffix
    elif rng.random() < 0.15:
        lead = LEADS[int(rng.integers(len(LEADS)))]
    if scene.sign and rng.random() < 0.9:
        text += f' and a sign that says "{scene.sign}"'
    if place and rng.random() < 0.12:
        body = f"{lead} {place}, {text}" if not lead else f"{lead} {text} {place}"
    else:
        body = f"{lead} {text} {place}"
    return re.sub(r"\s+", " ", body).strip() + (f", {after}" if after else "")


def canonical(scene: Scene) -> str:
    """The one full, plain caption, as used to examine a painter."""
    text = f"{things(scene, np.random.default_rng(0), full=True)} {words.PLACES[scene.place]}"
    return text if scene.style in ("photo", *words.HELD_BACK) else f"{text}, {STYLES[scene.style].suffix}"


def lexicon() -> list[str]:
    """Every word that a caption can hold, and some that people ask with, for the tokenizer."""
    said = [
        *words.COLOURS,
        *words.PLACES,
        *words.PLACES.values(),
        *LEADS,
        "and a sign that says",
        "with",
        "the",
        "style",
        "two",
    ]
    for table in (OF, AFTER, RELATIONS, PATTERNS, SIZES, words.CATEGORIES):
        said += [option for options in table.values() for option in options]
    said += [text for name in words.STYLES for text in (STYLES[name].prefix, STYLES[name].suffix)]
    said += [
        "painting",
        "drawing",
        "art",
        "an",
        "of",
        "my",
        "your",
        "his",
        "her",
        "one",
        "three",
        "white",
        "black",
        "under",
        "near",
    ]
    said += [
        "animal",
        "object",
        "background",
        "style",
        "portrait",
        "close",
        "view",
        "it",
        "is",
        "this",
        "that",
        "other",
    ]
    return sorted({word for text in said for word in re.findall(r"[a-z]+", text)})
