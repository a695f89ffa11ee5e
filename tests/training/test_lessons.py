"""Lessons of both methods: they learn, they resume bit for bit, and no option is idle."""

import copy
import shutil

import numpy as np
import pytest
import torch

from remembrandt.adapters.wear import Worn, wear
from remembrandt.family.load import load
from remembrandt.settings import Wrong
from remembrandt.training import class_images, methods
from remembrandt.training.examples import draw, encode
from remembrandt.training.method import Lesson, denoising, encoder, first_rows
from remembrandt.training.textual_inversion import usual

SHORT = {"batch": 2, "warmup": 2, "checkpoint_every": 2}
RATES = {
    "oft": {"learning_rate": 0.02, "block": 8},
    "lora": {"learning_rate": 0.02, "rank": 4, "alpha": 4.0},
    "textual-inversion": {"learning_rate": 0.1},
    "dreambooth": {"learning_rate": 1e-3},
    "text-to-image": {"learning_rate": 1e-3},
}
MOST = [name for name in RATES if name != "text-to-image"]  # which is dreambooth with other defaults


class Killed(Exception):
    pass


@pytest.fixture
def family(tiny):
    return copy.deepcopy(tiny)


def teach(family, name, steps=4, vectors=1, **rest):
    chosen = methods.method(name, {"steps": steps, **SHORT, **RATES[name], **rest.pop("set", {})})
    draws = np.random.default_rng(0)
    squares = [draws.integers(0, 255, (128, 128, 3)).astype(np.uint8) for _ in range(2)]
    words = {"brc": first_rows(family, "dog", vectors)} if chosen.added else {}
    found = encode(family, squares, ["a brc dog"])
    lesson = Lesson(found, words, seed=3)
    return methods.learn(chosen, family, lesson, **rest), lesson


def state(family, learned) -> dict[str, torch.Tensor]:
    if learned.adapter is None:
        return {n: p.detach().clone() for n, p in family.unet.named_parameters()}
    tensors = {
        f"{n}.{k}": t for n, named in learned.adapter.tensors.items() for k, t in named.items()
    }
    return tensors | {"rows": learned.adapter.rows}


def equal(a, b) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[n], b[n]) for n in a)


@pytest.mark.parametrize("name", MOST)
def test_a_killed_lesson_resumes_bit_for_bit(name, family, tmp_path):
    whole, _ = teach(other := copy.deepcopy(family), name, steps=7)

    def kill(event):
        if event.step == 5:
            raise Killed

    first = copy.deepcopy(family)
    with pytest.raises(Killed):
        teach(first, name, steps=7, folder=tmp_path, progress=kill)
    # As after SIGKILL: nothing later than the last regular checkpoint, and half of the next one.
    newest = max((tmp_path / "checkpoints").glob("step-*"))
    shutil.move(newest, newest.with_name(".step-00000006"))
    done = []
    again, _ = teach(family, name, steps=7, folder=tmp_path, progress=lambda e: done.append(e.step))
    assert done == [5, 6, 7]
    assert equal(state(family, again), state(other, whole))
    assert not list(tmp_path.rglob("*.pt")) and not list(tmp_path.rglob("*.bin"))


@pytest.mark.parametrize("name", ["oft", "lora", "textual-inversion"])
def test_an_adapter_moves_nothing_of_the_family(name, family, tiny):
    learned, _ = teach(family, name, steps=3)
    for part in ("unet", "text_encoder", "vae"):
        mine, theirs = getattr(family, part), getattr(tiny, part)
        assert equal(mine.state_dict(), theirs.state_dict())
    assert all(t.abs().max() > 0 for named in learned.adapter.tensors.values() for t in named.values())
    assert not torch.equal(learned.adapter.rows, first_rows(family, "dog"))


