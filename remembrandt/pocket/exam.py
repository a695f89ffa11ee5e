"""The painter's examination: unseen prompts are painted and read back by the judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from remembrandt.evaluation.judges import Readers, read
from remembrandt.pocket import pictures

#: paints one picture a prompt: (prompts, first seed) -> uint8 (n, h, w, 3)
Paint = Callable[[Sequence[str], int], np.ndarray]


def exam(paint: Paint, readers: Readers, singles: int = 512, pairs: int = 128, part: int = 32) -> dict[str, float]:
    """Shares of right answers on scenes never trained on: one thing (category, colour, pattern, place, style, all four)
    and two things (both categories; colours on the right ones; relation)."""
    from remembrandt.pocket.world.captions import canonical
    from remembrandt.pocket.world.styles import STYLES

    hits: dict[str, list[bool]] = {}

    def note(name: str, right: bool) -> None:
        hits.setdefault(name, []).append(bool(right))

    for start in range(0, singles, part):
        numbers = range(pictures.UNSEEN + start, pictures.UNSEEN + min(start + part, singles))
        scenes = [pictures.scene(n, pairs=0.0, signs=0.0) for n in numbers]
        images = paint([canonical(s) for s in scenes], start)
        asked = [[s.subjects[0].category] for s in scenes]
        for scene, seen in zip(scenes, read(readers, images, asked), strict=True):
            subject = scene.subjects[0]
            thing, lost = seen.things[subject.category], STYLES[scene.style].destroys
            right = {
                "category": thing["present"] == "True",
                "colour": thing["colour"] == subject.colour,
                "place": seen.whole["place"] == scene.place,
                "style": seen.whole["style"] == scene.style,
            }
            for name, value in right.items():
                if name not in lost:
                    note(name, value)
            if not lost:  # else a colour that nobody can see would count as right
                note("all four", all(right.values()))
            if "pattern" not in lost:
                note("pattern", thing["pattern"] == subject.pattern)
    for start in range(0, pairs, part):
        numbers = range(pictures.UNSEEN + 10**6 + start, pictures.UNSEEN + 10**6 + min(start + part, pairs))
        scenes = [pictures.scene(n, pairs=1.0, signs=0.0, styles=("photo",)) for n in numbers]
        images = paint([canonical(s) for s in scenes], 10_000 + start)
        names = [[t.category for t in s.subjects] for s in scenes]
        for scene, seen in zip(scenes, read(readers, images, names), strict=True):
            both = all(seen.things[t.category]["present"] == "True" for t in scene.subjects)
            bound = both and all(seen.things[t.category]["colour"] == t.colour for t in scene.subjects)
            note("two: categories", both)
            note("two: colours on the right thing", bound)
            note("two: relation too", bound and seen.whole["relation"] == scene.relation)
    return {name: float(np.mean(values)) for name, values in hits.items()}
