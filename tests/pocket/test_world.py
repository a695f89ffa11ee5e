"""The world keeps its promises: one scene, one picture at any size, captions and truth that agree."""

import re
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("skia")
cv2 = pytest.importorskip("cv2")

from remembrandt.pocket.world import vocabulary as words  # noqa: E402
from remembrandt.pocket.world.captions import canonical, caption, lexicon  # noqa: E402
from remembrandt.pocket.world.ground_truth import truth  # noqa: E402
from remembrandt.pocket.world.scene import Scene, Subject, layers, layout, look, render, sample, true_to_size  # noqa: E402
from remembrandt.pocket.world.styles import STYLES  # noqa: E402
from remembrandt.pocket.world.things import THINGS  # noqa: E402


def some(count: int, **how) -> list[Scene]:
    """The first scenes of a fixed stream."""
    rng = np.random.default_rng(11)
    return [sample(rng, **how) for _ in range(count)]


def alone(
    category: str, colour: str = "red", pattern: str = "plain", size: str = "middle", seed: int = 1, **how
) -> Scene:
    """One thing on a meadow."""
    return Scene((Subject(category, colour, pattern, size, seed),), "meadow", **how)


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio in decibels."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2)))


def test_every_word_has_its_painter():
    assert set(THINGS) == set(words.CATEGORIES)
    assert set(STYLES) == {*words.STYLES, *words.HELD_BACK}


def test_a_scene_is_a_value():
    for scene in some(6):
        assert Scene.from_dict(scene.to_dict()) == scene
        assert np.array_equal(render(scene), render(Scene.from_dict(scene.to_dict())))


@pytest.mark.parametrize("style", [*words.STYLES, *words.HELD_BACK])
def test_a_size_change_does_not_change_the_picture(style):
    for scene in some(2, style=style, signs=0.0):
        large = cv2.resize(render(scene, 256), (128, 128), interpolation=cv2.INTER_AREA)
        assert psnr(large, render(scene, 128)) > 21


def test_no_contour_has_a_bright_fringe():
    """Premultiplied throughout: nowhere is a sheet's colour brighter than its coverage."""
    for scene in some(10):
        for layer in layers(scene, 64):
            assert np.all(layer.rgba[..., :3] <= layer.rgba[..., 3:])


@pytest.mark.parametrize("category", list(words.CATEGORIES))
def test_things_have_the_right_size_and_patterns_show(category):
    plain, spot = truth(alone(category)), layout(alone(category))[0]
    x0, y0, x1, y1 = plain.boxes[0]
    assert 0.6 * spot.height * 128 < y1 - y0 < 1.3 * spot.height * 128
    assert max(x1 - x0, y1 - y0) > 0.4 * 128
    inside = plain.masks[0]
    for pattern in words.PATTERNS[1:]:
        differ = np.abs(render(alone(category, pattern=pattern)).astype(int) - render(alone(category))).max(2) > 30
        assert differ[inside].mean() > 0.05, pattern
    heights = [truth(alone(category, size=s)).boxes[0] for s in words.SIZES]
    assert heights[0][3] - heights[0][1] < heights[1][3] - heights[1][1] < heights[2][3] - heights[2][1]


def test_the_mask_is_where_the_subject_is():
    for scene in some(8, styles=("photo",), pairs=0.0, signs=0.0):
        other = replace(scene.subjects[0], colour="teal" if scene.subjects[0].colour != "teal" else "red")
        changed = np.abs(render(scene).astype(int) - render(replace(scene, subjects=(other,)))).max(2) > 24
        mask = truth(scene).masks[0]
        assert changed[mask].mean() > 0.2
        assert changed[~cv2.dilate(mask.astype(np.uint8), np.ones((5, 5))).astype(bool)].mean() < 0.01


