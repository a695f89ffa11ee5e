"""The ladder: a lesson looked at after several numbers of steps, and the rung from which on more of them only cost.

The authors of BIG did it by hand: teach for 200, 300 ... 600 steps, faces for 600 to 1,200, look, and keep the best.
Here the longest of these lessons is taught once; what it was at each rung is kept, scored and drawn.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from remembrandt import report
from remembrandt.adapters import adapter as adapters
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import Worn
from remembrandt.engine.engine import UNPAINTED, Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation import denoising, following
from remembrandt.family import weights
from remembrandt.family.family import Family
from remembrandt.family.folder import read_network, write_network
from remembrandt.memory.measuring import STEPS, Subject, learned
from remembrandt.report import link, write_atomic

NAME = "ladder"
THIRDS = (2, 3, 4, 5, 6)  # sixths of the longest lesson: 200, 300 ... 600 of 600
FACES = ("face", "head", "portrait", "person", "man", "woman", "boy", "girl", "child", "baby", "people", "selfie")
RISE = 0.05  # of the best identity: less is no rise
SCENES = 3  # pictures of a rung
ROOM = 2**32  # bytes of whole weights that rungs may keep
Document = dict[str, Any]


@dataclass(frozen=True)
class Rung:
    """After `step` steps: `identity` is the share of the base's denoising loss on the photos that is gone (at most 1),
    `prompt` how well pictures follow prompts (`following`). Not a number where a picture was none.
    """

    step: int
    identity: float
    prompt: float


def steps(usual: int, category: str) -> list[int]:
    """The rungs of a lesson that usually takes `usual` steps, shortest first; a face takes twice as many."""
    face = category.lower().split()[-1] in FACES
    longest = 2 * usual if face else usual
    return sorted({max(1, round(longest * k / 6)) for k in (THIRDS[1:] if face else THIRDS)})


def choose(rungs: Sequence[Rung]) -> tuple[Rung, str]:
    """The knee, and why: the first rung after which identity no longer rises while prompts are followed worse."""
    known = [r for r in rungs if np.isfinite(r.identity) and np.isfinite(r.prompt)]
    if not known:
        return rungs[-1], "no rung could be measured: the longest lesson is kept"
    least = RISE * max(r.identity for r in known)
    for k, rung in enumerate(known[:-1]):
        later = known[k + 1 :]
        rise = max(r.identity for r in later) - rung.identity
        fall = rung.prompt - float(np.mean([r.prompt for r in later]))
        if rung.identity > 0 and rise < least and fall > 0:
            return rung, (
                f"after {rung.step} steps identity no longer rises (by {max(rise, 0):.3f}, less than {least:.3f})"
                f" while the prompt score falls (by {fall:.3f} on average)"
            )
    return known[-1], "identity still rises, or prompts are followed as well as before: the longest lesson is kept"


@dataclass(frozen=True, eq=False)
class Ladder:
    """The rungs of one lesson in `folder`, each a folder of its own, whole or not there.

    `base` are the losses of the base on the pairs that rungs are measured on; `moved` the networks of the family that
    the lesson itself moves, if it teaches no adapter.
    """

    family: Family
    subject: Subject
    base: np.ndarray
    folder: Path
    manifest: Document
    moved: Sequence[str] = ()

    def rung(self, step: int, adapter: Adapter | None) -> Path:
        """What the lesson is after `step` steps, once: weights, scores, pictures. Step 0 is the base, pictures only."""
        place, draft = self._place(step), self.folder / f".{step:06d}"
        if place.is_dir():
            return place
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        if adapter is not None:
            adapters.save(adapter, draft, at(self.manifest, step))
        for name in self.moved if step else ():
            write_network(name, getattr(self.family, name), draft / name)
        told, pictures = self._scored(step, adapter)
        for k, pixels in enumerate(pictures):
            Image.fromarray(pixels).save(draft / f"{k}.png")
        write_atomic(draft / "rung.json", json.dumps(told, indent=1))
        os.replace(draft, place)
        return place

    def finish(self, steps: Sequence[int]) -> Document:
        """Choose and draw: `{chosen, why, measure, held_out, before, rungs}`, and the strip beside the folder."""
        before, *docs = (json.loads((self._place(s) / "rung.json").read_text()) for s in (0, *steps))
        chosen, why = choose([_rung(doc) for doc in docs])
        found = {"chosen": chosen.step, "why": why, "measure": following.measure(self.family)}
        found |= {"held_out": before["known"]["held_out"], "before": before, "rungs": docs}
        _drawn(found, self.folder).save(self.folder.with_suffix(".png"))
        return found

    def take(self, step: int) -> Adapter | None:
        """The adapter of a rung; None, and the family's networks are as they were, where these moved."""
        if not self.moved:
            return adapters.load(self._place(step))[0]
        for name in self.moved:
            network = getattr(self.family, name)
            stored = read_network(name, self._place(step) / name)
            weights.fill(network, stored, self.family.device, network.dtype, f"rung {step}")
        return None

    def keep(self, found: Document, folder: Path) -> None:
        """The ladder as its concept keeps it, in `folder`: what was found, the strip, and the weights of rungs.

        Adapters all; of moved networks the nearest to the chosen rung first, within `ROOM` bytes.
        """
        room, kept = ROOM, []
        folder.mkdir()
        for doc in sorted(found["rungs"], key=lambda doc: abs(doc["steps"] - found["chosen"])):
            place = self._place(doc["steps"])
            room -= sum(p.stat().st_size for name in self.moved for p in (place / name).iterdir())
            if room >= 0:
                link(place, folder / place.name, ignore=shutil.ignore_patterns("*.png", "rung.json"))
                kept.append(doc["steps"])
        shutil.copyfile(self.folder.with_suffix(".png"), folder / "ladder.png")
        write_atomic(folder / "ladder.json", json.dumps({**found, "kept": sorted(kept)}, indent=1))

    def _place(self, step: int) -> Path:
        return self.folder / f"{step:06d}"

    def _scored(self, step: int, adapter: Adapter | None) -> tuple[Document, list[np.ndarray]]:
        concept = self.subject.concept
        full, wears, words = f"{concept.identifier} {concept.category}", (), {}
        if adapter is not None:
            wears = (Worn(adapter),)
            words = {concept.identifier: adapter.rows} if adapter.rows is not None else {}
        told = self.subject.prompt
        if step == 0:
            full, told = concept.category, self.subject.plain
        photos, masks = self.subject.unseen
        now = self.base if step == 0 else denoising.losses(self.family, photos, told, words, wears, masks=masks)
        known = learned(now, self.base, self.subject)
        asked = [Request(p, words=words, wears=wears, steps=STEPS, seed=k) for k, p in enumerate(self._scenes(full))]
        try:
            pictures = [p[0].pixels for p in Engine(self.family).paint(asked)]
        except UNPAINTED:  # such a rung is not chosen
            return {"steps": step, "identity": None, "prompt": None, "known": known}, []
        scenes = self._scenes(concept.category)[1:]
        prompt = following.following(self.family, pictures[1:], scenes, self.subject.plain)
        return {"steps": step, "identity": known["gain"], "prompt": prompt, "known": known}, pictures

    def _scenes(self, word: str) -> list[str]:
        return self.subject.scenes(word)[:SCENES]


