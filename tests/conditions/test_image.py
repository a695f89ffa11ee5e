"""Pictures as one token: preprocessing by its numbers, and what is done with embeddings."""

import numpy as np
import pytest
import torch
from PIL import Image

from remembrandt.conditions import image
from remembrandt.family.parts import PUBLISHED
from remembrandt.settings import Wrong

TRAINED = {**PUBLISHED, "align_corners": True}
SMOOTHED = {**PUBLISHED, "antialias": True}


def plain(pictures, resize, side):
    """Without CLIP's mean and deviation, in [0, 255]."""
    x = image.preprocessed(pictures, resize, side)
    mean, std = (torch.tensor(v).view(3, 1, 1) for v in (image.OPENAI_CLIP_MEAN, image.OPENAI_CLIP_STD))
    return ((x * std + mean) * 255).numpy()


def cubic(x, a):
    """Keys 1981, equation 4, with `a` free."""
    x = np.abs(x)
    near, far = ((a + 2) * x - (a + 3)) * x * x + 1, ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0))


def resampled(line, count, corners, a=-0.75):
    """A line of n numbers to `count`, by the formula; torch's `a`."""
    n = len(line)
    at = np.arange(count) * (n - 1) / (count - 1) if corners else (np.arange(count) + 0.5) * n / count - 0.5
    places = np.floor(at)[:, None] + np.arange(-1, 3)
    return (cubic(at[:, None] - places, a) * line[np.clip(places, 0, n - 1).astype(int)]).sum(1)


@pytest.mark.parametrize("corners", [False, True])
def test_a_ramp_is_resized_by_the_formula(corners):
    across, down = np.array([0, 10, 80, 90, 255]), np.array([0, 200, 30, 60, 10])
    pixels = ((across + down[:, None]) // 2).astype(np.uint8)
    got = plain([np.repeat(pixels[..., None], 3, 2)], {**PUBLISHED, "align_corners": corners}, 3)[0]
    rows = np.stack([resampled(line, 3, corners) for line in pixels.astype(float)])
    wanted = np.stack([resampled(line, 3, corners) for line in rows.T]).T
    assert np.abs(got - wanted).max() < 1e-3
    other = plain([np.repeat(pixels[..., None], 3, 2)], {**PUBLISHED, "align_corners": not corners}, 3)[0]
    assert np.abs(other - wanted).max() > 5  # the corners bite


def fields(power):
    """Six pictures 512 x 512 whose spectrum falls as 1 / f^power."""
    draw = np.random.default_rng(0)
    f = np.hypot(np.fft.fftfreq(512)[:, None], np.fft.rfftfreq(512))
    f[0, 0] = np.inf
    made = [np.fft.irfft2(np.fft.rfft2(draw.standard_normal((512, 512))) / f**power) for _ in range(6)]
    grey = [np.clip(128 + 35 * (m - m.mean()) / m.std(), 0, 255).round().astype(np.uint8) for m in made]
    return [np.repeat(g[..., None], 3, 2) for g in grey]


@pytest.mark.parametrize(("power", "corners", "pillow"), [(1.0, 0.32, 0.31), (1.5, 0.059, 0.049)])
def test_the_resize_moves_rough_pictures_as_far_as_is_known(power, corners, pillow):
    """The reference's figures: RMS difference over standard deviation, 512 to 224."""
    pictures = fields(power)
    card, trained = plain(pictures, PUBLISHED, 224), plain(pictures, TRAINED, 224)
    images = [Image.fromarray(p).resize((224, 224), Image.Resampling.BICUBIC) for p in pictures]
    smoothed = np.stack([np.asarray(im) for im in images]).transpose(0, 3, 1, 2).astype(float)

    def apart(a, b):
        return float(np.sqrt(((a - b) ** 2).mean()) / b.std())

    assert apart(trained, card) == pytest.approx(corners, rel=0.25)
    assert apart(card, smoothed) == pytest.approx(pillow, rel=0.25)
    assert apart(plain(pictures, SMOOTHED, 224), smoothed) < 0.02  # antialiased is Pillow's, which rounds


def test_fit_clamp_and_size():
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, 60:] = 255  # outside of the middle square
    squashed, cropped = (plain([wide], {**PUBLISHED, "fit": fit}, 20)[0, 0, 10] for fit in ("squash", "crop"))
    assert len(squashed) == len(cropped) == 20
    assert squashed[12] < 5 and squashed[18] > 250 and np.abs(cropped[:19]).max() < 5
    step = np.zeros((64, 64, 3), np.uint8)
    step[:, 30:] = 255
    assert plain([step], PUBLISHED, 48).max() > 255.5  # cubics overshoot
    assert plain([step], {**PUBLISHED, "clamp": True}, 48).max() <= 255.001
    alone = [plain([p], PUBLISHED, 20) for p in (wide, step)]
    assert np.array_equal(plain([wide, step], PUBLISHED, 20), np.concatenate(alone))
    assert np.allclose(plain(np.stack([step, step]), PUBLISHED, 20)[1], alone[1][0], atol=1e-3)
    with pytest.raises(Wrong, match=r"no fit 'squish'\. Did you mean 'squash'"):
        image.preprocessed([wide], {**PUBLISHED, "fit": "squish"}, 20)


