"""What is left of twelve concepts that one model was taught one after another, by each way of teaching?

    python -m benchmarks.forgetting [--full] [--order mixed|seed] [--arms big,balanced,gated] [--minutes N] [-o FILE]

Three dogs, three bottles, three chairs and three styles; `--order seed` plays the article's story: two bottles, a
keyboard, a chair, two styles, a dog. Every arm gets the same photos, seeds, steps and rate; `gated` its own method's.
A concept is painted and judged (`benchmarks.concepts`) after its own lesson, after every third one (`--full`: every
one) and after the last. Stopped, it goes on where it was; the result holds every arm that is finished, whenever it was.
Beside the JSON a sheet: every concept after its own lesson and after the last, and a heat map of each arm.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks import arguments, averaged, kept, once, pieces, places, plain, say
from benchmarks.concepts import ORDERS, Concept, Ruler, digest, dressed, order, paint, readers, rulers, stopped
from benchmarks.exam import painter
from benchmarks.painting import computing
from remembrandt.evaluation import features
from remembrandt.evaluation.judges import Readers
from remembrandt.family.family import Family
from remembrandt.family.load import load, save
from remembrandt.memory import retention
from remembrandt.memory.measuring import BASE
from remembrandt.report import write_atomic
from remembrandt.studio import Studio

MODEL, ONE, PART = "mine", "one", 32  # questions of the exam a piece
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
    first: int | None = None  # so many of the concepts only


ALONE = {"policy": "category-alone", "options": {"num_class_images": 0}}
ARMS = {
    "gated": Arm("an adapter a concept", memory="gated", method="oft"),
    "big": Arm("BIG's split, real past photos", policy="big"),
    "balanced": Arm("the default policy", policy="balanced"),
    "sequential": Arm("DreamBooth without priors", **ALONE),
    "consolidated": Arm("all adapters of `gated` distilled into one set of weights", memory="consolidated"),
    "prior": Arm("DreamBooth with class images of the new category", policy="category-alone"),
    "text-to-image": Arm("plain tuning on captioned photos", method="text-to-image", captioned=True, **ALONE),
    "big-generated": Arm("BIG's split, the past as the model paints it", policy="big", keeps_photos=False),
    "mean": Arm("the mean of the adapters of `gated`, untrained", memory="consolidated"),
    "regmean": Arm("RegMean of the adapters of `gated`, untrained", memory="consolidated"),
    "consolidated-8": Arm("the first eight adapters of `gated` distilled", memory="consolidated", first=8),
}


@dataclass(frozen=True)
class Size:
    """Concepts, steps of a lesson (full weights, adapters, distillation), pictures a prompt, seeds, exam questions (of
    what is distilled, and of the others), and after how many lessons everything is looked at.
    """

    concepts: int = 12
    steps: Mapping[str, int | None] = field(default_factory=lambda: {"replay": 200, "gated": 300, "consolidated": None})
    each: int = 1
    seeds: int = 1
    questions: tuple[int, int] = (1024, 96)
    between: int = 3


SIZES = {
    "tiny": Size(2, {"replay": 2, "gated": 2, "consolidated": 2}, 1, 1, (4, 4)),
    "usual": Size(),
    "full": Size(12, {"replay": 400, "gated": 300, "consolidated": None}, 4, 3, (2048, 1024), 1),
}


@dataclass(frozen=True)
class Bench:
    """What all arms share."""

    base: str
    family: Family
    size: Size
    work: Path
    scales: Mapping[str, Ruler]

    @cached_property
    def readers(self) -> Readers:
        return readers(self.family)

    def shared(self, home: Path) -> Path:
        """A home whose class images are those of all arms: the base paints them once."""
        (self.work / "class").mkdir(parents=True, exist_ok=True)
        home.mkdir(parents=True, exist_ok=True)
        if not (home / "class").exists():
            (home / "class").symlink_to(self.work / "class")
        return home

    def teach(self, studio: Studio, arm: Arm, concept: Concept, number: int, seed: int) -> Document:
        """Teach lesson `number` unless that is done already; the concept's `word` and the `seconds` that it took."""
        known = studio.concepts(MODEL)
        if len(known) > number:
            result = studio.job(known[number]["job"])["result"]
            return {"word": result["identifier"], "seconds": result["seconds"]}
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
        return {"word": lesson.identifier, "seconds": lesson.seconds}

    def distil(self, studio: Studio, seed: int) -> None:
        """The model ONE of the gated model, unless it is there already."""
        if ONE not in {m["name"] for m in studio.models()}:
            steps = self.size.steps["consolidated"]
            options = {} if steps is None else {"steps": steps}
            if job := stopped(studio, "consolidate"):
                told = studio.service.resume(job)
            else:
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
        """What no lesson was about: pictures of each class and of the base."""
        classes = {}
        for category in dict.fromkeys(c.category for c in story):
            made = paint(studio, [f"a {category}"], model, min(64, 16 * self.size.each))
            of = {c.label: self.scales[c.label] for c in story if c.category == category}
            rows = {k: {"identity": s.identity(made), "identified": s.identified(made)} for k, s in of.items()}
            classes |= rows
        look, seen = next(iter(features.looks(self.family).values())), paint(studio, BASE, model, self.size.each)
        return {"classes": classes, "seen": look(seen), "hash": digest(seen)}

    def marks(self, studio: Studio, model: str, place: Path, count: int) -> list[dict[str, bool]]:
        """The exam on `count` unseen prompts, the same whatever the model: of each, what is right."""
        from remembrandt.pocket.exam import marks

        found = []
        for k in range(0, count, PART):
            numbers = range(k, min(k + PART, count))
            piece = lambda n=numbers: marks(painter(dressed(studio, model)[0]), self.readers, n)  # noqa: E731
            found += once(place / f"exam-{k:04d}.json", piece)
        return found

    def after(self, studio: Studio, model: str, story: Sequence[Concept], place: Path, count: int) -> Document:
        """What `standing` and `marks` find."""
        found = once(place / "after.json", lambda: self.standing(studio, model, story))
        return {**found, "marks": self.marks(studio, model, place, count)}


