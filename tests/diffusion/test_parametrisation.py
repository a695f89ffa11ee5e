"""Whatever the network predicts, a perfect prediction gives back the clean latent."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as some

from remembrandt.diffusion.parametrisation import add_noise, scale_in, target, x0
from remembrandt.diffusion.schedule import PREDICTIONS, scaled_linear


@settings(deadline=None)
@given(some.sampled_from(sorted(PREDICTIONS.values())), some.integers(0, 999))
def test_a_perfect_prediction_gives_the_clean_latent(prediction, t):
    schedule = scaled_linear()
    clean, eps = torch.randn(2, 1, 4, 8, 8, generator=torch.Generator().manual_seed(t), dtype=torch.float64)
    bar, sigma = schedule.alphas_cumprod[t], torch.tensor(schedule.sigmas[t], dtype=torch.float64)
    x = clean + sigma * eps
    assert torch.allclose(scale_in(x, sigma), add_noise(clean, eps, bar), atol=1e-10)
    assert torch.allclose(x0(prediction, target(prediction, clean, eps, bar), x, sigma), clean, atol=1e-9)


def test_rows_have_levels_of_their_own():
    x, out = torch.randn(2, 3, 4, 2, 2, generator=torch.Generator().manual_seed(0))
    sigma = torch.tensor([0.1, 2.0, 14.0]).view(-1, 1, 1, 1)
    for prediction in PREDICTIONS.values():
        together = x0(prediction, out, x, sigma)
        alone = [x0(prediction, out[k], x[k], sigma[k]) for k in range(3)]
        assert torch.allclose(together, torch.stack(alone))