def test_embeddings_are_of_one_tower_and_tensors_are_taken_as_they_are(pictured, tiny):
    pixels = image.preprocessed([p[::8, ::8] for p in fields(1.0)[:2]], PUBLISHED, 32)
    found = image.embedded(pictured, pixels)
    assert found.shape == (2, 32) and torch.equal(found, pictured.image_encoder(pixels).image_embeds)
    for wrong in (pixels[0], pixels[:, :, :16]):
        with pytest.raises(Wrong, match=r"sees tensors of \(n, 3, 32, 32\)"):
            image.embedded(pictured, wrong)
    with pytest.raises(Wrong, match="tiny has no image encoder"):
        image.embedded(tiny, pixels)
    with pytest.raises(Wrong, match="pictured has no text tower"):
        image.spoken(pictured, ["a dog"])


def tokens(count=3):
    return torch.randn(count, 16, generator=torch.Generator().manual_seed(1)) * torch.arange(1.0, count + 1)[:, None]


@pytest.mark.parametrize("blend", image.BLENDS)
def test_a_mix_is_of_its_parts(blend):
    a, b, c = tokens()
    mixed = image.BLENDS[blend]
    assert torch.allclose(mixed(torch.stack([a, b]), [1.0, 0.0]), a)
    assert torch.allclose(mixed(torch.stack([a, a, a]), [1.0, 0.3, 2.0]), a, atol=1e-5)
    assert torch.allclose(mixed(torch.stack([a, b]), [1.0, 3.0]), mixed(torch.stack([b, a]), [3.0, 1.0]), atol=1e-5)
    assert not torch.allclose(mixed(torch.stack([a, b, c]), [1.0, 1.0, 0.0]), mixed(torch.stack([a, b, c]), [1.0] * 3))


def test_a_slerp_keeps_to_the_circle():
    a, b, _ = tokens()
    half = image.slerped(torch.stack([a, b]), [1.0, 1.0])
    assert half.norm() == pytest.approx(float(a.norm() + b.norm()) / 2, rel=1e-5)
    angles = [float(torch.cosine_similarity(half, x, 0)) for x in (a, b)]
    assert angles[0] == pytest.approx(angles[1], abs=1e-5)
    assert image.summed(torch.stack([a, b]), [1.0, 1.0]).norm() < half.norm()  # a sum falls short


def test_an_edit_moves_by_the_difference_and_keeps_the_length():
    e, source, target = tokens()
    assert torch.equal(image.edited(e, source, target, 0.0), e)
    for weight in (0.5, 1.0, -1.0):
        moved = image.edited(e, source, target, weight)
        assert moved.norm() == pytest.approx(float(e.norm()), rel=1e-5)
        closer = torch.cosine_similarity(moved, target, 0) > torch.cosine_similarity(e, target, 0)
        assert bool(closer) == (weight > 0)
    assert torch.allclose(image.edited(e, source, target), image.edited(e, 7 * source, 3 * target))  # by direction
