"""Safety: pictures are held against concepts in CLIP's space, and what is done with those that show one is said.

The checker is that of diffusers' `StableDiffusionSafetyChecker` (its folder `safety_checker`, its decisions), without
its black pictures: a policy blurs, withholds or reports, and every recipe says which. Black for another reason, numbers
that are not finite, is an error of its own and never gets here (`Family.decode`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from remembrandt.conditions import spatial
from remembrandt.conditions.image import preprocessed
from remembrandt.engine.engine import Painted
from remembrandt.family import weights
from remembrandt.family.family import Family
from remembrandt.family.folder import CHECKER, read_json
from remembrandt.report import EMPTY, FAINT, Event, Progress, silent
from remembrandt.settings import Wrong, nearest

#: As diffusers' pipelines bring a picture to the checker: the middle square, antialiased.
SEEN = {"resize": "bicubic", "antialias": True, "align_corners": False, "fit": "crop", "clamp": True}
CAUTION = 0.01  # what the sight of a special concept adds to all scores
TENSORS = ("concept_embeds", "concept_embeds_weights", "special_care_embeds", "special_care_embeds_weights")
DEFAULT, OFF = "report", "off"


@dataclass(frozen=True, eq=False)
class Checker:
    """`tower` sees pictures; `known` holds by the names of `TENSORS` directions (k, d) and least cosines (k)."""

    tower: CLIPVisionModelWithProjection
    known: Mapping[str, Tensor]
    names: Sequence[str]
    resize: Mapping[str, Any]

    @torch.inference_mode()
    def __call__(self, pictures: Sequence[np.ndarray]) -> list[dict[str, float]]:
        """For each picture, uint8 (h, w, 3), the concepts it shows and by how much of cosine."""
        tower, found = self.tower, []
        for picture in pictures:
            seen = preprocessed([picture], self.resize, tower.config.image_size)  # type: ignore[arg-type]
            found += self.decided(tower(seen.to(tower.device, tower.dtype)).image_embeds)
        return found

    def decided(self, embeds: Tensor) -> list[dict[str, float]]:
        """As diffusers decides of embeddings (n, d): rounded to 3 digits, stricter where a special concept is seen."""
        unit = F.normalize(embeds.float().cpu())
        above = [unit @ F.normalize(self.known[e]).T - self.known[w] for e, w in (TENSORS[2:], TENSORS[:2])]
        careful = (above[0].numpy().round(3) > 0).any(1, keepdims=True)
        scores = (above[1].numpy() + np.float32(CAUTION) * careful).round(3)
        return [{n: round(float(x), 3) for n, x in zip(self.names, row, strict=True) if x > 0} for row in scores]


_loaded: WeakKeyDictionary[Family, Checker | None] = WeakKeyDictionary()


def checker(family: Family) -> Checker | None:
    """The family's checker, loaded once, if it brings one as safetensors."""
    if family not in _loaded:
        place = family.folder / CHECKER if family.folder else None
        here = place is not None and (place / "config.json").is_file() and any(place.glob("*.safetensors"))
        _loaded[family] = _read(place, family) if place and here else None
    return _loaded[family]


def _read(folder: Path, family: Family) -> Checker:
    """A folder of diffusers', or one without a tower of its own: then the family's image encoder sees."""
    config, lazy = read_json(folder / "config.json"), weights.opened_folder(folder)
    try:
        known = {name: lazy[name]().float() for name in TENSORS}
        tower = family.image_encoder if "vision_config" not in config else _tower(folder, config, lazy, family)
    except (KeyError, TypeError, ValueError) as fault:
        raise Wrong(f"{folder} is no safety checker: {fault}") from None
    wide = {tensor.shape[-1] for name, tensor in known.items() if name.endswith("embeds")}
    if tower is None or wide != {tower.config.projection_dim}:
        raise Wrong(f"{folder} does not fit an image encoder of {family.name}: restore it, or paint with --safety off")
    names = config.get("concepts") or [f"concept {k}" for k in range(len(known["concept_embeds"]))]
    return Checker(tower, known, names, SEEN | config.get("remembrandt", {}))


