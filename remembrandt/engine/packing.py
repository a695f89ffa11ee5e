"""Small networks on a CPU: convolutions whose weights lie ready in oneDNN's own order.

Otherwise oneDNN reorders a weight at every call, which for one picture of 16 x 16 latents is a tenth of the pocket's
time (and a quarter of its decoder's). From 8 rows on it costs more than it saves, and big networks would only hold
their weights twice.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

MOST = 32 * 2**20  # weights of a network worth packing
FEW = 2**9  # places of latents (h * w, over all rows) up to which it is worth it


class Packing:
    """Packed weights, made at first use and made again when a weight has changed since."""

    def __init__(self):
        self._packed: dict[nn.Conv2d, tuple[tuple, Tensor]] = {}
        self._suited: dict[nn.Module, list[nn.Conv2d]] = {}

    @contextmanager
    def __call__(self, network: nn.Module, places: int) -> Iterator[None]:
        """Inside, the network's convolutions use them, at calls of so many places. No gradient flows."""
        if network not in self._suited:
            self._suited[network] = _suited(network)
        convolutions = self._suited[network] if places <= FEW else []
        try:
            for conv in convolutions:
                vars(conv)["_conv_forward"] = _forward(conv, self._weight(conv))
            yield
        finally:
            for conv in convolutions:
                vars(conv).pop("_conv_forward", None)

    def _weight(self, conv: nn.Conv2d) -> Tensor:
        weight = conv.weight.detach()
        state = (weight.data_ptr(), conv.weight._version, weight.dtype)
        known, packed = self._packed.get(conv, (None, weight))
        if known != state:
            packed = torch.ops.mkldnn._reorder_convolution_weight(weight, conv.padding, conv.stride, conv.dilation)
            self._packed[conv] = state, packed
        return packed


def _forward(conv: nn.Conv2d, packed: Tensor):
    padding, stride, dilation = list(conv.padding), list(conv.stride), list(conv.dilation)

    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        act = torch.ops.mkldnn._convolution_pointwise
        return act(x, packed, bias, padding, stride, dilation, 1, "none", [], "")

    return forward


def _suited(network: nn.Module) -> list[nn.Conv2d]:
    """The convolutions to pack: none unless this is oneDNN on an x86 CPU and the network is small."""
    weights = list(network.parameters())
    kinds = {w.dtype for w in weights}
    able = kinds == {torch.float32} or (kinds == {torch.bfloat16} and _bf16())
    here = {w.device.type for w in weights} == {"cpu"} and platform.machine() in ("x86_64", "AMD64")
    if not able or not here or not torch.backends.mkldnn.is_available() or sum(w.numel() for w in weights) > MOST:
        return []
    return [m for m in network.modules() if type(m) is nn.Conv2d and m.groups == 1 and m.padding_mode == "zeros"]


def _bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