def lessons(bench: Bench, name: str, story: Sequence[Concept], seed: int) -> list[Document]:
    """One arm's lessons, and what was to be looked at after each; of the rest there is no figure."""
    arm, place, found = ARMS[name], bench.work / name / str(seed), list[Document]()
    studio = Studio(bench.shared(place / "home"))
    for number, concept in enumerate(story):
        every = (number + 1) % bench.size.between == 0 or number == len(story) - 1

        def lesson(number: int = number, concept: Concept = concept, every: bool = every) -> Document:
            taught = bench.teach(studio, arm, concept, number, seed)
            before = found[-1]["concepts"] if found else []
            rows = [{**row, "identity": None, "identified": None, "hash": None} for row in before]
            rows.append({"word": taught["word"]})
            for k in range(number + 1) if every else [number]:
                shown = place / "pictures" / f"{number:02d}-{story[k].label}.png"
                rows[k] = bench.look(studio, MODEL, story[k], rows[k]["word"], shown)
            return {"seconds": taught["seconds"], "concepts": rows}

        try:
            found.append(once(place / f"lesson-{number:02d}.json", lesson))
        except Refused as why:  # one cost more than a whole concept: what came before stands
            say(f"{name} ends before {why}")
            break
    return found


def sequence(bench: Bench, name: str, story: Sequence[Concept], seed: int) -> Document:
    """One arm, one seed: every lesson, and what became of the base."""
    place, count = bench.work / name / str(seed), bench.size.questions[1]
    return {
        "lessons": lessons(bench, name, story, seed),
        "after": bench.after(Studio(place / "home"), MODEL, story, place, count),
    }


def home(bench: Bench, arm: Arm, place: Path, seed: int) -> Path:
    """Where the gated model lies that an arm makes one set of weights of: a copy, if it takes fewer concepts."""
    whole = bench.work / "gated" / str(seed) / "home"
    if not arm.first:
        return whole
    if not (place / "home").exists():
        draft = place / "copy"
        shutil.rmtree(draft, ignore_errors=True)
        shutil.copytree(whole, draft, symlinks=True)
        studio = Studio(draft)
        if ONE in {m["name"] for m in studio.models()}:
            studio.delete_model(ONE)
        while len(studio.concepts(MODEL)) > arm.first:
            studio.rollback(MODEL)
        draft.rename(place / "home")
    return place / "home"


