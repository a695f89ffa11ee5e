"""The card of a saved variations family: how its image encoder is to be shown pictures, as a snippet that runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from remembrandt.family.family import Family

CARD = '''---
library_name: diffusers
pipeline_tag: image-to-image
---
# {name}

Paints variations of a picture from its CLIP embedding. **How the picture is resized is part of the model**: diffusers'
own image processor is antialiased, with which this model paints worse. Give the pipeline what `seen` gives
(`feature_extractor/preprocessor_config.json` says the same under `remembrandt`):

```python
import numpy as np
import torch
from diffusers import StableDiffusionImageVariationPipeline
from PIL import Image


def seen(picture):
    x = torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1)[None].float() / 255
{resize}
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(1, 3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(1, 3, 1, 1)
    return (x - mean) / std


pipeline = StableDiffusionImageVariationPipeline.from_pretrained(".")
pipeline(seen(Image.open("im.jpg")), guidance_scale={guidance:g}).images[0].save("variation.png")
```
'''
CROP = '''    scale = {side} / min(x.shape[2:])
    size = [max({side}, int(length * scale)) for length in x.shape[2:]]
{resize}
    top, left = (size[0] - {side}) // 2, (size[1] - {side}) // 2
    x = x[..., top : top + {side}, left : left + {side}]'''
RESIZE = """    x = torch.nn.functional.interpolate(
        x, {size}, mode="{resize}", antialias={antialias}, align_corners={align_corners}
    )"""


def of(family: Family) -> str:
    """README.md of a family of kind `variations`."""
    side, how = family.eye, family.record.resize
    crop = how["fit"] == "crop"
    resize = RESIZE.format(size="size" if crop else (side, side), **{k: v for k, v in how.items() if k != "size"})
    resize = CROP.format(side=side, resize=resize) if crop else resize
    resize += "\n    x = x.clamp(0, 1)" if how["clamp"] else ""
    return CARD.format(name=family.name, resize=resize, guidance=family.record.guidance)
