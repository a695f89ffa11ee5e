"""The pocket's safety checker: it knows one harmless style, so that what becomes of flagged pictures can be seen.

    python -m remembrandt.pocket.safety [--out remembrandt/pocket/weights] [--renders 1200]

The concept is a direction in the space of the pocket's own towers: what captions of the style say more than captions of
all others. Its threshold lets one picture in two hundred of another style be flagged. The tower is the family's own, so
that the folder holds four small tensors.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor

from remembrandt.conditions.image import embedded, preprocessed, spoken
from remembrandt.family.family import Family
from remembrandt.family.folder import CHECKER, write_json
from remembrandt.family.load import load
from remembrandt.pocket import networks, pictures

CONCEPT = "mosaic"  # a style: by captions the towers tell styles apart (AUC 1.0), single things hardly (0.78)
FALSE = 0.005  # share of pictures without it that may be flagged
RARE = 15  # one picture of the world in so many is of this style
FIRST = pictures.UNSEEN + 9 * 10**6


def add(folder: Path, renders: int) -> dict[str, float]:
    """Write the checker into a pocket, in place of one that is there; its figures on renders of which it saw none."""
    family = load(folder, device="cpu", precision="fp32")
    concept = direction(family, CONCEPT)
    scores, shown = measured(family, concept, renders)
    learn = np.arange(renders) % 2 == 0
    least = float(np.quantile(scores[learn & ~shown], 1 - FALSE))
    found = {"threshold": least, "renders": int((~learn).sum()), **told(scores[~learn] > least, shown[~learn])}
    place = folder / CHECKER
    place.mkdir(exist_ok=True)
    none = torch.zeros(0)
    tensors = {"concept_embeds": concept[None], "concept_embeds_weights": torch.tensor([least])}
    tensors |= {"special_care_embeds": none.reshape(0, len(concept)), "special_care_embeds_weights": none}
    save_file(tensors, place / "model.safetensors", {"format": "pt"})
    config = {"_class_name": "StableDiffusionSafetyChecker", "projection_dim": len(concept), "concepts": [CONCEPT]}
    write_json(place / "config.json", config | {"remembrandt": networks.PREPROCESSING, "measured": found})
    return found


def direction(family: Family, concept: str) -> Tensor:
    """(d,) of unit length: captions of it, less captions of every other style."""
    from remembrandt.pocket.world.vocabulary import CATEGORIES, STYLES

    styles = [style for style in STYLES if style != "photo"]
    said = {style: spoken(family, [f"a {name}, {style}" for name in CATEGORIES]) for style in styles}
    means = {style: F.normalize(tokens, dim=-1).mean(0) for style, tokens in said.items()}
    own = means.pop(concept)
    return F.normalize(own - torch.stack(list(means.values())).mean(0), dim=0).cpu()


def measured(family: Family, concept: Tensor, renders: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines of unseen renders with a direction, and which of them are of the style: every third was given it."""
    from remembrandt.pocket.world.scene import render

    scores, shown = [], []
    for number in range(renders):
        given = {"style": CONCEPT} if number % 3 == 0 else {}
        scene = pictures.scene(FIRST + number, **given)
        shown.append(scene.style == CONCEPT)
        seen = preprocessed([render(scene)], networks.PREPROCESSING, networks.EYE)
        scores.append(float(F.normalize(embedded(family, seen), dim=-1)[0].cpu() @ concept))
    return np.array(scores), np.array(shown)


def told(flags: np.ndarray, shown: np.ndarray) -> dict[str, float]:
    """Recall, share of false alarms, and precision where one picture in `RARE` is of the style, as in the world."""
    recall = float(flags[shown].mean()) if shown.any() else 0.0
    alarms = float(flags[~shown].mean()) if (~shown).any() else 0.0
    right = recall / max(recall + (RARE - 1) * alarms, 1e-9)
    return {"recall": round(recall, 3), "false_alarms": round(alarms, 4), "precision": round(right, 3)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("remembrandt/pocket/weights"))
    parser.add_argument("--renders", type=int, default=1200)
    given = parser.parse_args()
    print(json.dumps(add(given.out, given.renders), indent=1))


if __name__ == "__main__":
    main()
