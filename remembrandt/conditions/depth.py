"""Depth as a condition: one channel beside the latents, white where it is near; and estimated from a picture.

An estimator is a folder of transformers' (`AutoModelForDepthEstimation`): DPT, Depth Anything, ZoeDepth, GLPN.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from safetensors import SafetensorError
from torch import Tensor

from remembrandt.family.family import Family
from remembrandt.settings import Wrong

OWN = "depth_estimator"  # of a family's folder, as Stable Diffusion 2's depth model brings one
METRIC = ("glpn", "zoedepth", "depth_pro")  # tell metres; the others how near
SIDE = 384  # pixels, of an estimator whose processor names none
ASKED = (
    "{} brings no depth estimator: name a transformers folder of one with --depth, for example"
    " `hf download Intel/dpt-hybrid-midas --local-dir midas` and `--depth midas`"
)


def beside(depth: np.ndarray, size: tuple[int, int], factor: int) -> Tensor:
    """Depth (h, w), any numbers, larger is nearer, over latents of a picture of `size`: (1, 1, h, w) in [-1, 1].

    As diffusers' StableDiffusionDepth2ImgPipeline brings it there. `Wrong` if it says nothing.
    """
    depth = np.asarray(depth, np.float32)
    if depth.ndim != 2 or not np.isfinite(depth).all():
        raise Wrong(f"a depth is (h, w) of finite numbers, not {depth.shape}")
    if depth.min() == depth.max():
        raise Wrong("the depth is one value all over: near is white in it, far is black")
    wide, high = (side // factor for side in size)
    found = F.interpolate(torch.from_numpy(depth.copy())[None, None], (high, wide), mode="bicubic")
    low, span = found.amin(), found.amax() - found.amin()
    return 2 * (found - low) / span.clamp(min=1e-12) - 1


def estimated(family: Family, picture: np.ndarray, folder: Path | None = None) -> np.ndarray:
    """How near each place of a picture, uint8 (h, w, 3), is, at the estimator's own size, fp32: by the one in
    `folder`, or else the family's own. `Wrong` if there is none."""
    place = folder or (family.folder / OWN if family.folder else None)
    if place is None or not (place / "config.json").is_file():
        if folder:
            raise Wrong(f"{folder} holds no depth estimator: it has no config.json")
        raise Wrong(ASKED.format(family.name))
    network, how = _opened(place.absolute(), str(family.device))
    with torch.inference_mode():
        found = network(pixel_values=_seen(picture, how).to(family.device)).predicted_depth[0].float().cpu()
    metric = network.config.model_type in METRIC or getattr(network.config, "depth_estimation_type", "") == "metric"
    return (1 / found.clamp(min=1e-3) if metric else found).numpy()


@lru_cache(maxsize=1)
def _opened(folder: Path, device: str) -> tuple[Any, dict[str, Any]]:
    from transformers import AutoModelForDepthEstimation

    from remembrandt.family.folder import read_json

    said = next((p for p in (folder, folder.parent / "feature_extractor") if _processor(p).is_file()), None)
    try:
        network = AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as fault:
        raise Wrong(f"{folder} holds no depth estimator: {str(fault).splitlines()[0]}") from None
    return network.float().eval().to(device), read_json(_processor(said)) if said else {}


def _processor(folder: Path) -> Path:
    return folder / "preprocessor_config.json"


def _seen(picture: np.ndarray, how: dict[str, Any]) -> Tensor:
    """As the estimator's processor says: (1, 3, h, w), resized (squashed) and normalised."""
    size = how.get("size", SIDE)
    size = size if isinstance(size, dict) else {"height": size, "width": size}
    high, wide = (size.get(k, size.get("shortest_edge", SIDE)) for k in ("height", "width"))
    x = torch.tensor(np.ascontiguousarray(picture)).permute(2, 0, 1)[None].float() / 255
    x = F.interpolate(x, (high, wide), mode="bicubic", antialias=True).clamp(0, 1)
    mean, std = (torch.tensor(how.get(k, [0.5] * 3)).view(1, 3, 1, 1) for k in ("image_mean", "image_std"))
    return (x - mean) / std
