"""`make weights` in miniature: every stage runs, stops when told, goes on, and leaves a family that paints."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

pytest.importorskip("skia", reason="needs the extra [world]")

from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation import judges
from remembrandt.family.load import load
from remembrandt.pocket import autoencoder, disturbing, judging, paint, pictures, recipe, towers
from remembrandt.pocket.exam import exam
from remembrandt.pocket.stage import train
from remembrandt.training.loop import Plan

STEPS = {"autoencoder": 2, "whole": 1, "towers": 2, "painter": 2, "readers": 2, "instances": 1}
STEPS |= {"attention": 1, "variations": 1, "inpaint": 2}
FEW = recipe.Sizes(masked=1, shards=1, litters=1, smeared=1, batch=2, guarded=6, **STEPS)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "SHARD", judging.LITTER * judging.VIEWS)
        patch.setattr(autoencoder, "NATURAL", 4)
        folder = tmp_path_factory.mktemp("weights")
        made = recipe.Work(folder / "work", folder / "pocket", FEW)
        assert recipe.make(made)
        yield made


def test_what_it_leaves_is_a_family_that_paints(work):
    family = load(work.out)
    assert (family.name, family.record.size) == ("pocket", 128) and family.image_encoder is not None
    [[painted]] = Engine(family).paint([Request("a red dog", steps=1)])
    assert painted.pixels.shape == (128, 128, 3)
    assert all(p.stat().st_size <= 15e6 for p in work.out.rglob("*"))
    assert json.loads((work.out / "feature_extractor" / "preprocessor_config.json").read_text())["remembrandt"] == {
        "resize": "bicubic", "antialias": False, "align_corners": False, "fit": "squash", "clamp": False,
    }  # fmt: skip


def test_readers_are_shown_where_each_thing_is(work):
    """Mirrored and moved with its picture: what the map of a thing is taught lies on the thing."""
    kinds = [judging.Kind(1.0, 1, lambda index: pictures.shard(work / "pictures", index))]
    config = judging.readers().config
    for step in range(4):
        x, told = judging.reader_batches(kinds, 4, 5, config)(step)
        assert told["seen"].shape == (4, 2, 128, 128) and told["seen"].sum(1).max() <= 1 + 1e-6
        edge = lambda t: (t[..., 1:] - t[..., :-1]).abs()[..., 8:-8]  # noqa: E731
        drawn = edge(x).sum(1)
        rim = edge(told["seen"].sum(1)) > 0.5
        assert drawn[rim].mean() > 2 * drawn[~rim].mean()


def test_a_pattern_on_a_seat_that_is_sat_on_is_not_asked_for():
    scene = pictures.scene(1000040528)  # a shoe on a stool
    assert [judging.pattern_shows(scene, k) for k in (0, 1)] == [True, False]
    assert judging.pattern_shows(replace(scene, subjects=scene.subjects[1:], relation=""), 0)


def test_two_makers_of_one_file_do_no_harm(tmp_path):
    first = np.arange(3)

    def make() -> np.ndarray:
        pictures.once(tmp_path / "it.npy", lambda: first)  # another was quicker
        return first

    assert (pictures.once(tmp_path / "it.npy", make) == first).all()
    assert [p.name for p in tmp_path.iterdir()] == ["it.npy"]


def test_changed_captions_are_of_scenes_that_can_be():
    stacked = [n for n in range(400) if pictures.scene(n).relation == "on top of"]
    assert len(stacked) > 20
    for n in stacked:
        right, wrong = zip(*(towers.captions(n, draw) for draw in range(12)), strict=True)
        assert all(right) and all(wrong)


def test_recoloured_pictures_keep_their_outlines():
    rng = np.random.default_rng(3)
    x = torch.full((64, 3, 32, 32), -0.5)
    x[:, 0, 8:24, 8:24] = 0.8
    seen = disturbing.recoloured(x, rng, 0.5)
    changed = (seen - x).abs().flatten(1).amax(1) > 1e-6
    assert seen.abs().max() <= 1 + 1e-6 and 20 <= changed.sum() <= 44
    assert torch.equal(disturbing.recoloured(x, np.random.default_rng(3), 0.5), seen)
    inside, edge = seen[..., 11:21, 11:21], seen[..., 0:6, 0:6]
    apart = (inside.mean((2, 3)) - edge.mean((2, 3))).abs().amax(1)
    drawn = (seen.diff(dim=-1).abs().amax((1, 2))[:, 6:9].amax(-1)) > 0.05
    assert ((apart > 0.05) | drawn)[changed].float().mean() > 0.85


def test_who_trains_on_sees_other_draws(work, tmp_path):
    fresh = replace(work, out=tmp_path / "nothing")
    assert (fresh.revision, work.revision) == (0, 1)
    latent = lambda index: paint.latents(None, work / "pictures", index)  # noqa: E731
    first, second = (paint.batches(latent, range(1), 4, w.chance(4))(0) for w in (fresh, work))
    assert not torch.equal(first[0], second[0])


def test_scaled_latents_have_unit_deviation(work):
    """Five times as wide, they outshine the noise at every moment, and a painter learns next to nothing."""
    made = paint.latents(recipe.autoencoder_of(work), work / "pictures", 0)[:, :4]
    assert abs(np.std(made.astype(np.float32)) - 1) < 0.05


def test_every_word_of_the_world_and_every_syllable_is_one_token(work):
    from remembrandt.pocket.world.captions import lexicon
    from remembrandt.pocket.world.vocabulary import SYLLABLES

    tokenizer = load(work.out).tokenizer
    assert [w for w in [*lexicon(), *SYLLABLES] if len(tokenizer.tokenize(w)) != 1] == []
    for text in ("zoë 漢字 🐶", "", "A RED DOG", "don't"):
        ids = tokenizer(text).input_ids
        assert ids[0] == tokenizer.bos_token_id and ids[-1] == tokenizer.eos_token_id


def test_what_is_finished_is_not_done_again(work, capsys):
    assert recipe.make(work, ["autoencoder", "painter"])
    assert "==" not in capsys.readouterr().out


def test_minutes_that_are_over_stop_it_whole_and_the_next_call_goes_on(work, tmp_path, capsys):
    late = replace(work, folder=tmp_path, until=0.0)
    (tmp_path / "pictures").symlink_to(work / "pictures")
    assert not recipe.make(late, ["autoencoder"])
    assert not (tmp_path / "autoencoder" / recipe.RESULT).exists()
    assert recipe.make(replace(late, until=None), ["autoencoder"])
    assert (tmp_path / "autoencoder" / recipe.RESULT).exists()
    assert "vae: from" in capsys.readouterr().out  # it began with what was shipped


def test_more_steps_go_on_from_the_checkpoint_of_fewer(work, tmp_path, capsys):
    net, here = torch.nn.Linear(2, 1), replace(work, folder=tmp_path)

    def loss(step: int, stop: int = 3) -> torch.Tensor:
        if step == stop:
            raise KeyboardInterrupt
        return net(torch.ones(1, 2)).square().mean()

    with pytest.raises(KeyboardInterrupt):
        train(here, "it", {"net": net}, loss, Plan(4, 0.1))
    train(here, "it", {"net": net}, lambda step: loss(step, 99), Plan(6, 0.1))
    assert "not as at the last checkpoint" in capsys.readouterr().out


def test_judges_survive_the_disk_and_read_two_things_apart(work):
    readers = judges.load(work.out / "judges" / "readers")
    assert isinstance(readers, judges.Readers)
    images = np.stack([pictures.picture(pictures.UNSEEN + n) for n in range(3)])
    [first, *_] = judges.read(readers, images, [["dog", "cat"]] * 3)
    assert set(first.things) == {"dog", "cat"} and set(first.whole) == {"place", "style", "relation"}
    assert first.things["dog"]["colour"] in readers.config["attributes"]["colour"]


def test_the_examination_can_be_failed_and_passed():
    """A painter that paints the truth passes with a reader that knows it; one that paints something else fails."""
    scenes = {n: pictures.scene(n, pairs=0.0, signs=0.0) for n in range(pictures.UNSEEN, pictures.UNSEEN + 8)}
    truth = judging.readers()
    from remembrandt.pocket.world.scene import render

    right = exam(lambda prompts, seed: np.stack([render(s) for s in scenes.values()]), truth, singles=8, pairs=0)
    assert set(right) >= {"category", "colour", "place", "style", "all four", "pattern"}
    assert right["all four"] < 1  # untrained readers cannot pass anybody


def test_spread_and_near_copies_tell_a_painter_that_repeats_itself():
    from remembrandt.pocket import exam as exams

    trained, unseen = (np.stack([pictures.picture(k + n) for n in range(40)]) for k in (0, pictures.UNSEEN))
    assert exams.near_copies(trained[:10], unseen, [trained]) == 1
    assert exams.near_copies(unseen, unseen, [trained]) <= 0.03
    readers, one = judging.readers(), np.stack([unseen[0]] * 8)
    assert sum(exams.spread(one, "dog", readers).values()) == 0 < sum(exams.spread(unseen, "dog", readers).values())


def test_a_caption_with_one_fact_changed_is_another_caption():
    from remembrandt.pocket.towers import captions

    pairs = [captions(n, 0) for n in range(60)]
    assert sum(right != wrong for right, wrong in pairs) > 40


def test_a_picture_names_the_words_of_its_caption_and_nothing_else():
    names = torch.eye(6)
    ids, mask = torch.tensor([[0, 2, 3, 1, 1], [0, 4, 1, 1, 1]]), torch.tensor([[1, 1, 1, 1, 0], [1, 1, 1, 0, 0]])
    right, wrong = torch.zeros(2, 6), torch.zeros(2, 6)
    right[0, [2, 3]], right[1, 4] = 1, 1
    wrong[0, [0, 1]], wrong[1, 5] = 1, 1  # the marks of beginning and end are no words
    least = towers.captioned(right, names, ids, mask)
    assert torch.allclose(least, torch.log(torch.tensor(2.0)) / 2, atol=1e-3)  # two words share, one has it alone
    assert towers.captioned(wrong, names, ids, mask) > least + 10


def test_over_a_shipped_family_only_the_eye_learns(work, tmp_path):
    again = replace(work, folder=tmp_path)
    (tmp_path / "pictures").symlink_to(work / "pictures")
    assert recipe.make(again, ["towers"])
    text, kept = recipe.text_of(again)[1].state_dict(), recipe.shipped_text(work.out).state_dict()
    assert all(torch.equal(v, kept[k]) for k, v in text.items())
    eyes = [load_file(f / "model.safetensors") for f in (tmp_path / "towers/result/image", work.out / "image_encoder")]
    assert any(not torch.equal(v, eyes[1][k].float()) for k, v in eyes[0].items())


def test_what_is_frozen_is_taken_as_shipped(work, tmp_path):
    again = replace(work, folder=tmp_path)
    for adopt in recipe.FROZEN.values():
        adopt(again)
    assert (tmp_path / "towers" / recipe.RESULT / "image").exists()
    kept = (recipe.autoencoder_of(work), recipe.text_of(work)[1])
    for before, after in zip(kept, (recipe.autoencoder_of(again), recipe.text_of(again)[1]), strict=True):
        other = after.state_dict()
        assert all(v.half().equal(other[k].half()) for k, v in before.state_dict().items())


def test_the_variations_model_is_what_its_unet_differs_by_from_the_painter(work):
    from remembrandt.family import delta, folder

    place = work.out.with_name("variations")
    base, made = folder.read(work.out), delta.read(place, folder.read(work.out))
    assert (made.facts["kind"], made.facts["guidance"]) == ("variations", 3.0)
    assert made.configs["unet"]["cross_attention_dim"] == 128 != base.configs["unet"]["cross_attention_dim"]
    moved = [n for n in base.weights["unet"] if ".attn2.to_out.0.weight" in n]
    assert all(not torch.equal(made.weights["unet"][n](), base.weights["unet"][n]().float()) for n in moved)
    before = (place / "remembrandt.json").stat().st_mtime_ns
    assert recipe.make(work, ["variations"]) and (place / "remembrandt.json").stat().st_mtime_ns == before
