"""What a network predicts, and how a clean latent follows from it. x = x0 + sigma * eps throughout."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from remembrandt.diffusion.schedule import Prediction


def scale_in(x: Tensor, sigma: Tensor) -> Tensor:
    """x as the network wants it: variance preserving, x / sqrt(1 + sigma^2). sigma broadcasts against x."""
    return x / (1 + sigma.square()).sqrt()


def _from_eps(output: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    return x - sigma * output


def _from_v(output: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    return x / (1 + sigma.square()) - sigma * output / (1 + sigma.square()).sqrt()


X0: dict[Prediction, Callable[[Tensor, Tensor, Tensor], Tensor]] = {"eps": _from_eps, "v": _from_v}


def x0(prediction: Prediction, output: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
    """The denoised estimate from the network's output (eps: Ho et al. 2020; v: Salimans and Ho 2022, eq. 10)."""
    return X0[prediction](output, x, sigma)


def add_noise(x0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """sqrt(abar) x0 + sqrt(1 - abar) eps: the network's input at that level (Ho et al. 2020, eq. 4)."""
    return alpha_bar.sqrt() * x0 + (1 - alpha_bar).sqrt() * eps


def target(prediction: Prediction, x0: Tensor, eps: Tensor, alpha_bar: Tensor) -> Tensor:
    """What the network should say: eps, or v = sqrt(abar) eps - sqrt(1 - abar) x0."""
    return eps if prediction == "eps" else alpha_bar.sqrt() * eps - (1 - alpha_bar).sqrt() * x0