@pytest.mark.parametrize("name", MOST)
def test_a_lesson_learns(name, family):
    """On draws that it was not taught on, paired: the same times and the same noise."""
    before, after, plan = copy.deepcopy(family), family, {"batch": 4}
    learned, lesson = teach(after, name, steps=16, set=plan)
    still = {} if name == "textual-inversion" else {"dropout": 0.0}
    chosen = methods.method(name, {**SHORT, **plan, **still})
    words = {"brc": learned.adapter.rows} if learned.adapter else {}
    outfit = (Worn(learned.adapter),) if learned.adapter else ()
    heard = Lesson(lesson.examples, words, seed=9)
    with torch.no_grad():
        bare = [chosen.stages(before, lesson)[0].loss(step).item() for step in range(4)]
        loss = denoising(after, heard, encoder(after, heard, lambda: words), 4, 0.0)
        with wear(after.unet, [outfit] * 4):
            taught = [loss(step).item() for step in range(4)]
    assert np.mean(taught) < np.mean(bare) - 0.01


@pytest.mark.parametrize("name", ["oft", "lora"])
def test_what_was_learned_is_what_is_worn(name, family):
    learned, lesson = teach(family, name, steps=6)
    words = {"brc": learned.adapter.rows}
    heard = Lesson(lesson.examples, words, lesson.seed)
    loss = denoising(family, heard, encoder(family, heard, lambda: words), 2, 0.1)
    seen = []
    teach(family, name, steps=7, every={6: lambda step, adapter: seen.append(adapter)})
    longer, _ = teach(family, name, steps=7)
    with wear(family.unet, [(Worn(seen[0]),)] * 2), torch.no_grad():
        assert loss(6).item() == pytest.approx(longer.losses[6], rel=1e-5)


IDLE = {"steps", "checkpoint_every", "gradient_checkpointing"}
OTHER = {
    "learning_rate": 0.01, "token_rate": 0.0, "batch": 3, "block": 4, "angle": 5.0, "warmup": 0,
    "dropout": 1.0, "clip": 1e-4, "weight_decay": 0.5, "text_rate": 0.01, "gradient_accumulation": 2,
    "rank": 2, "alpha": 1.0, "feed_forward": True, "norm": 0.1,
}  # fmt: skip
ELSEWHERE = {"vectors", "num_class_images", "prior_weight"}  # for rows and priors, which these lessons lack


@pytest.mark.parametrize("name", RATES)
def test_no_option_is_idle(name, family):  # trainers.md 4 a
    first = copy.deepcopy(family)
    plain = state(first, teach(first, name, steps=2)[0])
    for row in methods.options.describe(methods.METHODS[name]):
        if row["name"] in IDLE | ELSEWHERE:
            continue
        fresh = copy.deepcopy(family)
        changed = state(
            fresh, teach(fresh, name, steps=2, set={row["name"]: OTHER[row["name"]]})[0]
        )
        assert not equal(plain, changed), row["name"]


@pytest.mark.parametrize("name", MOST)
def test_half_precision(name, tiny, tiny_folder):
    """What moves is fp32, and starts from all the digits that the files have."""
    half = load(tiny_folder, precision="bf16")
    assert half.unet.dtype == torch.bfloat16
    still = {"learning_rate": 1e-9, "weight_decay": 0.0} if name == "dreambooth" else {}
    learned, _ = teach(half, name, steps=2, set=still)
    assert all(t.dtype == torch.float32 for t in state(half, learned).values())
    if name == "dreambooth":
        theirs = dict(tiny.unet.named_parameters())
        assert all((p - theirs[n]).abs().max() < 1e-7 for n, p in half.unet.named_parameters())


def test_several_vectors(family):
    learned, _ = teach(family, "oft", steps=1, vectors=3)
    assert learned.adapter.rows.shape == (3, family.text_encoder.config.hidden_size)


