"""The figures of `benchmarks.forgetting`, and its picture.

A run holds `lessons`, each with what was measured of every concept so far, and `after`, what was measured in the end of
what no lesson was about. Definitions: reference.md, `retention`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.concepts import Concept, interval
from remembrandt.evaluation import fidelity
from remembrandt.report import sheet

Document = dict[str, Any]
Runs = dict[str, list[Document]]  # by arm, one a seed
LEARNED = 0.1  # identity below which a lesson has taught nothing that could be lost


def matrix(run: Document) -> np.ndarray:
    """A[t, i]: identity of concept i after lesson t, nan before it was taught."""
    width = len(run["lessons"][-1]["concepts"])
    rows = [[number(c["identity"]) for c in lesson["concepts"]] for lesson in run["lessons"]]
    return np.array([row + [np.nan] * (width - len(row)) for row in rows])


def number(value: float | None) -> float:
    return np.nan if value is None else value


def firsts(found: np.ndarray) -> np.ndarray:
    """Each concept's identity after its own lesson."""
    return np.array([column[np.isfinite(column)][0] if np.isfinite(column).any() else np.nan for column in found.T])


def summed(runs: Sequence[Document], before: Document, *, sequential: bool = True) -> Document:
    """The figures of an arm, over concepts and seeds. What lost nothing yet is left out: the last of a sequence."""
    whole = [matrix(run) for run in runs]
    older = slice(-1) if sequential else slice(None)
    own = np.concatenate([firsts(a)[older] for a in whole])
    last = np.concatenate([a[-1][older] for a in whole])
    pairs = [pair for run in runs for pair in zip(run["after"]["marks"], before["marks"], strict=False)]
    examined, exam = shares([now for now, _ in pairs]), shares([was for _, was in pairs])
    followed = [np.mean([*now.values()]) - np.mean([*was.values()]) for now, was in pairs]
    classes = [(before["classes"][k], now) for run in runs for k, now in run["after"]["classes"].items()]
    leaks, shifts = ([number(now[w]) - number(was[w]) for was, now in classes] for w in ("identified", "identity"))
    share = np.minimum(last / np.where(own > LEARNED, own, np.nan), 1)
    lags = np.array([fidelity.lag(a) for a in whole])
    hashes = [{c["word"]: c["hash"] for lesson in reversed(run["lessons"]) for c in lesson["concepts"]} for run in runs]
    return {
        "learned": interval(own),
        "measurable": int(np.isfinite(share).sum()),
        "retention": interval(share[np.isfinite(share)]) if np.isfinite(share).any() else None,
        "worst_retention": float(np.nanmin(share)) if np.isfinite(share).any() else None,
        "lost": interval(own - last),
        "forgetting": [fidelity.forgetting(a) for a in whole],
        "final": [fidelity.final(a) for a in whole],
        "lag": [None if np.isnan(x).all() else float(np.nanmean(x)) for x in lags.T],
        "leak": interval(leaks),
        "prior_shift": float(np.nanmean(shifts)) if np.isfinite(shifts).any() else None,
        "base_drift": float(np.mean([drift(run["after"], before) for run in runs])),
        "styles_kept": examined["style"] / exam["style"] if exam.get("style") else None,
        "exam_gained": {k: examined[k] - exam[k] for k in exam},
        "followed": {"prompts": len(pairs), **interval(followed)},
        "equal_to_the_bit": all(
            hashed == {c["word"]: c["hash"] for c in run["lessons"][-1]["concepts"]}
            for run, hashed in zip(runs, hashes, strict=True)
        ),
        "seconds_a_lesson": [round(float(np.median([x["seconds"] for x in run["lessons"]])), 1) for run in runs],
        "matrix": whole,
        "lost_by_concept": own - last,
    }


def shares(marks: Sequence[Mapping[str, bool]]) -> dict[str, float]:
    """By what was asked for, how often it was right; not every question asks for everything."""
    names = dict.fromkeys(name for row in marks for name in row)
    return {name: float(np.mean([row[name] for row in marks if name in row])) for name in names}


