"""What is measured on pictures: denoising in pairs, features, repeated surroundings."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from remembrandt.adapters.wear import Worn
from remembrandt.evaluation import collapse, denoising, features, judges
from tests.adapters.helpers import adapter


def scene(seed=0, ball=(64, 64), size=128):
    """A ball before soft patches."""
    grain = np.random.default_rng(seed).integers(0, 255, (6, 6, 3)).astype(np.uint8)
    image = Image.fromarray(grain).resize((size, size), Image.Resampling.BICUBIC)
    x, y = ball
    ImageDraw.Draw(image).ellipse((x - 18, y - 18, x + 18, y + 18), fill=(200, 30, 30))
    return np.asarray(image)


def test_pairs_are_numbered(tiny):
    photos = [scene(0), scene(1)]
    whole = denoising.losses(tiny, photos, "a dog", last=24)
    assert whole.shape == (24,) and (whole > 0).all() and len(set(whole)) == 24
    assert np.array_equal(denoising.losses(tiny, photos, "a dog", last=24), whole)
    assert np.array_equal(denoising.losses(tiny, photos, "a dog", first=16, last=24), whole[16:])
    assert not np.array_equal(denoising.losses(tiny, photos, "a cat", last=24), whole)


def test_what_a_mask_hides_is_not_measured(tiny):
    """Two photos alike but for what is hidden have nearly one loss; all white is as without a mask, to the bit."""
    photo = scene()
    seen = denoising.losses(tiny, [photo], "a dog", last=8)
    white = np.full((128, 128), 255, np.uint8)
    assert np.array_equal(denoising.losses(tiny, [photo], "a dog", masks=[white], last=8), seen)
    left = np.zeros((128, 128), np.uint8)
    left[:, :64] = 255
    half, rest = (denoising.losses(tiny, [photo], "a dog", masks=[mask], last=8) for mask in (left, 255 - left))
    assert np.abs(half / seen - 1).max() > 0.01
    assert np.allclose((half + rest) / 2, seen, rtol=1e-5)


def test_the_loss_is_that_of_training(tiny):
    """Against diffusers' own noising and the network's own output."""
    from diffusers import DDPMScheduler

    from remembrandt.conditions import text

    (loss,) = denoising.losses(tiny, [scene()], "a dog", first=5, last=6)
    scheduler = DDPMScheduler.from_config(dict(tiny.scheduler))
    t = torch.tensor([int((0.5 + 5 * denoising.GOLDEN) % 1.0 * 1000)])
    clean = tiny.encode(torch.from_numpy(scene().copy()).permute(2, 0, 1)[None].float() / 127.5 - 1)[0]
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(denoising.NOISE + 5))
    with torch.no_grad():
        seen = tiny.unet(scheduler.add_noise(clean, noise, t), t, text.encode(tiny, ["a dog"])).sample
    assert loss == pytest.approx((seen - noise).square().mean().item(), rel=1e-4)


def test_what_is_worn_is_seen(tiny):
    turned = adapter(tiny.unet)
    bare = denoising.losses(tiny, [scene()], "a dog", last=8)
    assert np.array_equal(denoising.losses(tiny, [scene()], "a dog", wears=(Worn(turned, 0.0),), last=8), bare)
    worn = denoising.losses(tiny, [scene()], "a dog", wears=(Worn(turned),), last=8)
    assert np.abs(worn / bare - 1).max() > 0.01


def test_extractors_are_the_familys_own(tiny, tmp_path):
    assert features.looks(tiny) == {}
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    tower = CLIPVisionModelWithProjection(CLIPVisionConfig(**sizes, image_size=32, patch_size=8, projection_dim=12))
    judges.save(judges.Instances(8, 8), tmp_path / "judges" / "instances")
    seeing = replace(tiny, image_encoder=tower.eval(), folder=tmp_path)
    pictures = [scene(k) for k in range(3)]
    for name, look in features.looks(seeing).items():
        found = look(pictures)
        assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-3), name
        assert np.allclose(look(pictures[1:])[0], found[1], atol=1e-5)
    assert list(features.looks(seeing)) == ["image encoder", "instances"]
    plain = features.plain(pictures)
    assert np.allclose(plain @ plain.T, np.where(np.eye(3), 1, plain @ plain.T)) and plain[0] @ plain[1] < 0.9


def test_a_judge_is_stored_in_a_byte_a_weight(tmp_path):
    torch.manual_seed(0)
    judge = judges.Instances(32, 8).eval()
    judges.save(judge, tmp_path)
    count = sum(p.numel() for p in judge.parameters())
    assert (tmp_path / "model.safetensors").stat().st_size < 1.25 * count
    x = torch.rand(4, 3, 64, 64) * 2 - 1
    again = judges.load(tmp_path)
    assert (again(x) * judge(x)).sum(-1).min() > 0.9995
    for name, p in judge.state_dict().items():
        error = (again.state_dict()[name] - p).abs()
        largest = p.flatten(1).abs().amax(1) if p.ndim > 1 else p.abs().max()
        assert (error.flatten(1).amax(1) <= largest / 253).all() if p.ndim > 1 else error.max() <= largest / 1000


def test_a_repeated_background_is_found_and_the_subject_is_not_held_against_it():
    photos = [scene(k, (50 + 10 * k, 64)) for k in range(4)]
    again = [scene(2, (x, 70)) for x in (40, 60, 80, 90, 70, 55, 45)] + [scene(99)]
    free = [scene(k + 50) for k in range(8)]
    assert collapse.repeated(again, photos, free) == [collapse.Repeats(2, 7, 8)]
    assert collapse.repeated(free, photos, free) == []
    shifted = [np.roll(p, (5, -6), (0, 1)) for p in again[:3]]
    assert collapse.repeated(shifted + free[:1], photos, free)[0].times == 3
    mirrored = [np.ascontiguousarray(p[:, ::-1]) for p in again[:3]]
    assert collapse.repeated(mirrored, photos, free)[0].times == 3
    brighter = [(p * 0.6 + 70).astype(np.uint8) for p in again[:3]]
    assert collapse.repeated(brighter, photos, free)[0].times == 3


def test_what_every_picture_of_the_place_has_is_no_repetition():
    """All skies are alike: the base paints them too."""
    sky = [scene(2, (x, 64)) for x in (40, 60, 80)]
    assert collapse.repeated(sky, [scene(2)], sky) == []
