"""The three things asked of a family."""

import copy

import numpy as np
import pytest
import torch

from remembrandt.conditions import text
from remembrandt.family.family import NotFinite
from remembrandt.family.load import load
from remembrandt.settings import Wrong
from tests import conftest


def latents(rows: int) -> torch.Tensor:
    return torch.randn(rows, 4, 16, 16, generator=torch.Generator().manual_seed(0))


def test_prompts_bite(tiny):  # details 8
    tokens = text.encode(tiny, ["a red dog", "a blue cat"])
    x, sigma, time = (
        latents(1).repeat(2, 1, 1, 1) * 5,
        torch.tensor([5.0] * 2),
        torch.tensor([800.0] * 2),
    )
    a, b = tiny.denoise(x, sigma, time, tokens)
    assert (a - b).norm() / a.norm() > 0.1


def test_each_row_has_its_own_noise_level(tiny):
    tokens = text.encode(tiny, ["a red dog", "", "a blue cat"])
    sigmas, times = torch.tensor([14.0, 0.5, 3.0]), torch.tensor([990.0, 261.3, 687.0])
    x = latents(3) * sigmas.view(-1, 1, 1, 1)
    together = tiny.denoise(x, sigmas, times, tokens)
    for k in range(3):
        row = slice(k, k + 1)
        alone = tiny.denoise(x[row], sigmas[row], times[row], tokens[row])
        assert (alone - together[row]).abs().max() < 1e-4
    assert together.dtype == torch.float32


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_what_it_predicts_becomes_the_clean_latents(prediction):
    family = conftest.tiny_family(prediction=prediction)
    tokens, sigma, t = text.encode(family, ["a dog"]), torch.tensor([2.0]), torch.tensor([600])
    x = latents(1) * 2
    bar = 1 / (1 + sigma**2)
    with torch.no_grad():
        out = family.unet(x * bar.sqrt(), t, tokens).sample
    noisy = x * bar.sqrt()
    if prediction == "epsilon":  # Ho et al. 2020, eq. 15; Salimans and Ho 2022, appendix D
        clean = (noisy - (1 - bar).sqrt() * out) / bar.sqrt()
    else:
        clean = bar.sqrt() * noisy - (1 - bar).sqrt() * out
    assert torch.allclose(family.denoise(x, sigma, t, tokens), clean, atol=1e-4)


def test_channels_are_laid_beside_the_latents(tiny):
    family = copy.deepcopy(tiny)
    family.unet = conftest.painter(in_channels=9).eval()
    tokens, sigma, t = text.encode(family, ["a dog"]), torch.tensor([2.0]), torch.tensor([600.0])
    zeros, ones = (torch.full((1, 5, 16, 16), value) for value in (0.0, 1.0))
    outputs = [family.denoise(latents(1), sigma, t, tokens, extra) for extra in (zeros, ones)]
    assert outputs[0].shape == (1, 4, 16, 16) and not torch.equal(*outputs)


def test_encode_gives_the_latents_own_distribution(tiny):
    pixels = torch.rand(2, 3, 128, 128, generator=torch.Generator().manual_seed(0)) * 2 - 1
    mean, std = tiny.encode(pixels)
    with torch.no_grad():
        expected = tiny.vae.encode(pixels).latent_dist
    scale = tiny.vae.config["scaling_factor"]
    assert torch.equal(mean, expected.mean * scale) and torch.equal(std, expected.std * scale)
    assert mean.shape == (2, 4, 16, 16) and (std > 0).all()


def test_a_picture_does_not_depend_on_its_neighbours(tiny):
    some = latents(3)
    together = tiny.decode(some)
    assert together.dtype == np.uint8 and together.shape == (3, 128, 128, 3)
    assert together.std() > 5
    assert np.array_equal(together[1:2], tiny.decode(some[1:2]))


def test_bf16_decodes_nearly_the_same(tiny, tiny_folder):
    some = latents(2)
    found = load(tiny_folder, device="cpu", precision="bf16").decode(some)
    assert np.abs(found.astype(float) - tiny.decode(some)).mean() < 1


def test_a_picture_that_is_not_finite_is_an_error(tiny):
    bad = latents(2)
    bad[1, 0, 3, 3] = torch.nan
    with pytest.raises(NotFinite, match=r"not finite \(fp32 on cpu\)"):
        tiny.decode(bad)
    assert not issubclass(NotFinite, Wrong)  # our fault, not the user's: exit 1, 500


def test_the_digest_is_of_the_weights_as_they_were_loaded(tiny):
    copied = copy.deepcopy(tiny)
    assert copied.digest == tiny.digest
    other = conftest.tiny_family(seed=1)
    assert other.digest != tiny.digest and len(other.digest) == 64
