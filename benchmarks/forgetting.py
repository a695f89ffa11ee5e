"""What is left of twelve concepts that one model was taught one after another, by each way of teaching?

    python -m benchmarks.forgetting [--full] [--order mixed|seed] [--arms big,balanced,gated] [-o FILE]

Three dogs, three bottles, three chairs and three styles; `--order seed` plays the article's story: two bottles, a
keyboard, a chair, two styles, a dog. Every arm gets the same photos, seeds, steps and rate; `gated` its own method's.
After every lesson all concepts so far are painted and judged (`benchmarks.concepts`). Stopped, it goes on where it was.
Beside the JSON a sheet: every concept after its own lesson and after the last, and a heat map of each arm.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import arguments, averaged, kept, once, places, plain, say
from benchmarks.concepts import ORDERS, Concept, Ruler, digest, order, paint, readers, rulers, stopped
from benchmarks.cost import dressed
from benchmarks.exam import painter
from benchmarks.painting import computing
from remembrandt.evaluation import features
from remembrandt.family.family import Family
from remembrandt.family.load import load, save
from remembrandt.memory import retention
from remembrandt.memory.measuring import BASE
from remembrandt.report import write_atomic
from remembrandt.studio import Studio

MODEL, ONE = "mine", "one"
MARGIN = retention.LOOSEST  # lessons that harm are published here: what they harm is the question
Document = dict[str, Any]


class Refused(Exception):
    """A lesson that was not published all the same."""


@dataclass(frozen=True)
class Arm:
    """A way of teaching; `options` are those of the method."""

    about: str
    memory: str = "replay"
    method: str = "dreambooth"
    policy: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    captioned: bool = False
    keeps_photos: bool = True


ALONE = {"policy": "category-alone", "options": {"num_class_images": 0}}
ARMS = {
    "text-to-image": Arm("plain tuning on captioned photos", method="text-to-image", captioned=True, **ALONE),
    "sequential": Arm("DreamBooth without priors", **ALONE),
    "prior": Arm("DreamBooth with class images of the new category", policy="category-alone"),
    "big": Arm("BIG's split, real past photos", policy="big"),
    "big-generated": Arm("BIG's split, the past as the model paints it", policy="big", keeps_photos=False),
    "balanced": Arm("the default policy", policy="balanced"),
    "gated": Arm("an adapter a concept", memory="gated", method="oft"),
    "consolidated": Arm("all adapters of `gated` distilled into one set of weights", memory="consolidated"),
    "mean": Arm("the mean of the adapters of `gated`, untrained", memory="consolidated"),
    "regmean": Arm("RegMean of the adapters of `gated`, untrained", memory="consolidated"),
}


@dataclass(frozen=True)
class Size:
    """Concepts, steps of a lesson (full weights, adapters, distillation), pictures a prompt, seeds, exam questions."""

    concepts: int = 12
    steps: Mapping[str, int | None] = field(default_factory=lambda: {"replay": 200, "gated": 300, "consolidated": None})
    each: int = 1
    seeds: int = 1
    questions: int = 128


SIZES = {
    "tiny": Size(2, {"replay": 2, "gated": 2, "consolidated": 2}, 1, 1, 4),
    "usual": Size(),
    "full": Size(12, {"replay": 400, "gated": 300, "consolidated": None}, 4, 3, 1024),
}


@dataclass(frozen=True)
class Bench:
    """What all arms share."""

    base: str
    family: Family
    size: Size
    work: Path
    scales: Mapping[str, Ruler]

    def shared(self, home: Path) -> Path:
        """A home whose class images are those of all arms: the base paints them once."""
        (self.work / "class").mkdir(parents=True, exist_ok=True)
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "class").exists():
            (home / "class").symlink_to(self.work / "class")
        return home

    def teach(self, studio: Studio, arm: Arm, concept: Concept, number: int, seed: int) -> str:
        """Teach lesson `number` unless that is done already; the concept's identifier."""
        known = studio.concepts(MODEL)
        if len(known) > number:
            return known[number]["identifier"]
        if job := stopped(studio):
            lesson = studio.resume(job)
        else:
            photos: Any = concept.photos()
            if arm.captioned:
                photos = concept.write(self.work / "photos" / concept.label)
            common = {"steps": self.size.steps[arm.memory], "seed": seed, "options": dict(arm.options)}
            common |= {"policy": arm.policy, "memory": arm.memory, "method": arm.method, "model": MODEL}
            base = {} if known else {"base": self.base}
            lesson = studio.finetune(photos, concept.category, margin=MARGIN, **base, **common)
        if not lesson.retention["published"]:
            raise Refused(f"{concept.label}: {lesson.retention.get('why')}")
        if not arm.keeps_photos:
            for photo in (studio.service.settings.home / "photos").glob("*.png"):
                photo.unlink()
        return lesson.identifier

    def distil(self, studio: Studio, seed: int) -> None:
        """The model ONE of the gated model, unless it is there already."""
        if ONE not in {m["name"] for m in studio.models()}:
            steps = self.size.steps["consolidated"]
            options = {} if steps is None else {"steps": steps}
            told = studio.consolidate(MODEL, ONE, margin=MARGIN, seed=seed, options=options)
            if not told["retention"]["published"]:
                raise Refused(told["retention"].get("why"))

    def look(self, studio: Studio, model: str, concept: Concept, word: str, shown: Path) -> Document:
        """One concept as it is now."""
        return self.judge(paint(studio, concept.prompts(word), model, self.size.each), concept, word, shown)

    def judge(self, made: Sequence[np.ndarray], concept: Concept, word: str, shown: Path) -> Document:
        """Pictures of a concept; the first will lie in `shown`."""
        shown.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(made[0]).save(shown)
        scale = self.scales[concept.label]
        return {
            "word": word,
            "identity": scale.identity(made),
            "identified": scale.identified(made),
            "hash": digest(made),
            "shown": str(shown),
        }

    def standing(self, studio: Studio, model: str, story: Sequence[Concept]) -> Document:
        """What no lesson was about: pictures of each class and of the base, and its exam on unseen prompts."""
        from remembrandt.pocket.exam import exam

        classes = {}
        for category in dict.fromkeys(c.category for c in story):
            made = paint(studio, [f"a {category}"], model, min(64, 16 * self.size.each))
            of = {c.label: self.scales[c.label] for c in story if c.category == category}
            rows = {k: {"identity": s.identity(made), "identified": s.identified(made)} for k, s in of.items()}
            classes |= rows

        family = studio.service._family(studio.service._standing(model))
        look, seen = next(iter(features.looks(self.family).values())), paint(studio, BASE, model, self.size.each)
        return {
            "classes": classes,
            "seen": look(seen),
            "hash": digest(seen),
            "exam": exam(painter(family), readers(self.family), singles=self.size.questions, pairs=0),
        }