def drift(after: Document, before: Document) -> float:
    """How far the base's pictures moved; 0 only where they are equal to the bit."""
    return 0.0 if after["hash"] == before["hash"] else fidelity.drift(after["seen"], before["seen"])


def verdicts(arms: Document) -> Document:
    """The issue's figures, where the arms that they need were run."""
    said: Document = {}
    for name in ("text-to-image", "sequential"):
        if name in arms:
            said[f"{name}: loses of the normalised range (>= 0.5)"] = arms[name]["lost"]["value"]
    if "gated" in arms:
        kept = {k: arms["gated"][k] for k in ("equal_to_the_bit", "base_drift", "prior_shift")}
        said["gated: forgets nothing (true, 0, 0)"] = kept
    if "balanced" in arms:
        said["balanced: retention (>= 0.85)"] = arms["balanced"]["retention"]
        said["balanced: leak (<= 0.05)"] = arms["balanced"]["leak"]
        said["balanced: base styles kept (>= 0.95)"] = arms["balanced"]["styles_kept"]
    if {"big", "balanced"} <= set(arms) and len({len(arms[n]["lost_by_concept"]) for n in ("big", "balanced")}) == 1:
        both = np.stack([arms[n]["lost_by_concept"] for n in ("balanced", "big")], 1)
        ratio = interval(both, lambda rows: float(rows[:, 0].mean() / rows[:, 1].mean()))
        said["balanced over big: what is lost (<= 0.5)"] = ratio
    for name, target in {"consolidated": "0.92 of 12", "consolidated-8": "0.95 of 8"}.items():
        if name in arms:
            said[f"{name}: of its teachers' identity (>= {target})"] = arms[name]["retention"]
            said[f"{name}: what is followed of prompts, less the base's (>= -0.02)"] = arms[name]["followed"]
    for name in ("mean", "regmean"):
        if name in arms:
            said[f"{name}: of its teachers' identity"] = arms[name]["retention"]
    return said


def heat(found: np.ndarray, side: int = 192) -> np.ndarray:
    """Identities as a picture, lessons down, concepts across: dark is lost, green is whole, grey was not taught yet.

    What was not looked at after a lesson stands as it was found before.
    """
    found = found.copy()
    for row, above in zip(found[1:], found, strict=False):
        row[np.isnan(row)] = above[np.isnan(row)]
    shade = np.nan_to_num(np.clip(found, 0, 1))[..., None]
    colour = (1 - shade) * np.array([92, 24, 36]) + shade * np.array([120, 196, 120])
    colour[np.isnan(found)] = (238, 236, 230)
    return np.kron(colour.astype(np.uint8), np.ones((side // len(found), side // len(found), 1), np.uint8))


def drawn(runs: Runs, story: Sequence[Concept], arms: Document) -> Image.Image:
    """Photos on top, then of each arm every concept after its own lesson and after the last."""
    rows: list[tuple[str, list[Any]]] = [("a photo", [c.photos()[0] for c in story])]
    under: list[list[str]] = [[c.label for c in story]]
    for name, (run, *_) in runs.items():  # every concept has been looked at after its own lesson and after the last
        last = run["lessons"][-1]["concepts"]
        own = [next(x["concepts"][k] for x in run["lessons"] if len(x["concepts"]) > k) for k in range(len(last))]
        for what, cells in (("own lesson", own), ("the last", last)):
            rows.append((f"{name}: after {what}", [c["shown"] for c in cells]))
            under.append([f"{number(c['identity']):.2f}" for c in cells])
    maps = [heat(np.array(arms[name]["matrix"][0], float)) for name in runs]
    rows.append(("identity: lessons down, concepts across", maps))
    under.append(list(runs))
    kept = [f"{n} {a['retention']['value']:.2f}" for n, a in arms.items() if a["retention"]]
    return sheet(rows, "What is left", subtitle="retention: " + ", ".join(kept), captions=under, cell=96)
