"""The pocket's autoencoder: trained on crops of the world and of natural statistics, its decoder then on pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from remembrandt.conditions.spatial import to_tensor
from remembrandt.pocket import pictures

NATURAL = 3_000


def naturals(folder: Path) -> np.ndarray:
    """`NATURAL` pictures of natural statistics, uint8 (n, 128, 128, 3), made once."""

    def make() -> np.ndarray:
        with pictures.workers() as pool:
            return np.stack(list(pool.map(_natural, range(NATURAL), chunksize=100)))

    return pictures.once(folder / "natural.npy", make)


def _natural(number: int) -> np.ndarray:
    return pictures.natural(np.random.default_rng([11, number]))


def batches(folder: Path, shards: int, batch: int, seed: int) -> Callable[[int, int], Tensor]:
    """(step, crop) -> pixels (batch, 3, crop, crop) in [-1, 1]: seven eighths world, one eighth natural."""
    world = [pictures.shard(folder, i) for i in range(shards)]
    nature = naturals(folder)

    def make(step: int, crop: int) -> Tensor:
        rng = np.random.default_rng([seed, step])
        out = np.empty((batch, crop, crop, 3), np.uint8)
        for i in range(batch):
            natural = i % 8 == 0
            source = nature if natural else world[int(rng.integers(len(world)))]
            image = source[int(rng.integers(len(source)))]
            y, x = rng.integers(0, 129 - crop, 2)
            image = image[y : y + crop, x : x + crop]
            image = image[:, ::-1] if rng.random() < 0.5 else image
            if natural:  # nature's colours have no fixed names
                image = image[..., rng.permutation(3)] if rng.random() < 0.5 else image
                image = np.rot90(image, int(rng.integers(4)))
            out[i] = image
        return to_tensor(out)

    return make


def loss(network: AutoencoderKL, pixels: Tensor, generator: torch.Generator) -> Tensor:
    """L1 + 10 L2 + a tenth of the gradients' L1, plus a whisper of KL that keeps the latents' scale."""
    pixels = pixels.to(network.device)
    with torch.autocast(pixels.device.type, torch.bfloat16):
        mean, logvar = network.encode(pixels).latent_dist.parameters.chunk(2, 1)  # type: ignore[union-attr]
        mean, logvar = mean.float(), logvar.float().clamp(-30, 20)
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        out = network.decode(mean + torch.exp(0.5 * logvar) * noise).sample.float()  # type: ignore[union-attr]
    wrong = out - pixels
    slopes = wrong.diff(dim=-1).abs().mean() + wrong.diff(dim=-2).abs().mean()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    return wrong.abs().mean() + 10 * wrong.square().mean() + 0.1 * slopes + 1e-4 * kl


def finish(network: AutoencoderKL, pixels: Tensor) -> Tensor:
    """The mean PSNR itself, as log squared error a picture, for the decoder alone: latents that were made stay true."""
    pixels = pixels.to(network.device)
    with torch.autocast(pixels.device.type, torch.bfloat16):
        with torch.no_grad():
            latents = network.encode(pixels).latent_dist.mean  # type: ignore[union-attr]
        out = network.decode(latents).sample.float()  # type: ignore[union-attr]
    return (out - pixels).square().mean((1, 2, 3)).log().mean()


@torch.no_grad()
def psnr(network: AutoencoderKL, images: np.ndarray) -> float:
    """Mean over pictures of the peak signal-to-noise ratio of a round trip, dB; images uint8 (n, h, w, 3)."""
    values = []
    for part in np.array_split(images, max(1, len(images) // 16)):
        pixels = to_tensor(part)
        out = network.decode(network.encode(pixels).latent_dist.mean).sample  # type: ignore[union-attr]
        error = ((out.clamp(-1, 1) - pixels) * 0.5).square().flatten(1).mean(1)
        values += (-10 * torch.log10(error)).tolist()
    return float(np.mean(values))