def sequence(bench: Bench, name: str, story: Sequence[Concept], seed: int) -> Document:
    """One arm, one seed: every lesson, and all that was taught before after each."""
    arm, place, lessons = ARMS[name], bench.work / name / str(seed), list[Document]()
    studio = Studio(bench.shared(place / "home"))
    for number, concept in enumerate(story):

        def lesson(number: int = number, concept: Concept = concept) -> Document:
            began = time.monotonic()
            word = bench.teach(studio, arm, concept, number, seed)
            taught = time.monotonic() - began
            words = [*(row["word"] for row in lessons[-1]["concepts"]), word] if lessons else [word]
            shown = [place / "pictures" / f"{number:02d}-{c.label}.png" for c in story]
            rows = [bench.look(studio, MODEL, c, w, s) for c, w, s in zip(story, words, shown, strict=False)]
            return {"seconds": taught, "concepts": rows}

        try:
            lessons.append(once(place / f"lesson-{number:02d}.json", lesson))
        except Refused as why:  # one cost more than a whole concept: what came before stands
            say(f"{name} ends before {why}")
            break
    after = once(place / "after.json", lambda: bench.standing(studio, MODEL, story))
    return {"lessons": lessons, "after": after}


def in_one(bench: Bench, name: str, story: Sequence[Concept], seed: int, gated: Document) -> Document:
    """The teachers, then one set of weights that was made of them, as if that were a second lesson."""
    home, place = bench.work / "gated" / str(seed) / "home", bench.work / name / str(seed)
    teachers = gated["lessons"][-1]
    studio, words = Studio(home), [row["word"] for row in teachers["concepts"]]
    shown = [place / "pictures" / f"{c.label}.png" for c in story]

    def make() -> Document:
        began = time.monotonic()
        if name == "consolidated":
            bench.distil(studio, seed)
            painted = [paint(studio, c.prompts(w), ONE, bench.size.each) for c, w in zip(story, words, strict=True)]
        else:
            family, library = dressed(home)
            own = averaged.averaged(family, library, story, name)
            save(own, place / "family")
            prompts = [c.prompts(w) for c, w in zip(story, words, strict=True)]
            painted = [averaged.paint(own, library, some, bench.size.each) for some in prompts]
        rows = [bench.judge(*row) for row in zip(painted, story, words, shown, strict=True)]
        return {"seconds": time.monotonic() - began, "concepts": rows}

    lessons = [teachers, once(place / "lesson-00.json", make)]
    model = ONE if name == "consolidated" else str(place / "family")
    return {"lessons": lessons, "after": once(place / "after.json", lambda: bench.standing(studio, model, story))}