def _tower(folder: Path, config: Mapping[str, Any], lazy: weights.Lazy, family: Family):
    sizes = {**config["vision_config"], "projection_dim": config["projection_dim"]}
    with torch.device("meta"):
        tower = CLIPVisionModelWithProjection(CLIPVisionConfig.from_dict(sizes))
    named = {key.replace("vision_model.vision_model.", "vision_model."): read for key, read in lazy.items()}
    own = {k: read for k, read in named.items() if k not in TENSORS and not k.endswith("position_ids")}
    kind = torch.float16 if family.dtype == torch.float16 else torch.float32  # bf16 has too few digits to decide by
    weights.fill(tower, own, family.device, kind, f"the tower of {folder}")
    return tower


def blurred(picture: np.ndarray) -> np.ndarray:
    """What eight fields a side tell of it."""
    return spatial.resized(spatial.resized(picture, (8, 8)), picture.shape[1::-1])  # type: ignore[arg-type]


def card(picture: np.ndarray) -> np.ndarray:
    """A card of the picture's size that says that there was one."""
    high, wide = picture.shape[:2]
    made = Image.new("RGB", (wide, high), EMPTY)
    font = ImageFont.load_default(max(8, min(wide, high) // 10))
    ImageDraw.Draw(made).text((wide / 2, high / 2), "withheld", fill=FAINT, font=font, anchor="mm")
    return np.asarray(made)


#: What becomes of a picture that shows a concept, and how that is said; `off` does not look.
POLICIES: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "blur": ("blurred", blurred),
    "withhold": ("withheld", card),
    "report": ("shown as it is", lambda picture: picture),
    OFF: ("not looked at", lambda picture: picture),
}


def known(policy: str | None) -> str:
    """The policy of that name, or the one by default."""
    if policy is not None and policy not in POLICIES:
        raise Wrong(f"there is no safety {policy!r}.{nearest(policy, POLICIES)} There are: {', '.join(POLICIES)}")
    return policy or DEFAULT


def withheld(painted: Painted) -> bool:
    """Whether what is there is a card in its place."""
    return painted.recipe.get("safety") == "withhold" and "flagged" in painted.recipe


def hides(family: Family, policy: str | None) -> bool:
    """Whether pictures may be kept from being seen, so that nothing of one is shown before it is done."""
    return policy in ("blur", "withhold") and checker(family) is not None


def flagged(family: Family, pictures: Sequence[np.ndarray]) -> list[dict[str, float]]:
    """Of each picture what the family's checker sees in it; nothing where there is no checker."""
    judge = checker(family)
    return judge(pictures) if judge else [{} for _ in pictures]


def guarded(
    family: Family, painted: Sequence[Painted], policy: str | None = None, progress: Progress = silent
) -> list[Painted]:
    """The pictures as the policy leaves them: recipes say the policy (`safety`), and what was seen (`flagged`).

    Without a checker nothing is done, which is said to who asked for one.
    """
    chosen, total = known(policy), len(painted)
    if chosen == OFF or checker(family) is None:
        if policy not in (None, OFF):
            said = f"{family.name} brings no safety checker: nothing was looked at"
            progress(Event("safety", 0, total, message=said))
        looked = {"safety": OFF if policy == OFF else "no checker"} if policy else {}
        return [replace(p, recipe={**p.recipe, **looked}) for p in painted]
    told, change = POLICIES[chosen]
    found = []
    for number, (one, seen) in enumerate(zip(painted, flagged(family, [p.pixels for p in painted]), strict=True), 1):
        recipe = {**one.recipe, "safety": chosen}
        if seen:
            said = f"the safety checker sees {' and '.join(seen)}: seed {recipe['seed']} is {told}"
            progress(Event("safety", number, total, message=said))
            recipe["flagged"] = seen
        found.append(replace(one, pixels=change(one.pixels) if seen else one.pixels, recipe=recipe))
    return found
