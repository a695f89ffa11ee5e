"""Orthogonal fine-tuning: frozen weights are rotated, the angles between their neurons stay.

Qiu et al., "Controlling Text-to-Image Diffusion by Orthogonal Finetuning" (arXiv 2306.07280), eq.
1 to 3: R = (I + Q)(I - Q)^-1 with Q skew-symmetric is a rotation, block-diagonal R turns the
*input* of a linear layer, y = W R^T x + b. Here the Cayley transform is exact (no Neumann series),
in fp32, made once per request; `strength` t means R(tQ), so t = 0 is the base and t = -1 the
inverse; several concepts at once mean R(sum of t Q), which has no order.

A block is stored as the strict upper triangle of Q: (blocks, b (b - 1) / 2) for a layer of blocks
* b inputs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

TARGETS = re.compile(r"\.(to_q|to_k|to_v|to_out\.0)$")
NAME = "q"


def layers(unet: nn.Module) -> dict[str, nn.Linear]:
    """The linears that are turned: query, key, value and output of every attention, by name."""
    return {n: m for n, m in unet.named_modules() if TARGETS.search(n) and isinstance(m, nn.Linear)}


def start(unet: nn.Module, block: int) -> dict[str, Tensor]:
    """The identity of each layer; where `block` does not divide its width, by a smaller block."""
    sizes = {n: (m.in_features, _divisor(m.in_features, block)) for n, m in layers(unet).items()}
    return {n: torch.zeros(width // b, b * (b - 1) // 2) for n, (width, b) in sizes.items()}


def bound(free: Tensor, angle: float) -> Tensor:
    """Any (blocks, p) to one whose rotation turns no plane by more than `angle` degrees.

    The largest eigenvalue of Q is at most the norm of its upper triangle, and turns by 2 atan(it).
    A parametrisation, not a projection: smooth, the identity near 0, and no forward pass rewrites a
    parameter.
    """
    reach = math.tan(math.radians(angle) / 2)
    return free / torch.sqrt(1 + free.square().sum(-1, keepdim=True) / reach**2)


def skew(packed: Tensor) -> Tensor:
    """(blocks, b (b - 1) / 2) to (blocks, b, b) with Q^T = -Q."""
    b = _size(packed)
    row, column = torch.triu_indices(b, b, 1, device=packed.device)
    q = (
        packed.new_zeros(len(packed), b * b)
        .index_copy(1, row * b + column, packed)
        .unflatten(1, (b, b))
    )
    return q - q.mT


def cayley(q: Tensor) -> Tensor:
    """The rotation (I + Q)(I - Q)^-1 = 2 (I - Q)^-1 - I of skew-symmetric Q; exactly I at Q = 0."""
    eye = torch.eye(q.shape[-1], dtype=q.dtype, device=q.device)
    # LAPACK answers in columns: products of one row and of several would then differ by a bit.
    return (2 * torch.linalg.inv(eye - q) - eye).contiguous()


def prepare(worn: Sequence[tuple[Mapping[str, Mapping[str, Tensor]], float]]) -> dict[str, Tensor]:
    """The rotation (blocks, b, b) of each layer of adapters worn together, each at its strength.

    In fp32 or better. All blocks of one size are inverted in one call. Differentiable, so that
    lessons use it too.
    """
    total: dict[str, Tensor] = {}
    for tensors, strength in worn:
        for layer, named in tensors.items():
            packed = named[NAME]
            packed = (packed if packed.dtype == torch.float64 else packed.float()) * strength
            total[layer] = _add(total[layer], packed) if layer in total else packed
    rotations = {}
    for width in {p.shape[-1] for p in total.values()}:
        names = [n for n, p in total.items() if p.shape[-1] == width]
        turned = cayley(skew(torch.cat([total[n] for n in names])))
        rotations.update(zip(names, turned.split([len(total[n]) for n in names]), strict=True))
    return rotations


def fits(layer: nn.Module, rotation: Tensor) -> bool:
    """Whether the rotation has as many dimensions as the layer, a linear, has inputs."""
    return isinstance(layer, nn.Linear) and rotation.shape[0] * rotation.shape[1] == layer.in_features


def turn(x: Tensor, rotation: Tensor) -> Tensor:
    """R^T x for x (rows, ..., d), `rotation` (blocks, b, b) for all rows or (rows, blocks, b, b).

    A row's bits do not depend on how many rows there are, nor on what the others wear.
    """
    blocks, b = rotation.shape[-3:-1]
    turned = x.unflatten(-1, (blocks, b)).transpose(-3, -2) @ rotation.to(x.dtype)
    return turned.transpose(-3, -2).reshape(x.shape)


def merged(weight: Tensor, rotation: Tensor) -> Tensor:
    """W R^T for a weight (out, d), computed in fp32 or better, in the weight's own type."""
    kind = torch.promote_types(weight.dtype, rotation.dtype)
    parts = weight.to(kind).unflatten(-1, rotation.shape[:2])
    return torch.einsum("onb,ncb->onc", parts, rotation.to(kind)).flatten(1).to(weight.dtype)


def hyperspherical_energy(weight: Tensor) -> float:
    """The sum over pairs i != j of 1 / |w_i - w_j|, w the unit rows of (out, in), in float64.

    Liu et al. 2018 (arXiv 1805.09298) eq. 1 with s = 1; pairs nearer than 1e-6 count as 1e-6.
    Rotation keeps it.
    """
    unit = nn.functional.normalize(weight.detach().double(), dim=1)
    return float((2 / torch.pdist(unit).clamp_min(1e-6)).sum())


def _size(packed: Tensor) -> int:
    return (1 + math.isqrt(1 + 8 * packed.shape[-1])) // 2


def _divisor(width: int, most: int) -> int:
    return next(b for b in range(min(most, width), 0, -1) if width % b == 0)


def _add(a: Tensor, b: Tensor) -> Tensor:
    """The sum, also of two block sizes: both are written into blocks that each of them divides."""
    if a.shape == b.shape:
        return a + b
    size = math.lcm(_size(a), _size(b))
    return _widen(a, size) + _widen(b, size)


def _widen(packed: Tensor, size: int) -> Tensor:
    small = skew(packed)
    wide = torch.stack([torch.block_diag(*group) for group in small.split(size // small.shape[-1])])
    row, column = torch.triu_indices(size, size, 1, device=packed.device)
    return wide[:, row, column]