def test_inverted_rows_part_and_keep_their_length(family):
    learned, _ = teach(family, "textual-inversion", steps=8, vectors=3, set={"learning_rate": 1.0})
    rows, start = learned.adapter.rows, learned.adapter.start
    assert not learned.adapter.tensors and start.shape == rows.shape == (3, 32)
    longest = 1.5 * usual(family)
    assert (rows.norm(dim=-1) <= longest * 1.0001).all() and (rows.norm(dim=-1) > longest * 0.9).all()
    assert (rows[0] - rows[1]).norm() > 0.01 and torch.equal(start[0], start[1])
    assert torch.equal(learned.adapter.called(0.0), start) and torch.equal(learned.adapter.called(), rows)


def test_a_batch_that_does_not_name_the_identifier(family):
    """Textual inversion has nothing to learn from it, and goes on."""
    chosen = methods.method("textual-inversion", {"steps": 1, **SHORT})
    found = encode(family, [np.zeros((128, 128, 3), np.uint8)], ["a dog"])
    lesson = Lesson(found, {"brc": first_rows(family, "dog")})
    learned = methods.learn(chosen, family, lesson)
    assert torch.equal(learned.adapter.rows, learned.adapter.start)


def test_a_preview_sees_the_adapter_and_a_bare_network(family):
    seen = []

    def look(step, adapter):
        bare = [len(m._forward_pre_hooks) for m in family.unet.modules()]
        draws = draw(lesson.examples, 0, 0, 1)
        tokens = torch.zeros(1, 77, family.unet.config.cross_attention_dim)
        call = family.unet(draws.latents, torch.tensor([5]), encoder_hidden_states=tokens).sample
        seen.append((step, adapter, call, bare))

    _, lesson = teach(family, "oft", steps=1)
    plain, _ = teach(copy.deepcopy(family), "oft", steps=4)
    learned, _ = teach(family, "oft", steps=4, every={2: look})
    assert [s for s, *_ in seen] == [2, 4] and torch.equal(seen[0][2], seen[1][2])
    assert equal(state(family, plain), state(family, learned))  # looking changes nothing
    assert equal(state(family, learned), state(family, methods.Learned(seen[1][1], 4, [])))


