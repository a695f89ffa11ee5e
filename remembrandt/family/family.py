"""What a family is: the networks of one base model, and its properties that are not weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from remembrandt.diffusion import parametrisation
from remembrandt.diffusion.schedule import Schedule
from remembrandt.family import weights
from remembrandt.family.device import PRECISIONS
from remembrandt.family.folder import TEXT, VARIATIONS

#: What a family's digest is of, by its kind: text steers it, or a picture's embedding.
PARTS = {TEXT: ("text_encoder", "unet", "vae"), VARIATIONS: ("image_encoder", "unet", "vae")}
NETWORKS = ("text_encoder", "unet", "vae", "image_encoder")


class NotFinite(ArithmeticError):
    """A picture whose numbers overflowed: nobody's wish, and never shown as a black one."""


@dataclass(frozen=True)
class Record:
    """How a family likes to paint: pixels a side, guidance, steps, sampler.

    `resize` says how pictures are brought to its image encoder, if it has one.
    """

    size: int
    guidance: float = 7.5
    steps: int = 25
    sampler: str = "dpmpp-2m-karras"
    resize: Mapping[str, Any] = field(default_factory=dict)


@final
@dataclass(eq=False)
class Family:
    """Networks of a base model, frozen and in evaluation mode.

    `kind` says what steers its UNet. One of kind `variations` may lack tokenizer and text encoder: `reads` says so.
    `folder` is where they were loaded from, a folder or a single file; `dtype` is the type that the
    UNet computes in. `lower` is the noise (of a scheduler's configuration) of the small pictures that an upscaler sees,
    if its folder tells. `slots` is how many tokens at once one of kind `variations` reads: more than one mixes them.
    `notices` are what a user should be told of how it was read.

    Text encoder and autoencoder are held in fp32 wherever fp16 is not asked for:
    prompts and photos are encoded once, and bf16 has too few digits for that. Under bf16 only the
    decoder computes in it (on a CPU 0.6 of the time, for 0.2 grey levels on average, 4 at most).
    """

    name: str
    revision: str | None
    folder: Path | None
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    image_encoder: CLIPVisionModelWithProjection | None
    schedule: Schedule
    scheduler: Mapping[str, Any]
    record: Record
    device: torch.device
    dtype: torch.dtype
    stored: Mapping[str, weights.Lazy] | None = field(default=None, repr=False)
    kind: str = TEXT
    lower: Mapping[str, Any] | None = None
    slots: int = 1
    notices: tuple[str, ...] = ()
    controls: dict[Path, Any] = field(default_factory=dict, repr=False)  # their networks, read once

    @property
    def factor(self) -> int:
        """Pixels to a latent, along a side."""
        return 2 ** (len(self.vae.config["block_out_channels"]) - 1)

    @property
    def channels(self) -> int:
        """Channels of a latent."""
        return self.vae.config["latent_channels"]

    @cached_property
    def digest(self) -> str:
        """A sha256 of the values of the weights as they were loaded, whatever files held them."""
        return weights.digest({part: self.held[part] for part in PARTS[self.kind]})

    @property
    def classes(self) -> bool:
        """Whether its UNet is told a class."""
        return self.unet.config["num_class_embeds"] is not None

    @property
    def eye(self) -> int:
        """Pixels a side that its image encoder sees."""
        assert self.image_encoder is not None
        return int(self.image_encoder.config.image_size)  # type: ignore[arg-type]

    @property
    def reads(self) -> bool:
        """Whether it has a text tower."""
        return self.text_encoder is not None

    @property
    def held(self) -> Mapping[str, weights.Lazy]:
        """The tensors of its networks, as they were loaded."""
        here = [n for n in NETWORKS if getattr(self, n) is not None]
        return self.stored or {name: weights.held(getattr(self, name)) for name in here}

    @torch.no_grad()
    def encode(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """Pixels (n, 3, h, w) in [-1, 1] to mean and std of their scaled latents, fp32."""
        scale = self.vae.config["scaling_factor"]
        found = self.vae.encode(pixels.to(self.device, self.vae.dtype)).latent_dist  # type: ignore[union-attr]
        return found.mean.float() * scale, found.std.float() * scale

    @torch.no_grad()
    def decode(self, latents: Tensor, tiled: bool = False) -> np.ndarray:
        """Scaled latents (n, c, h, w) to uint8 pixels (n, H, W, 3); `NotFinite` if one is not.

        `tiled`: piece by piece, the pieces fading into one another, which takes the memory of one piece.

        One picture at a time: its pixels do not depend on its neighbours, nor the memory on n.
        """
        return np.concatenate([self._decode(x, tiled) for x in latents.split(1)])

    def _decode(self, latent: Tensor, tiled: bool) -> np.ndarray:
        z = latent.to(self.device).float() / self.vae.config["scaling_factor"]
        half = self.dtype == torch.bfloat16
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            decode = self.vae.tiled_decode if tiled else self.vae.decode
            x = decode(z.to(self.vae.dtype)).sample.float()  # type: ignore[union-attr]
        if not torch.isfinite(x).all():
            raise NotFinite(
                f"the picture is not finite ({self.precision} on {self.device.type}):"
                " paint it with --precision fp32, or with less guidance or adapter strength"
            )
        # Rounded as diffusers does.
        pixels = (x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).cpu().numpy()
        return (pixels * 255).round().astype(np.uint8)

    @property
    def precision(self) -> str:
        """`dtype` as the command line spells it."""
        return next(name for name, dtype in PRECISIONS.items() if dtype == self.dtype)

    @torch.no_grad()
    def denoise(
        self, x: Tensor, sigmas: Tensor, ts: Tensor, tokens: Tensor, extra: Tensor | None = None,
        labels: Tensor | None = None,
        residual: Callable[[Tensor, Tensor, Tensor], dict[str, Any]] | None = None,
    ) -> Tensor:  # fmt: skip
        """The clean latents that the UNet sees in `x` (n, c, h, w), fp32.

        `x` = clean + sigma * noise, row i at `sigmas[i]` and time `ts[i]` (fractional is fine),
        under `tokens` (n, L, D). `extra` (n, C, h, w) are channels laid beside the latents, `labels` (n,) the classes
        that a UNet with classes is told; `residual` tells from what the UNet sees of the latents, times and tokens what
        is given to it beside these.
        """
        sigma = sigmas.to(x.device, torch.float32).view(-1, 1, 1, 1)
        seen = parametrisation.scale_in(x, sigma)
        kind, ts = self.unet.dtype, ts.to(x.device)
        tokens = tokens.to(x.device, kind)
        more = residual(seen.to(kind), ts, tokens) if residual else {}
        seen = seen if extra is None else torch.cat([seen, extra.to(seen)], 1)
        more |= {"class_labels": labels.to(x.device)} if labels is not None and self.classes else {}
        out = self.unet(seen.to(kind), ts, tokens, **more).sample
        return parametrisation.x0(self.schedule.prediction, out.float(), x, sigma)