def run(bench: Bench, stories: Sequence[Sequence[Concept]], names: Sequence[str]) -> tuple[Document, kept.Runs]:
    """All arms, one story a seed: what the result file says of them, and the runs themselves."""
    studio, runs = Studio(bench.work / "base"), kept.Runs()
    before = once(bench.work / "base.json", lambda: bench.standing(studio, bench.base, stories[0]))
    for name in names:
        made = ARMS[name].memory == "consolidated"
        told = runs.get("gated") if made else None
        told = told or [sequence(bench, "gated" if made else name, story, seed) for seed, story in enumerate(stories)]
        try:
            runs[name] = [in_one(bench, name, s, k, told[k]) for k, s in enumerate(stories)] if made else told
        except Refused as why:
            say(f"{name} is left out: {why}")
    figures = {n: kept.summed(told, before, sequential=ARMS[n].memory != "consolidated") for n, told in runs.items()}
    arms = plain({n: {"about": ARMS[n].about, **figures[n]} for n in runs})
    return {"verdicts": plain(kept.verdicts(arms)), "arms": arms, "base": before["exam"]}, runs


def main(given: Sequence[str] | None = None) -> None:
    parser = arguments(__doc__, "forgetting")
    parser.add_argument("--order", choices=ORDERS, default="mixed")
    parser.add_argument("--arms", default=",".join(ARMS), help="some of: " + ", ".join(ARMS))
    asked = parser.parse_args(given)
    names = asked.arms.split(",")
    if strange := sorted(set(names) - set(ARMS)):
        parser.error(f"there is no arm {strange[0]!r}: {', '.join(ARMS)}")
    family, size = load(asked.base), SIZES[asked.size]
    work, out = places(asked, "forgetting" if asked.order == "mixed" else f"forgetting-{asked.order}", family.digest)
    stories = [order(asked.order, size.concepts, seed) for seed in range(size.seeds)]
    bench = Bench(asked.base, family, size, work, rulers(family, stories[0], work))
    found, runs = run(bench, stories, names)
    told = {"rulers": {label: scale.valid() for label, scale in bench.scales.items()}, "size": vars(size)}
    told |= {"stories": [[c.label for c in story] for story in stories], **computing(family)}
    write_atomic(out, json.dumps({**found, **plain(told)}, indent=1) + "\n")
    kept.drawn(runs, stories[0], found["arms"]).save(out.with_suffix(".png"))
    print(json.dumps(found["verdicts"], indent=1))


if __name__ == "__main__":
    main()
