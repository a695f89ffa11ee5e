"""What a call of a network costs beside its arithmetic, and two ways to pay less of it.

diffusers' attention looks at its processor's signature at every call, to warn of arguments that we never give: a
twentieth of the pocket's time. And oneDNN reorders a convolution's weight at every call, which for one picture of
16 x 16 latents is another twentieth (of the decoder a quarter), so that small networks keep their weights ready in its
order; from 8 rows on that costs more than it saves, and big networks would only hold their weights twice.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

MOST = 32 * 2**20  # weights of a network worth packing
FEW = 2**9  # places of latents (h * w, over all rows) up to which it is worth it


class Lean:
    """Shorter ways through networks. Weights are packed at first use, and again when they have changed since."""

    def __init__(self):
        self._packed: dict[nn.Conv2d, tuple[tuple, Tensor]] = {}
        self._known: dict[nn.Module, tuple[list[nn.Module], list[nn.Conv2d]]] = {}

    @contextmanager
    def __call__(self, network: nn.Module, places: int) -> Iterator[None]:
        """Inside, calls of so many places take them. For inference: no gradient flows."""
        if network not in self._known:
            self._known[network] = _attentions(network), _convolutions(network)
        attentions, convolutions = self._known[network]
        few = convolutions if places <= FEW else []
        try:
            for attention in attentions:
                vars(attention)["forward"] = _attend(attention)
            for convolution in few:
                vars(convolution)["_conv_forward"] = _convolve(convolution, self._weight(convolution))
            yield
        finally:
            for attention in attentions:
                vars(attention).pop("forward", None)
            for convolution in few:
                vars(convolution).pop("_conv_forward", None)

    def _weight(self, convolution: nn.Conv2d) -> Tensor:
        c, weight = convolution, convolution.weight.detach()
        state = (weight.data_ptr(), c.weight._version, weight.dtype)
        known, packed = self._packed.get(c, (None, weight))
        if known != state:
            packed = torch.ops.mkldnn._reorder_convolution_weight(weight, c.padding, c.stride, c.dilation)
            self._packed[c] = state, packed
        return packed


def _attend(attention):
    def forward(hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None) -> Tensor:
        return attention.processor(attention, hidden_states, encoder_hidden_states, attention_mask, temb)

    return forward


def _convolve(c: nn.Conv2d, packed: Tensor):
    how = (list(c.padding), list(c.stride), list(c.dilation), c.groups, "none", [], "")

    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(x, packed, bias, *how)

    return forward


def _attentions(network: nn.Module) -> list[nn.Module]:
    return [m for m in network.modules() if hasattr(m, "processor") and hasattr(m, "to_q")]


def _convolutions(network: nn.Module) -> list[nn.Conv2d]:
    """Those to pack: none unless this is oneDNN on an x86 CPU and the network is small."""
    weights = list(network.parameters())
    kinds = {w.dtype for w in weights}
    able = kinds == {torch.float32} or (kinds == {torch.bfloat16} and _bf16())
    here = {w.device.type for w in weights} == {"cpu"} and platform.machine() in ("x86_64", "AMD64")
    if not able or not here or not torch.backends.mkldnn.is_available() or sum(w.numel() for w in weights) > MOST:
        return []
    return [m for m in network.modules() if type(m) is nn.Conv2d and m.groups == 1 and m.padding_mode == "zeros"]


def _bf16() -> bool:
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
