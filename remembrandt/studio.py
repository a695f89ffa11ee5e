"""The Python interface: what the command line gives, by the same names and fields.

from remembrandt import Studio

studio = Studio()
lesson = studio.finetune("photos/", category="dog")
picture = studio.generate(f"a {lesson.identifier} dog on the beach", seed=1)[0]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from remembrandt.service import Service
from remembrandt.settings import settings

#: Use cases whose answer is the document that `--json` prints.
TELLING = (
    "prepare", "models", "model", "concepts", "concept", "samplers", "methods", "families",
    "jobs", "job", "cancel", "export", "import_lora", "plan", "demo", "add_family", "pull_family",
    "versions", "pick", "rollback", "retention", "forget", "rename_model", "delete_model", "rename_concept",
    "delete_concept", "clean", "convergence", "consolidate", "train", "recipes", "compare",
)  # fmt: skip


@dataclass(frozen=True)
class Lesson:
    """What `finetune` tells of a lesson; `retention["published"]` says whether the model has it."""

    model: str
    version: int
    concept: str
    identifier: str
    name: str | None
    category: str
    method: str
    memory: str
    scope: str
    base: str
    steps: int
    seconds: float
    job: str
    warnings: list[str]
    retention: dict[str, Any]
    ladder: dict[str, Any] | None = None


class Studio:
    """The use cases of `Service` on one home; pictures come back as PIL, with `.recipe`."""

    def __init__(
        self,
        home: str | Path | None = None,
        device: str | None = None,
        precision: str | None = None,
    ) -> None:
        self.service = Service(settings(home, device, precision))

    def __getattr__(self, name: str):
        if name not in TELLING:
            raise AttributeError(f"Studio has no {name!r}")
        return getattr(self.service, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *TELLING]

    def finetune(self, images, category: str, **options: Any) -> Lesson:
        """Teach one concept; options and errors as `Service.finetune`."""
        return Lesson(**self.service.finetune(images, category, **options))

    def promote(self, concept: str, to: str, **options: Any) -> Lesson:
        """Teach a tested concept to another model, as it was taught."""
        return Lesson(**self.service.promote(concept, to, **options))

    def resume(self, job: str, **options: Any) -> Lesson:
        """Finish an interrupted lesson."""
        return Lesson(**self.service.resume(job, **options))

    def generate(self, prompt: str, **options: Any) -> list[Image.Image]:
        """Pictures, saved nowhere; options and errors as `Service.paint`."""
        return [picture(p.pixels, p.recipe) for p in self.service.paint(prompt, **options)]

    def variations(self, images, **options: Any) -> list[Image.Image]:
        """Variations of one or several pictures, saved nowhere; options and errors as `Service.vary`."""
        return [picture(p.pixels, p.recipe) for p in self.service.vary(images, **options)]

    def imagine(self, prompt: str, **options: Any) -> list[Image.Image]:
        """Pictures of a prompt through a prior, saved nowhere; options and errors as `Service.dream`."""
        return [picture(p.pixels, p.recipe) for p in self.service.dream(prompt, **options)]


def picture(pixels, recipe: dict[str, Any]) -> Image.Image:
    """A picture that carries its recipe."""
    found = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    found.recipe = recipe  # type: ignore[attr-defined]
    return found
