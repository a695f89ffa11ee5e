"""The pocket's painter: UNet and text tower, trained on cached latents and captions drawn anew each time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModelWithProjection, CLIPTokenizer

from remembrandt.conditions.spatial import to_tensor
from remembrandt.diffusion.parametrisation import add_noise, target
from remembrandt.diffusion.schedule import Schedule
from remembrandt.pocket import pictures
from remembrandt.training.attention import plain_attention

EMPTY = 0.1  # share of captions that are dropped
PAIRS = 0.65  # share of scenes with two things; as many as the world has (0.35) teach too slowly whose colour is whose


@torch.no_grad()
def encoded(vae: AutoencoderKL, images: np.ndarray) -> np.ndarray:
    """Mean and deviation of the latents of uint8 (n, 128, 128, 3), scaled, float16 (n, 8, 16, 16)."""
    parts = []
    for start in range(0, len(images), 50):
        pixels = to_tensor(images[start : start + 50])
        with torch.autocast(vae.device.type, torch.bfloat16):
            made = vae.encode(pixels.to(vae.device)).latent_dist  # type: ignore[union-attr]
        both = torch.cat([made.mean.float(), made.std.float()], 1) * vae.config["scaling_factor"]
        parts.append(both.half().cpu().numpy())
    return np.concatenate(parts)


def latents(vae: AutoencoderKL, folder: Path, index: int) -> np.ndarray:
    """What `encoded` makes of shard `index`, made once."""
    return pictures.once(folder / f"latents-{index:04d}.npy", lambda: encoded(vae, pictures.shard(folder, index)))


def caption(number: int, draw: int) -> str:
    from remembrandt.pocket.world.captions import caption as say

    return say(pictures.scene(number), np.random.default_rng([19, number, draw]))


def batches(latent: Callable[[int], np.ndarray], shards: range, batch: int, seed: int):
    """step -> (latents (n, 4, 16, 16) drawn from their Gaussians, captions of which `EMPTY` are empty)."""
    every = np.arange(shards.start * pictures.SHARD, shards.stop * pictures.SHARD)
    two = np.array([len(pictures.scene(int(n)).subjects) == 2 for n in every])
    likely = np.where(two, PAIRS / two.sum(), (1 - PAIRS) / (~two).sum())

    def make(step: int) -> tuple[Tensor, list[str]]:
        rng = np.random.default_rng([seed, step])
        numbers = rng.choice(every, batch, p=likely)
        stored = np.stack([latent(int(n) // pictures.SHARD)[int(n) % pictures.SHARD] for n in numbers])
        mean, std = torch.from_numpy(stored.astype(np.float32)).chunk(2, 1)
        noise = torch.from_numpy(rng.standard_normal(mean.shape, np.float32))
        said = ["" if rng.random() < EMPTY else caption(int(n), step) for n in numbers]
        return mean + std * noise, said

    return make


def loss(
    unet: UNet2DConditionModel,
    text: CLIPTextModelWithProjection,
    tokens: CLIPTokenizer,
    schedule: Schedule,
    batch: tuple[Tensor, list[str]],
    seed: tuple[int, ...],
    gamma: float = 5.0,
) -> Tensor:
    """The eps loss with min-SNR weights (Hang et al. 2023, eq. 6); t and noise from `seed`."""
    clean, said = batch[0].to(unet.device), batch[1]
    rng = np.random.default_rng(seed)
    t = torch.from_numpy(rng.integers(0, 1000, len(clean))).to(clean.device)
    noise = torch.from_numpy(rng.standard_normal(clean.shape, np.float32)).to(clean.device)
    alpha_bar = schedule.alphas_cumprod.to(clean)[t][:, None, None, None]
    ids = tokens(said, padding="max_length", truncation=True, return_tensors="pt").input_ids.to(clean.device)
    with plain_attention(unet), torch.autocast(clean.device.type, torch.bfloat16):
        states = text.text_model(ids).last_hidden_state
        out = unet(add_noise(clean, noise, alpha_bar), t, states).sample.float()
    snr = (alpha_bar / (1 - alpha_bar)).flatten()
    each = (out - target(schedule.prediction, clean, noise, alpha_bar)).square().mean((1, 2, 3))
    return (each * (snr.clamp(max=gamma) / snr)).mean()
