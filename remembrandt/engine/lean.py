"""What a call of a network costs beside its arithmetic, and two ways to pay less of it.

diffusers' attention looks at its processor's signature at every call, to warn of arguments that we never give: a
twentieth of the pocket's time. And oneDNN reorders a convolution's weight at every call, which for one picture of
16 x 16 latents is another twentieth, so that small networks keep their weights ready in its order; from 8 rows on that
costs more than it saves, and big networks would only hold their weights twice.
"""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

Forward = Callable[..., Tensor]

MOST = 32 * 2**20  # weights of a network worth packing
FEW = 2**9  # places of latents (h * w, over all rows) up to which it is worth it


class Lean:
    """Shorter ways through networks. Weights are packed at first use, and again when they have changed since."""

    def __init__(self):
        self._attentions: dict[nn.Module, dict[nn.Module, Forward]] = {}
        self._convolutions: dict[nn.Module, list[nn.Conv2d]] = {}
        self._packed: dict[nn.Conv2d, tuple[tuple, Forward]] = {}

    @contextmanager
    def __call__(self, network: nn.Module, places: int) -> Iterator[None]:
        """Inside, calls of so many places take them. For inference: no gradient flows."""
        if network not in self._attentions:
            self._attentions[network] = {m: _attend(m) for m in network.modules() if _attention(m)}
            self._convolutions[network] = _convolutions(network)
        attentions = self._attentions[network]
        few = self._convolutions[network] if places <= FEW else []
        try:
            for attention, forward in attentions.items():
                vars(attention)["forward"] = forward
            for convolution in few:
                vars(convolution)["_conv_forward"] = self._convolve(convolution)
            yield
        finally:
            for attention in attentions:
                vars(attention).pop("forward", None)
            for convolution in few:
                vars(convolution).pop("_conv_forward", None)

    def _convolve(self, convolution: nn.Conv2d) -> Forward:
        weight = convolution.weight
        state = (weight.data_ptr(), weight._version, weight.dtype)
        if convolution not in self._packed or self._packed[convolution][0] != state:
            self._packed[convolution] = state, _convolve(convolution)
        return self._packed[convolution][1]


def _attention(module: nn.Module) -> bool:
    return hasattr(module, "processor") and hasattr(module, "to_q")


def _attend(attention) -> Forward:
    def forward(hidden_states, encoder_hidden_states=None, attention_mask=None, temb=None) -> Tensor:
        return attention.processor(attention, hidden_states, encoder_hidden_states, attention_mask, temb)

    return forward


def _convolve(c: nn.Conv2d) -> Forward:
    packed = torch.ops.mkldnn._reorder_convolution_weight(c.weight.detach(), c.padding, c.stride, c.dilation)
    how = (list(c.padding), list(c.stride), list(c.dilation), c.groups, "none", [], "")

    def forward(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(x, packed, bias, *how)

    return forward


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