def test_truth_is_consistent():
    for scene in some(20):
        found = truth(scene, 96)
        assert found.depth.shape == (96, 96) and found.depth.min() >= 0 and found.depth.max() <= 1
        assert np.allclose(np.linalg.norm(found.normals, axis=2), 1, atol=1e-2)
        assert found.masks.sum(0).max() <= 1
        for subject, mask, points, lines in zip(
            scene.subjects, found.masks, found.keypoints, found.segments, strict=False
        ):
            assert mask.mean() > 0.01, scene
            assert np.all(found.segmentation[mask] == 2 + list(words.CATEGORIES).index(subject.category))
            assert set(points) == set(THINGS[subject.category].keypoints)
            for x, y in [*points.values(), *(q for s in lines for q in (s[:2], s[2:]))]:
                assert -4 <= x <= 100 and -4 <= y <= 100, (subject.category, x, y)


def test_a_relation_is_what_it_says():
    for scene in some(24, pairs=1.0):
        first, second = layout(scene)
        masks = truth(scene, 64).masks
        if scene.relation == "on top of":
            assert first.y < second.y and THINGS[scene.subjects[1].category].seat
        elif scene.relation == "behind":
            assert first.y < second.y - 0.08 and masks[0].sum() > 0.4 * (layers(scene, 64)[0].rgba[..., 3] > 127).sum()
        else:
            assert abs(first.y - second.y) < 0.05
        assert scene.subjects[0].colour != scene.subjects[1].colour


def test_captions_say_what_is_shown():
    for scene in some(100):
        text = canonical(scene)
        assert words.PLACES[scene.place] in text
        for subject, true in zip(scene.subjects, true_to_size(scene), strict=True):
            said = {subject.colour, words.CATEGORIES[subject.category][0], subject.pattern}
            said |= {subject.size} if true else set()
            assert all(word in text for word in said - {"plain", "middle"}), text


def test_a_size_that_did_not_fit_is_not_said():
    """A big thing on a narrow seat is drawn small: to call it big would teach that words mean nothing."""
    tower = Scene((Subject("house", "red", "plain", "big", 1), Subject("cube", "blue", "plain", "small", 2)), "beach",
                  "photo", "on top of", 0.0, 3, "")  # fmt: skip
    assert true_to_size(tower) == [False, True]
    assert "big" not in canonical(tower) and "small blue cube" in canonical(tower)
    assert "big" in canonical(replace(tower, subjects=tower.subjects[:1], relation=""))
    pairs = [true_to_size(scene) for scene in some(200, pairs=1.0)]
    assert 0.9 < np.mean(pairs) < 1


def test_captions_are_varied_known_and_silent_about_what_is_held_back():
    known, rng = set(lexicon()), np.random.default_rng(5)
    scenes = some(30) + [replace(scene, style=style) for style in words.HELD_BACK for scene in some(5)]
    for scene in scenes:
        texts = {caption(scene, rng) for _ in range(12)} | {canonical(scene)}
        assert len(texts) > 4
        for text in texts:
            assert text == text.lower() and "  " not in text
            assert not any(
                word in text for word in ("blueprint", "stained", "embroidery", "woodcut", "neon", "pop art")
            ), text
            assert set(re.findall(r"[a-z]+", re.sub(r'"[a-z]+"', "", text))) <= known, text


def test_identity_is_constant_over_poses_and_differs_between_instances():
    one, other = alone("dog", seed=1).subjects[0], alone("dog", seed=2).subjects[0]
    assert look(one).gene("ear length", 0, 1) == look(replace(one, size="big", colour="blue")).gene("ear length", 0, 1)
    assert look(one).gene("ear length", 0, 1) != look(other).gene("ear length", 0, 1)
    for category in words.CATEGORIES:
        a, b = (render(alone(category, seed=s)).astype(int) for s in (1, 2))
        assert (np.abs(a - b).max(2) > 24).mean() > 0.01, category


def test_samples_cover_the_vocabulary():
    scenes = some(2000)
    assert {s.style for s in scenes} == set(words.STYLES)
    assert {s.place for s in scenes} == set(words.PLACES)
    assert {x.category for s in scenes for x in s.subjects} == set(words.CATEGORIES)
    assert {x.colour for s in scenes for x in s.subjects} == set(words.COLOURS)
    assert 0.3 < np.mean([len(s.subjects) == 2 for s in scenes]) < 0.4
    assert 0.45 < np.mean([s.style == "photo" for s in scenes]) < 0.65
