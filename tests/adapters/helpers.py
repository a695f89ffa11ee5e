"""Adapters that bite, and the calls that show it."""

import torch

from remembrandt.adapters import lora, oft
from remembrandt.adapters.adapter import Adapter


def adapter(unet, seed=0, block=8, angle=60.0, size=0.4) -> Adapter:
    draw = torch.Generator().manual_seed(seed)
    start = oft.start(unet, block)
    tensors = {
        n: {"q": oft.bound(size * torch.randn(p.shape, generator=draw), angle)}
        for n, p in start.items()
    }
    return Adapter("oft", tensors, {"block": block, "angle": angle})


def call(unet, x, t, tokens):
    with torch.no_grad():
        return unet(x, t, encoder_hidden_states=tokens).sample


def some(unet, rows):
    """Latents, times and tokens for `rows` rows, in the network's own type."""
    draw = torch.Generator().manual_seed(1)
    side, width = unet.config.sample_size, unet.config.cross_attention_dim
    x = torch.randn(rows, unet.config.in_channels, side, side, generator=draw)
    tokens = torch.randn(rows, 77, width, generator=draw)
    return x.to(unet.dtype), torch.linspace(900, 10, rows).long(), tokens.to(unet.dtype)


def low_rank(unet, seed=0, rank=4, size=0.3) -> Adapter:
    draw = torch.Generator().manual_seed(seed)
    tensors = {}
    for name, m in lora.layers(unet).items():
        down = torch.randn(rank, m.in_features, generator=draw) / m.in_features**0.5
        tensors[name] = {"down": down, "up": size * torch.randn(m.out_features, rank, generator=draw) / rank**0.5}
    return Adapter("lora", tensors)
