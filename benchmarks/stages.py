"""Does it pay to train variations in two stages? And what does a picture brought to the encoder in another way cost?

    python -m benchmarks.stages [--full] [-o FILE]

From the embedded painter the recipe `variations` is run three ways on the same renders, at as many steps of as many
pictures: cross-attention first and then everything (as Stable Diffusion Image Variations v2 was trained), everything at
once (as v1), and LoRA. Unseen renders are then given and the judges say whether category and colour were kept. The
first is given them, too, resized in other ways than it was trained on, and once more as it was trained, with other
noise: what chance alone does; so is the embedded variations model, if it is there. Beside the JSON a sheet; the drops
are drawn and filled into docs/resizing.md. About 40 minutes on one core; stopped, it goes on where it was.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import Parameter

from benchmarks import arguments, guide, once, places, plain
from benchmarks.concepts import readers
from benchmarks.painting import computing
from benchmarks.ways import FIGURE, FIRST, figure, judged, line, quirks, seen, told
from remembrandt.adapters import lora
from remembrandt.adapters.lora import DOWN, UP
from remembrandt.family.family import VARIATIONS, Family
from remembrandt.family.load import load
from remembrandt.pocket import paint, pictures
from remembrandt.pocket.varied import VIEW
from remembrandt.pocket.world.scene import render
from remembrandt.report import sheet, write_atomic
from remembrandt.settings import Wrong
from remembrandt.training.dreambooth import exact
from remembrandt.training.loop import fit
from remembrandt.training.recipe import Stage, denoising
from remembrandt.training.variations import Variations

RANK = 16
PAGE = Path("docs/resizing.md")


@dataclass(frozen=True)
class Size:
    """Renders that are trained on, steps and pictures a step, renders that are given, columns of the sheet."""

    renders: int = 3_000
    steps: int = 800
    batch: int = 32
    given: int = 96
    shown: int = 8


SIZES = {"tiny": Size(4, 2, 2, 2, 2), "usual": Size(), "full": Size(40_000, 8_000, 32, 512, 12)}

@dataclass(frozen=True, eq=False)
class Renders:
    """Rows of the first `count` scenes of the world."""

    latents: np.ndarray
    embeddings: Tensor

    def __len__(self) -> int:
        return len(self.latents)

    def __getitem__(self, number: int) -> Mapping[str, Tensor]:
        mean, std = torch.from_numpy(np.array(self.latents[number])).chunk(2)
        return {"mean": mean, "std": std, "embedding": self.embeddings[number]}


def renders(family: Family, count: int, work: Path) -> Renders:
    latents = pictures.once(
        work / "latents.npy", lambda: paint.encoded(family.vae, np.stack([pictures.picture(n) for n in range(count)]))
    )
    shown = pictures.once(work / "shown.npy", lambda: np.stack([pictures.picture(n, VIEW) for n in range(count)]))
    return Renders(latents, seen(family, shown))


def stages(family: Family, rows: Renders, size: Size, arm: str) -> list[Stage]:
    """What moves in an arm: `size.steps` steps in all."""
    first = size.steps // 4 if arm == "two stages" else 0
    recipe = recipe_of(size, first)
    if arm != "lora":
        return recipe.stages(family, rows, 1)
    pairs = lora.start(lora.layers(family.unet), RANK, 1)
    moved = {f"{name}.{end}": Parameter(t.to(family.device)) for name, pair in pairs.items() for end, t in pair.items()}
    loss = denoising(recipe, family, rows, 1, size.batch)
    return [Stage("lora", moved, recipe.plan(learning_rate=2e-3), size.batch, loss)]


def recipe_of(size: Size, first: int = 0) -> Variations:
    return Variations(
        attention_steps=first, attention_rate=6e-4, attention_warmup=first // 10, attention_batch=size.batch,
        steps=size.steps - first, learning_rate=3e-4, warmup=size.steps // 20, batch=size.batch,
        ema=0.995, gamma=5.0,
    )  # fmt: skip


@contextmanager
def worn(family: Family, moved: Mapping[str, Tensor]) -> Iterator[None]:
    """Inside, the layers of the UNet add what the pairs among `moved` say; nothing where there are none."""
    handles = []
    for name, layer in family.unet.named_modules():
        if f"{name}.{DOWN}" in moved:
            down, up = moved[f"{name}.{DOWN}"], moved[f"{name}.{UP}"]
            act = partial(_added, down=down, up=up)
            handles.append(layer.register_forward_hook(act))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _added(layer, args, out: Tensor, down: Tensor, up: Tensor) -> Tensor:
    return out + lora.added(layer, args[0], down, up)


def taught(base: Callable[[], Family], rows: Renders, size: Size, arm: str, work: Path) -> tuple[Family, float]:
    """The family after an arm, and the seconds that its steps took."""
    family, folder = base(), work / arm.replace(" ", "-")
    seconds = 0.0
    for stage in stages(family, rows, size, arm):
        kept, clock = folder / f"{stage.name}.safetensors", folder / f"{stage.name}.json"
        if not kept.is_file():
            for parameter in stage.parameters.values():
                parameter.requires_grad_(True)
            began = time.monotonic()
            plan = replace(stage.plan, checkpoint_every=100)
            with worn(family, stage.parameters):
                outcome = fit(
                    lambda step, stage=stage: stage.loss(step, range(stage.batch)),
                    stage.parameters, plan, folder=folder / stage.name,
                )  # fmt: skip
            family.unet.requires_grad_(False)
            once(clock, lambda began=began: time.monotonic() - began)
            save_file({n: t.detach().cpu().contiguous() for n, t in outcome.average.items()}, kept)
        seconds += once(clock, lambda: 0.0)
        learned = {n: t.to(family.device) for n, t in load_file(kept).items()}
        with torch.no_grad():
            for name, p in stage.parameters.items():
                p.copy_(learned[name])
            for name, layer in family.unet.named_modules():
                if f"{name}.{DOWN}" in learned:
                    layer.weight.copy_(lora.merged(layer.weight, learned[f"{name}.{DOWN}"], learned[f"{name}.{UP}"]))
    return family, seconds


def _embedded() -> Family | None:
    try:
        return load("variations", precision="fp32")
    except Wrong:
        return None


def main(given: Sequence[str] | None = None) -> None:
    asked = arguments(__doc__, "stages").parse_args(given)
    size = SIZES[asked.size]

    def base() -> Family:
        family = load(asked.base, precision="bf16" if asked.size != "tiny" else "fp32")
        exact(family)
        return recipe_of(size).begun(family)

    plainly = base()
    judge = readers(plainly)
    work, out = places(asked, "stages", plainly.digest)
    rows = renders(plainly, size.renders, work)
    shown = [render(pictures.scene(FIRST + n, pairs=0.0, signs=0.0), 128) for n in range(size.shown)]
    arms, quirk, drawn = {}, {}, [("given", shown)]
    taken: dict[str, Family] = {}
    for arm in ("two stages", "one stage", "lora"):
        family, seconds = taught(base, rows, size, arm, work)
        now = judged(family, judge, size.given, work / f"{arm.replace(' ', '-')}-kept")
        arms[arm] = now.found | {"seconds": seconds, "steps": size.steps, "batch": size.batch}
        drawn.append((line(arm, now.found), list(now.made[: size.shown])))
        taken.setdefault("two stages", family)
    if shipped := _embedded() if asked.base == "pocket" else None:
        taken["embedded"] = shipped
    for name, family in taken.items():
        assert family.kind == VARIATIONS
        place = work / family.digest[:8] if name == "embedded" else work
        quirk[name], some = quirks(family, judge, size.given, place, name)
        drawn += [(title, row[: size.shown]) for title, row in some]
    found = plain({"arms": arms, "resize": quirk, "size": asdict(size), **computing(plainly)})
    write_atomic(out, json.dumps(found, indent=1) + "\n")
    sheet(drawn, "Variations: stages, and ways to resize", cell=96).save(out.with_suffix(".png"))
    if asked.size != "tiny" and not asked.out:
        figure(found["resize"]).save(FIGURE)
        guide.fill(PAGE, {"judged": told(found["resize"])})
    print(json.dumps({"arms": found["arms"], "resize": found["resize"]}, indent=1))


if __name__ == "__main__":
    main()
