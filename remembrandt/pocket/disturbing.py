"""What pictures are put through before a judge learns from them: judges must read paintings too, and unseen styles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor

from remembrandt.conditions.spatial import to_tensor
from remembrandt.diffusion.parametrisation import add_noise
from remembrandt.diffusion.schedule import scaled_linear


@dataclass(frozen=True)
class Smear:
    """Leaves pictures as a painter leaves them: through the autoencoder, half of them denoised in one go besides."""

    vae: AutoencoderKL
    unet: UNet2DConditionModel
    nothing: Tensor  # states of the empty prompt (1, 77, D)
    latest: int = 400  # of 1,000 moments; from there on what was in the picture can no longer be made out

    @torch.inference_mode()
    def __call__(self, images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """uint8 (n, h, w, 3) -> the same, in parts of 50."""
        bars, out = scaled_linear().alphas_cumprod.float(), []
        for part in np.array_split(images, max(1, len(images) // 50)):
            x = to_tensor(part).to(self.vae.device)
            t = torch.from_numpy(rng.integers(0, self.latest, len(x)))
            noise = torch.from_numpy(rng.standard_normal((len(x), 4, x.shape[2] // 8, x.shape[3] // 8), np.float32))
            with torch.autocast(x.device.type, torch.bfloat16):
                clean = self.vae.encode(x).latent_dist.mean.float() * self.vae.config["scaling_factor"]  # type: ignore
                bar = bars[t][:, None, None, None].to(x)
                noisy = add_noise(clean, noise.to(x), bar)
                states = self.nothing.to(x).expand(len(x), -1, -1)
                eps = self.unet(noisy, t.to(x.device), states).sample.float()
                half = (noisy - (1 - bar).sqrt() * eps) / bar.sqrt()
                some = torch.from_numpy(rng.random(len(x)) < 0.5)[:, None, None, None].to(x.device)
                coded = torch.where(some, half, clean) / self.vae.config["scaling_factor"]
                seen = self.vae.decode(coded).sample.float()  # type: ignore[union-attr]
            out.append(((seen.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy())
        return np.concatenate(out)


MOVED = 6  # pixels at most


def moved(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Mirrored or not, and a few pixels aside: which changes no answer."""
    if rng.random() < 0.5:
        x = x.flip(-1)
    y, left = rng.integers(0, 2 * MOVED + 1, 2)
    return F.pad(x, [MOVED] * 4, mode="reflect")[..., y : y + x.shape[-2], left : left + x.shape[-1]]


def degrade(x: Tensor, rng: np.random.Generator) -> Tensor:
    """Pictures in [-1, 1] blurred, off in tone, a bit noisy."""
    if rng.random() < 0.3:
        size = int(rng.choice([64, 80, 96]))
        x = F.interpolate(F.interpolate(x, size=size, mode="area"), size=x.shape[-1], mode="bilinear")
    tone = torch.from_numpy(rng.normal(1, 0.06, (len(x), 1, 1, 1)).astype(np.float32))
    shift = torch.from_numpy(rng.normal(0, 0.04, (len(x), 3, 1, 1)).astype(np.float32))
    grain = torch.from_numpy(rng.standard_normal(x.shape, np.float32)) * float(rng.uniform(0, 0.05))
    return (x * tone + shift + grain).clamp(-1, 1)


def recoloured(x: Tensor, rng: np.random.Generator, share: float = 0.4) -> Tensor:
    """A share of pictures in [-1, 1] in other colours, as tones or as lines: what unseen styles may leave of them."""
    chosen = np.flatnonzero(rng.random(len(x)) < share)
    if not len(chosen):
        return x
    seen = (x[chosen] + 1) / 2
    mix = torch.from_numpy(rng.dirichlet((1, 1, 1), len(chosen)).astype(np.float32))
    tone = (seen * mix[..., None, None]).sum(1, keepdim=True)
    slope = F.pad(tone, (1, 1, 1, 1), mode="replicate")
    slope = (slope[..., 1:-1, 2:] - slope[..., 1:-1, :-2]).hypot(slope[..., 2:, 1:-1] - slope[..., :-2, 1:-1])
    lines = (slope * _each(rng.uniform(2, 8, len(chosen)))).clamp(max=1)
    drawn = _each(rng.random(len(chosen))) * _each(rng.random(len(chosen)) < 0.5)  # how much of it is lines
    level = (tone ** _each(rng.uniform(0.5, 2, len(chosen)))).lerp(lines, drawn)
    steps = _each(rng.integers(2, 7, len(chosen)))
    flat = (level * steps).floor().clamp(max=steps - 1) / (steps - 1)
    level = level.lerp(flat, _each(rng.random(len(chosen)) < 0.4))
    grain = _hatching(x.shape[-1], rng, len(chosen)) * _each(rng.uniform(0, 0.2, len(chosen)))
    grain = grain * _each(rng.random(len(chosen)) < 0.4)
    level = (level + grain).clamp(0, 1)
    ends = torch.from_numpy(rng.uniform(0, 1, (3, len(chosen), 3, 1, 1)).astype(np.float32))
    ends[0], ends[2] = ends[0] * 0.5, ends[2] * 0.5 + 0.5
    level = level.lerp(1 - level, _each(rng.random(len(chosen)) < 0.5))
    lower, upper = ends[0].lerp(ends[1], (2 * level).clamp(max=1)), ends[1].lerp(ends[2], (2 * level - 1).clamp(min=0))
    made = torch.where(level < 0.5, lower, upper)
    turned = seen[:, rng.permutation(3)].lerp(made, _each(rng.random(len(chosen)) < 0.75))
    out = x.clone()
    out[chosen] = turned * 2 - 1
    return out


def _each(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.asarray(values, np.float32))[:, None, None, None]


def _hatching(size: int, rng: np.random.Generator, count: int) -> Tensor:
    """Waves of any direction, two to nine pixels long: (count, 1, size, size) in [-1, 1]."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    angle, long = _each(rng.uniform(0, np.pi, count)), _each(rng.uniform(2, 9, count))
    return torch.sin((x * angle.cos() + y * angle.sin()) * 2 * np.pi / long)