def read(folder: Path) -> Document | None:
    """The ladder of the concept that lies in `folder`, if its lesson left one."""
    path = folder / NAME / "ladder.json"
    return json.loads(path.read_text()) if path.is_file() else None


def at(manifest: Document, step: int) -> Document:
    """The manifest of a lesson of so many steps."""
    return {**manifest, "options": {**manifest["options"], "steps": step}}


def _drawn(found: Document, folder: Path) -> Image.Image:
    """A row of pictures a rung, what it scored, and which one was taken."""
    rows = []
    for doc in [found["before"], *found["rungs"]]:
        name = f"{doc['steps']} steps" if doc["steps"] else "before"
        mark = " (chosen)" if doc["steps"] == found["chosen"] else ""
        scores = f"identity {_said(doc['identity'])}\nprompt {_said(doc['prompt'])}"
        pictures = sorted((folder / f"{doc['steps']:06d}").glob("*.png"))
        rows.append((f"{name}{mark}\n{scores}", pictures or [None] * SCENES))
    foot = f"{found['why']}.\nAnother rung: remembrandt models versions --pick STEPS"
    return report.sheet(rows, "The ladder", subtitle=f"prompt: {found['measure']}", foot=foot)


def _said(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _rung(doc: Document) -> Rung:
    scores = (np.nan if doc[k] is None else doc[k] for k in ("identity", "prompt"))
    return Rung(doc["steps"], *scores)

