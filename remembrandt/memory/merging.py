"""Many concepts in one set of weights without training: what a consolidation has to beat.

Each function gives new weights (out, in, ...) by the name of their layer in the UNet.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn

from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.wear import merge

Weights = dict[str, Tensor]
DECAY = 0.9  # of what lies off a Gram matrix' diagonal: the paper's value for networks of this kind


def merged(unet: UNet2DConditionModel, adapter: Adapter) -> Weights:
    """The weights that an adapter changes, as it would have them, fp32."""
    own: nn.Module = copy.deepcopy(unet)
    merge(own.float(), adapter)
    names = [name for name, m in unet.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    found = {name: _held(own, name).detach() for name in names}
    return {n: w for n, w in found.items() if not torch.equal(w, _weight(unet, n))}


def mean(unet: UNet2DConditionModel, adapters: Sequence[Adapter]) -> Weights:
    """The mean of what the adapters make of each weight; one that leaves it alone votes for the base's."""
    every = [merged(unet, adapter) for adapter in adapters]
    names = dict.fromkeys(name for some in every for name in some)
    return {n: torch.stack([some.get(n, _weight(unet, n)) for some in every]).mean(0) for n in names}


def grams(unet: UNet2DConditionModel, names: Sequence[str], run: Callable[[], object]) -> Weights:
    """X^T X (in, in) of the inputs X that linear layers get while `run()` calls the UNet, a mean over rows, float64."""
    found: dict[str, list[Tensor]] = {name: [] for name in names}

    def seen(name: str):
        def hook(module: nn.Module, args: tuple[Tensor, ...]) -> None:
            x = args[0].detach().flatten(0, -2).double()
            found[name].append(x.mT @ x / len(x))

        return hook

    handles = [unet.get_submodule(name).register_forward_pre_hook(seen(name)) for name in names]
    try:
        with torch.no_grad():
            run()
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.stack(some).mean(0) for name, some in found.items() if some}


def regmean(weights: Sequence[Mapping[str, Tensor]], inputs: Sequence[Mapping[str, Tensor]], decay=DECAY) -> Weights:
    """For each layer the W that is nearest to all W_i where each has its inputs: min sum |(W - W_i) X_i|^2.

    W = (sum W_i G_i) (sum G_i)^-1, G_i = X_i^T X_i with what lies off the diagonal times `decay` (Jin et al. 2023,
    "Dataless Knowledge Fusion", arXiv 2212.09849, eq. 2 and section 3.2, transposed). `weights[i]`, those of task i
    (the base may be one), go with the Gram matrices `inputs[i]`.
    """
    found = {}
    for name in weights[0]:
        calm = [_calm(grams[name], decay) for grams in inputs]
        total = sum(w[name].double() @ g for w, g in zip(weights, calm, strict=True))
        found[name] = torch.linalg.solve(sum(calm), total, left=False).float()  # type: ignore[arg-type]
    return found


@torch.no_grad()
def put(unet: UNet2DConditionModel, weights: Mapping[str, Tensor]) -> None:
    """Write weights into a network."""
    for name, weight in weights.items():
        _held(unet, name).copy_(weight)


def _calm(gram: Tensor, decay: float) -> Tensor:
    return gram.double() * decay + torch.diag(gram.diagonal().double() * (1 - decay))


def _held(unet: nn.Module, name: str) -> Tensor:
    found = unet.get_submodule(name).weight
    assert isinstance(found, Tensor)
    return found


def _weight(unet: UNet2DConditionModel, name: str) -> Tensor:
    return _held(unet, name).detach().float()
