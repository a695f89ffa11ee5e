"""What do a painter's weights mean by their angles, and what by their magnitudes?

    python -m benchmarks.angles [--full] [-o FILE]

The figure that motivates OFT (Qiu et al. 2023, arXiv 2306.07280, section 3.1): a neuron gives w.x = |w| |x| cos(w, x).
Here every convolution and linear layer of the autoencoder, and then of the UNet, keeps one of the two. Angles only:
cos(w, x), times the mean of |w| |x| over the layer's neurons and places, which is the same for all. Magnitudes only:
|w| |x|, without a sign. Renders go through the autoencoder, prompts through the whole painter. Beside the JSON a sheet;
the figures are the PSNR of the first and the readers' exam of the second.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks import arguments, once, pieces, places, plain
from benchmarks.concepts import readers
from benchmarks.exam import painter
from benchmarks.painting import computing
from remembrandt.conditions.spatial import to_tensor
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.pocket import pictures
from remembrandt.pocket.exam import exam
from remembrandt.pocket.world.captions import canonical
from remembrandt.report import sheet, write_atomic
from remembrandt.settings import Wrong

Act = Callable[[nn.Module, Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Size:
    """Pictures of the sheet, renders through the autoencoder, questions of the exam."""

    shown: int = 8
    renders: int = 64
    questions: int = 128


SIZES = {"tiny": Size(2, 2, 4), "usual": Size(), "full": Size(16, 256, 1024)}


def parts(layer: nn.Module, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """w.x without the bias, |w| of every neuron, |x| at every place: shaped so that they multiply to the output's."""
    weight: Tensor = layer.weight  # type: ignore[assignment]
    norms, square = weight.flatten(1).norm(dim=1), x.square()
    if isinstance(layer, nn.Linear):
        bias = 0 if layer.bias is None else layer.bias
        return y - bias, norms, square.sum(-1, keepdim=True).sqrt()
    assert isinstance(layer, nn.Conv2d) and layer.groups == 1
    ones = torch.ones(1, *weight.shape[1:], dtype=x.dtype, device=x.device)
    seen = F.conv2d(square, ones, None, layer.stride, layer.padding, layer.dilation).clamp_min(0).sqrt()
    bias = 0 if layer.bias is None else layer.bias.view(-1, 1, 1)
    return y - bias, norms.view(-1, 1, 1), seen


def angles(layer: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """cos(w, x) for every neuron, at the layer's mean magnitude for the picture; the bias stays."""
    product, norms, seen = parts(layer, x, y)
    magnitude = norms * seen
    usual = magnitude.flatten(1).mean(1).view(-1, *[1] * (y.dim() - 1))
    return y - product + product / magnitude.clamp_min(1e-9) * usual


def magnitudes(layer: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """|w| |x|, whatever the angle; the bias stays."""
    product, norms, seen = parts(layer, x, y)
    return y - product + norms * seen


KEPT: dict[str, Act | None] = {"both": None, "angles only": angles, "magnitudes only": magnitudes}


@contextmanager
def keeping(network: nn.Module, act: Act | None) -> Iterator[None]:
    """Inside, every convolution and linear layer of the network gives what `act` makes of its input and output."""
    layers = [m for m in network.modules() if isinstance(m, nn.Linear | nn.Conv2d)] if act else []
    handles = [m.register_forward_hook(lambda m, args, y: act(m, args[0], y)) for m in layers]  # type: ignore[misc]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def paint(family: Family) -> Callable[[Sequence[str], int], np.ndarray]:
    """As `benchmarks.exam.painter`; what is not finite is black."""
    side, whole = family.record.size, painter(family)

    def painted(prompts: Sequence[str], seed: int) -> np.ndarray:
        try:
            return whole(prompts, seed)
        except Wrong:
            return np.zeros((len(prompts), side, side, 3), np.uint8)

    return painted


def through(family: Family, renders: np.ndarray) -> np.ndarray:
    """Renders as the autoencoder gives them back."""
    made = []
    for picture in renders:
        pixels = to_tensor(picture)
        made.append(family.decode(family.encode(pixels)[0]))
    return np.concatenate(made)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """The mean over pictures, in decibels."""
    errors = (a.astype(float) - b.astype(float)).reshape(len(a), -1)
    return float((10 * np.log10(255**2 / np.maximum((errors**2).mean(1), 1e-9))).mean())


def main(given: Sequence[str] | None = None) -> None:
    asked = arguments(__doc__, "angles").parse_args(given)
    family, size = load(asked.base, precision="fp32"), SIZES[asked.size]
    work, out = places(asked, "angles", family.digest)
    scenes = [pictures.scene(pictures.UNSEEN + 7_000 + k) for k in range(size.renders)]
    renders = np.stack([pictures.picture(pictures.UNSEEN + 7_000 + k) for k in range(size.renders)])
    said = [canonical(scene) for scene in scenes[: size.shown]]
    rows, below, found = [("renders", list(renders[: size.shown]))], [], {}
    told = dict[str, Any]()
    with pieces([work / f"{name}.json" for name in KEPT]):
        for name, act in KEPT.items():
            with keeping(family.vae, act):
                again = through(family, renders)
            with keeping(family.unet, act):
                painted = paint(family)(said, 1)
                judge = lambda: exam(paint(family), readers(family), singles=size.questions, pairs=0)  # noqa: E731
                seen = once(work / f"{name}.json", judge)
            found[name] = {"autoencoder_psnr": psnr(again, renders), "exam": seen}
            rows.append((f"autoencoder: {name}", list(again[: size.shown])))
            below.append((f"painter: {name}", list(painted)))
            told = plain({"kept": found, "size": vars(size), **computing(family)})
            write_atomic(out, json.dumps(told, indent=1) + "\n")
            sheet([*rows, *below], "Angles and magnitudes", cell=96).save(out.with_suffix(".png"))
    print(json.dumps(told.get("kept"), indent=1))


if __name__ == "__main__":
    main()