def in_one(bench: Bench, name: str, story: Sequence[Concept], seed: int, gated: Document) -> Document:
    """The teachers, then one set of weights that was made of them, as if that were a second lesson."""
    arm, place = ARMS[name], bench.work / name / str(seed)
    place.mkdir(parents=True, exist_ok=True)
    story, own = story[: arm.first], name.startswith("consolidated")
    teachers = {**gated["lessons"][-1], "concepts": gated["lessons"][-1]["concepts"][: arm.first]}
    studio, words = Studio(home(bench, arm, place, seed)), [row["word"] for row in teachers["concepts"]]
    prompts = [c.prompts(w) for c, w in zip(story, words, strict=True)]
    shown = [place / "pictures" / f"{c.label}.png" for c in story]

    def make() -> Document:
        began = time.monotonic()
        if own:
            bench.distil(studio, seed)
            painted = [paint(studio, some, ONE, bench.size.each) for some in prompts]
        else:
            base, library = dressed(studio, MODEL)
            family = averaged.averaged(base, library, story, name)
            save(family, place / "family")
            painted = [averaged.paint(family, library, some, bench.size.each) for some in prompts]
        rows = [bench.judge(*row) for row in zip(painted, story, words, shown, strict=True)]
        return {"seconds": time.monotonic() - began, "concepts": rows}

    lessons = [teachers, once(place / "lesson-00.json", make)]
    model = ONE if own else str(place / "family")
    return {"lessons": lessons, "after": bench.after(studio, model, story, place, bench.size.questions[not own])}


def paths(bench: Bench, name: str, stories: Sequence[Sequence[Concept]]) -> list[Path]:
    """The pieces that an arm is made of."""
    found, made = [], ARMS[name].memory == "consolidated"
    count = bench.size.questions[not name.startswith("consolidated")]
    for seed, story in enumerate(stories):
        place = bench.work / name / str(seed)
        found += [place / f"lesson-{k:02d}.json" for k in range(1 if made else len(story))]
        found += [place / "after.json", *(place / f"exam-{k:04d}.json" for k in range(0, count, PART))]
    return found


def run(bench: Bench, stories: Sequence[Sequence[Concept]], name: str) -> list[Document]:
    """One arm, a story a seed; what is made of the gated model's adapters has that taught first."""
    if ARMS[name].memory != "consolidated":
        return [sequence(bench, name, story, seed) for seed, story in enumerate(stories)]
    gated = run(bench, stories, "gated")
    return [in_one(bench, name, story, seed, gated[seed]) for seed, story in enumerate(stories)]


def base(bench: Bench, story: Sequence[Concept], runs: kept.Runs) -> Document:
    """The base itself, asked as many questions as any of the runs."""
    count = max(len(run["after"]["marks"]) for some in runs.values() for run in some)
    return bench.after(Studio(bench.work / "base"), bench.base, story, bench.work / "base", count)


def told(bench: Bench, stories: Sequence[Sequence[Concept]], runs: kept.Runs) -> Document:
    """What the result file says of the arms that were run."""
    before = base(bench, stories[0], runs)
    figures = {n: kept.summed(some, before, sequential=ARMS[n].memory != "consolidated") for n, some in runs.items()}
    arms = plain({n: {"about": ARMS[n].about, **figures[n]} for n in runs})
    about = {"rulers": {label: scale.valid() for label, scale in bench.scales.items()}, "size": vars(bench.size)}
    about |= {"stories": [[c.label for c in story] for story in stories], **computing(bench.family)}
    return {"verdicts": plain(kept.verdicts(arms)), "arms": arms, "base": kept.shares(before["marks"]), **plain(about)}


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
    every = {name: paths(bench, name, stories) for name in ARMS}
    runs, found = kept.Runs(), None
    count = max(bench.size.questions[not name.startswith("consolidated")] for name in names)
    asked_of_base = [bench.work / "base" / f"exam-{k:04d}.json" for k in range(0, count, PART)]
    with pieces([*(path for name in names for path in every[name]), *asked_of_base]):
        for name in ARMS:
            if name in names or all(path.is_file() for path in every[name]):
                try:
                    runs[name] = run(bench, stories, name)
                except Refused as why:
                    say(f"{name} is left out: {why}")
                    continue
                found = told(bench, stories, runs)
                write_atomic(out, json.dumps(found, indent=1) + "\n")
                kept.drawn(runs, stories[0], found["arms"]).save(out.with_suffix(".png"))
    print(json.dumps(found and found["verdicts"], indent=1))


if __name__ == "__main__":
    main()
