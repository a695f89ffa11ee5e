"""The recipes, and published numbers for them. A new recipe is one file and one row here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from remembrandt.settings import Wrong, nearest
from remembrandt.training import options
from remembrandt.training.captioned import Captioned
from remembrandt.training.controlling import Controlled
from remembrandt.training.deepening import Depth
from remembrandt.training.enlarging import Upscale
from remembrandt.training.imagining import Prior
from remembrandt.training.inpainting import Inpaint
from remembrandt.training.mixing import Mixer
from remembrandt.training.recipe import Recipe
from remembrandt.training.variations import Variations

RECIPES: dict[str, type] = {
    "variations": Variations,
    "inpaint": Inpaint,
    "text-to-image": Captioned,
    "controlnet": Controlled,
    "depth": Depth,
    "upscale": Upscale,
    "prior": Prior,
    "mixer": Mixer,
}

LAION = {"min_side": 256, "aesthetic": 6.0, "ema": 0.9999, "weight_decay": 0.01, "dropout": 0.1}
#: Stable Diffusion Image Variations as its card tells of it: v1 moved everything at once, v2 in two stages.
PRESETS: dict[str, dict[str, dict[str, Any]]] = {
    "variations": {
        "lambda-v1": {
            **LAION,
            "attention_steps": 0,
            "steps": 87_000, "learning_rate": 1e-4, "warmup": 1_000, "batch": 24,
        },
        "lambda-v2": {
            **LAION,
            "attention_steps": 46_000, "attention_rate": 1e-5, "attention_warmup": 10_000, "attention_batch": 128,
            "steps": 50_000, "learning_rate": 1e-5, "warmup": 5_000, "batch": 160,
        },
    },
}  # fmt: skip


def recipe(name: str, preset: str | None = None, values: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe `name`: `values` over those of a preset, over the defaults. `Wrong` says what is unknown."""
    if name not in RECIPES:
        hint = nearest(name, list(RECIPES))
        raise Wrong(f"there is no recipe {name!r}.{hint} Recipes: {', '.join(RECIPES)}")
    known = PRESETS.get(name, {})
    if preset is not None and preset not in known:
        told = f"Presets: {', '.join(known)}" if known else "It has none"
        raise Wrong(f"{name} has no preset {preset!r}.{nearest(preset, known)} {told}")
    return options.build(RECIPES[name], {**known.get(preset or "", {}), **(values or {})})


def describe() -> list[dict[str, Any]]:
    """`{name, about, presets, options}` of every recipe."""
    return [
        {
            "name": name,
            "about": (kind.__doc__ or "").strip(),
            "presets": list(PRESETS.get(name, {})),
            "options": options.describe(kind),
        }
        for name, kind in RECIPES.items()
    ]