def test_class_pictures_are_shared_by_content_and_go_on(family, tmp_path):
    first = class_images.paint(family, "a dog", 3, tmp_path)
    assert len(first) == 3 and first[0].shape == (128, 128, 3) and first[0].dtype == np.uint8
    assert not np.array_equal(first[0], first[1])
    place = next(tmp_path.iterdir())
    (place / "00001.png").unlink()
    stamp = (place / "00000.png").stat().st_mtime_ns
    again = class_images.paint(family, "a dog", 3, tmp_path)
    assert all(np.abs(a.astype(int) - b).max() <= 1 for a, b in zip(first, again, strict=True))
    assert (place / "00000.png").stat().st_mtime_ns == stamp
    class_images.paint(family, "a cat", 1, tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


def test_flat_pictures_and_near_copies_are_thrown_away(family, tmp_path, monkeypatch):
    draw = np.random.default_rng(0)
    some = [np.kron(draw.integers(0, 255, (8, 8, 3)), np.ones((16, 16, 1))).astype(np.uint8) for _ in range(3)]
    assert class_images.usable(some[0], some[1:]) and class_images.usable(some[0], [])
    assert not class_images.usable(np.zeros_like(some[0]), [])
    assert not class_images.usable((some[0] * 0.8 + 20).astype(np.uint8), some)
    monkeypatch.setattr(class_images, "usable", lambda picture, others: False)
    with pytest.raises(Wrong, match="--class-images"):
        class_images.paint(family, "a dog", 1, tmp_path)


def test_what_was_thrown_away_is_not_painted_again(family, tmp_path, monkeypatch):
    keep = iter([False, True, False, True, True])
    monkeypatch.setattr(class_images, "usable", lambda picture, others: next(keep))
    first = class_images.paint(family, "a dog", 2, tmp_path)
    place = next(tmp_path.iterdir())
    assert sorted(p.name for p in place.glob("*.png")) == ["00001.png", "00003.png"]
    more = class_images.paint(family, "a dog", 3, tmp_path)
    assert all(np.array_equal(a, b) for a, b in zip(first, more[:2], strict=True))
    assert (place / "00004.png").is_file() and next(keep, None) is None


@pytest.mark.parametrize("name", ["oft", "dreambooth"])
def test_checkpointed_gradients_are_the_same(name, family):
    """And it does compute again: a block runs twice a step."""
    runs = []
    other = copy.deepcopy(family)
    family.unet.up_blocks[1].resnets[0].register_forward_pre_hook(lambda *rest: runs.append(1))
    plain, _ = teach(family, name, steps=2)
    once = len(runs)
    other.unet.up_blocks[1].resnets[0].register_forward_pre_hook(lambda *rest: runs.append(1))
    sparing, _ = teach(other, name, steps=2, set={"gradient_checkpointing": True})
    assert once == 2 and len(runs) == 2 + 4 and not other.unet.is_gradient_checkpointing
    mine, theirs = state(family, plain), state(other, sparing)
    assert all((mine[n] - theirs[n]).abs().max() < 1e-4 for n in mine)


def test_the_text_encoder_moves_if_it_has_a_rate(family, tiny):
    teach(family, "dreambooth", steps=2)
    assert equal(family.text_encoder.state_dict(), tiny.text_encoder.state_dict())
    teach(family, "dreambooth", steps=2, set={"text_rate": 1e-3})
    moved = family.text_encoder.state_dict()
    assert not equal(moved, tiny.text_encoder.state_dict())
    assert not any(p.requires_grad for p in family.text_encoder.parameters())


def test_a_lesson_with_the_text_encoder_resumes(family, tmp_path):
    def kill(event):
        if event.step == 2:
            raise Killed

    options = {"text_rate": 1e-3}
    teach(whole := copy.deepcopy(family), "dreambooth", set=options)
    with pytest.raises(Killed):
        teach(copy.deepcopy(family), "dreambooth", set=options, folder=tmp_path, progress=kill)
    teach(family, "dreambooth", set=options, folder=tmp_path)
    assert equal(family.text_encoder.state_dict(), whole.text_encoder.state_dict())
    assert equal(family.unet.state_dict(), whole.unet.state_dict())


def test_the_loss_is_that_of_the_paper(tiny):
    """Mean over the photos plus `prior` times the mean over the priors; a mask leaves out what it hides."""
    squares = [np.random.default_rng(k).integers(0, 255, (128, 128, 3)).astype(np.uint8) for k in range(2)]
    mask = np.zeros((128, 128), np.uint8)
    mask[:, 64:] = 255
    photos = encode(tiny, squares[:1], ["a brc dog"], masks=[mask])
    priors = encode(tiny, squares[1:], ["a dog"], kind="class")
    lesson = Lesson([*photos, *priors])
    drawn = draw(lesson.examples, 0, 3, 4)
    assert drawn.prompts == ["a brc dog", "a dog"] * 2 and drawn.weights == [0.5] * 4
    assert torch.equal(drawn.masks[0, 0], (torch.arange(16) >= 8).float().expand(16, 16)) and drawn.masks[1].all()
    rows, seen = [], []
    call = tiny.unet.forward

    def forward(noisy, times, **rest):
        out = call(noisy, times, **rest)
        rows.append(out.sample)
        return out

    tiny.unet.forward = forward
    try:
        with torch.no_grad():
            for prior in (0.0, 1.0, 2.5):
                seen.append(denoising(tiny, lesson, encoder(tiny, lesson, dict), 4, 0.0, prior)(3).item())
    finally:
        del tiny.unet.forward
    error = (rows[0] - drawn.noise).square()
    photo, prior = error[::2, :, :, 8:].mean().item(), error[1::2].mean().item()
    assert seen == pytest.approx([photo, photo + prior, photo + 2.5 * prior], rel=1e-5)
