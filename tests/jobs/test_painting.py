"""The painter's invariants: turns, pictures as alone, cancel, faults, adapters."""

import itertools
import shutil
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from PIL import Image

from remembrandt.adapters import adapter as adapters
from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.adapters.shelf import Shelf, weight
from remembrandt.engine.engine import Engine, Painted
from remembrandt.evaluation import copies
from remembrandt.jobs import copying, varying, work
from remembrandt.jobs import easel as easels
from remembrandt.jobs.easel import Easel, Painting, turns
from remembrandt.jobs.files import Home
from remembrandt.jobs.painting import Painter, Stopped
from remembrandt.settings import Wrong

WORDS = ("brc", "krx", "zvl")
SAMPLERS = ("ddim", "euler-a", "heun")
QUICK = settings(max_examples=4, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))


@pytest.fixture(scope="module")
def shelved(tiny, tmp_path_factory) -> Home:
    """A home with an adapter for each of `WORDS`."""
    home = Home(tmp_path_factory.mktemp("home"))
    for k, word in enumerate(WORDS):
        tensors = {n: {oft.NAME: 0.05 + 0.05 * k + 0 * t} for n, t in oft.start(tiny.unet, 8).items()}
        adapters.save(Adapter("oft", tensors), home.path / "models" / "mine" / word, {"base": tiny.digest})
    return home


def asked(tiny, prompt="a dog", n=1, **more):
    base = {"source": "tiny", "folder": None, "digest": tiny.digest}
    older = [
        {"id": w, "identifier": w, "category": "dog", "name": None, "folder": f"models/mine/{w}"} for w in WORDS
    ]
    own = {"model": "mine", "version": 1, "base": base, "weights": None, "worn_by": "both", "older": older}
    fields = {"sampler": None, "steps": 2, "guidance": None, "size": (64, 64), "negative": "", "seed": 0}
    return {**own, **fields, "prompt": prompt, "n": n, "strengths": {}, "device": "cpu", "precision": "fp32", **more}


def easel(tiny, home, room=2**30) -> Easel:
    return Easel(Engine(tiny), home, Shelf(room))


def same(a, b) -> bool:
    """But for how sums are rounded in batches of other shapes; another seed or prompt is 3 and more on average."""
    gap = np.abs(a.astype(float) - b)
    return bool(gap.mean() <= 0.1 and gap.max() <= 4)


def ran(board: Easel, *paintings: Painting) -> int:
    board.waiting += paintings
    before = board.steps
    while not board.idle:
        board.turn()
    return board.steps - before


@given(
    st.dictionaries(st.sampled_from("abcde"), st.lists(st.integers(1, 4), max_size=6)),
    st.dictionaries(st.sampled_from("abcde"), st.integers(0, 9)),
    st.integers(0, 20),
)
def test_turns_are_shared(queues, served, room):
    found = turns({u: [(u, k, c) for k, c in enumerate(q)] for u, q in queues.items()}, served, lambda i: i[2], room)
    counts = {user: [k for u, k, _ in found if u == user] for user in queues}
    assert all(own == list(range(len(own))) for own in counts.values())  # each queue from its front
    left = [len(counts[u]) for u in queues if len(counts[u]) < len(queues[u])]
    assert all(len(counts[u]) <= min(left, default=99) + 1 for u in queues)  # nobody is more than one ahead
    assert len(found) <= 1 or sum(c for _, _, c in found) <= room
    waiting = sorted((u for u in queues if queues[u]), key=lambda u: served.get(u, -1))
    assert bool(found) == bool(waiting) and (not found or found[0][0] == waiting[0])


def test_one_picture_does_not_wait_for_two_hundred(tiny, shelved):
    board = easel(tiny, shelved)
    board.engine.max_rows = 8
    hog = [Painting("a", asked(tiny, seed=k, steps=3)) for k in range(200)]
    board.waiting += hog
    for _ in range(4):
        board.turn()
    assert any(p.future.done() for p in hog) and len(board.live) < 20  # few begun, so few in memory
    other = Painting("b", asked(tiny))
    board.waiting.append(other)
    board.turn()
    assert other.calls == 1
    board.turn()
    assert other.future.done()
    board.end(Stopped())
    assert not board.engine.live and board.shelf.held() == 0


@QUICK
@given(st.data())
def test_requests_come_and_go_and_each_is_painted_as_alone(tiny, shelved, data):
    """Any mix of users, prompts, samplers, steps, guidance, seeds, adapters, arrivals and cancels."""
    board, known = easel(tiny, shelved, room=1), {}
    board.engine.max_rows = data.draw(st.sampled_from([2, 5, 64]))
    draw, paintings, gone = data.draw, [], set()
    for _ in range(draw(st.integers(2, 5))):
        prompt = draw(st.sampled_from(["a dog", "a brc dog", "a krx dog", "a zvl dog and a brc dog"]))
        wish = asked(
            tiny, prompt, draw(st.integers(1, 2)), seed=draw(st.integers(0, 3)), steps=draw(st.integers(1, 3)),
            sampler=draw(st.sampled_from(SAMPLERS)), guidance=draw(st.sampled_from([1, 4.0])),
        )  # fmt: skip
        paintings.append(Painting(draw(st.sampled_from("ab")), wish))
        board.waiting.append(paintings[-1])
        for _ in range(draw(st.integers(0, 2))):
            board.turn()
        if draw(st.booleans()):
            victim = draw(st.sampled_from(paintings))
            if not victim.future.done():
                victim.cancel()
                gone.add(id(victim))
                at = victim.calls
                board.turn()
                assert victim.calls == at and victim.ticket not in board.live
                assert not any(p.ticket is victim.ticket for p in board.engine.live)
    ran(board)
    for painting in paintings:
        assert painting.future.cancelled() == (id(painting) in gone)
        if id(painting) not in gone:
            key = repr(painting.request)
            if key not in known:
                alone = work.asked_of(painting.request, work.library(painting.request, shelved), tiny)[0]
                known[key] = Engine(tiny).paint([alone])[0]
            for ours, theirs in zip(painting.future.result(), known[key], strict=True):
                assert same(ours.pixels, theirs.pixels)
                assert {**ours.recipe, **theirs.recipe} == ours.recipe and ours.recipe["model"] == "mine"
    assert board.shelf.held() == 0 and len(board.shelf) == 0  # room for one byte: nothing unused stays


def test_a_fault_ends_its_own_request(tiny, shelved):
    board = easel(tiny, shelved)
    good, bad = Painting("a", asked(tiny)), Painting("a", asked(tiny, steps=0))
    foreign = asked(tiny, "a brc dog")
    foreign["base"] = {**foreign["base"], "digest": "another"}
    worn, broken = Painting("b", foreign), Painting("b", asked(tiny, seed=7))
    board.waiting += [good, bad, worn, broken]
    step = board.engine.step

    def failing(some):
        if any(p.ticket is broken.ticket for p in some):
            raise RuntimeError("a kernel failed")
        return step(some)

    board.engine.step = failing
    ran(board)
    assert len(good.future.result()) == 1
    for painting, kind in ((bad, Wrong), (worn, Wrong), (broken, RuntimeError)):
        assert isinstance(painting.future.exception(), kind)
    assert board.idle and board.shelf.held() == 0


def test_a_fault_of_the_end_ends_its_own_request(tiny, shelved, monkeypatch):
    guarded = easels.safety.guarded

    def failing(family, painted, policy=None):
        if any(p.recipe["seed"] == 1 for p in painted):
            raise RuntimeError("no memory for the checker")
        return guarded(family, painted, policy)

    monkeypatch.setattr(easels.safety, "guarded", failing)
    board = easel(tiny, shelved)
    good, bad = (Painting("a", asked(tiny, seed=k)) for k in (0, 1))
    ran(board, good, bad)
    assert len(good.future.result()) == 1
    assert isinstance(bad.future.exception(), RuntimeError) and board.idle


def test_out_of_memory_halves_the_step_and_repeats_it(tiny, shelved, monkeypatch):
    board = easel(tiny, shelved)
    paintings = [Painting("a", asked(tiny, seed=k)) for k in range(8)]
    sizes, denoise = [], Engine._denoise

    def small(self, rows):
        sizes.append(len(rows))
        if len(rows) > 4:
            raise MemoryError
        return denoise(self, rows)

    monkeypatch.setattr(Engine, "_denoise", small)
    ran(board, *paintings)
    assert sizes[:3] == [16, 8, 4] and max(sizes[3:]) <= 8 and sizes.count(16) == 1
    assert all(len(p.future.result()) == 1 for p in paintings)


def test_the_shelf_keeps_what_is_worn_and_little_else(shelved, tiny, tmp_path):
    folders = [shelved.path / "models" / "mine" / word for word in WORDS]
    one = weight(adapters.load(folders[0])[0])
    shelf = Shelf(room=2 * one)
    first, second = shelf.lease(), shelf.lease()
    held = first.read(folders[0], base=tiny.digest)[0]
    for folder in folders:
        assert second.read(folder, base=tiny.digest)[0]
    assert len(shelf) == 3 and shelf.bytes == 3 * one and shelf.reads == 3
    second.close()
    second.close()
    assert len(shelf) == 2 and second.read(folders[0], base=tiny.digest)[0] is held  # worn: stays, oldest or not
    assert shelf.reads == 3
    first.close()
    second.close()
    shutil.copytree(folders[1], tmp_path / "guest")
    lease = shelf.lease()
    lease.read(tmp_path / "guest")
    (tmp_path / "guest" / adapters.MANIFEST).touch()
    before = shelf.reads
    lease.read(tmp_path / "guest")
    assert shelf.reads == before + 1  # another import of that name
    with pytest.raises(Wrong, match="no readable"):
        lease.read(tmp_path / "none")


def test_previews_take_their_share(tiny, shelved, monkeypatch):
    """By turns, and all together a fifth of the time: of a clock that goes on whenever somebody looks at it."""
    ticks = itertools.count(1.0)
    for name, value in {"monotonic": lambda: next(ticks), "PREVIEW": 0.0, "SHARE": 0.2}.items():
        monkeypatch.setattr(easels, name, value)
    board, paintings, seen = easel(tiny, shelved), [], []
    paintings += [Painting(f"user {k}", asked(tiny, seed=k, steps=24), watched=True) for k in range(3)]
    board.waiting += paintings
    while not board.idle:
        before = [p.preview for p in paintings]
        board.turn()
        seen += [k for k, p in enumerate(paintings) if p.preview is not before[k]]
    assert seen == [k % 3 for k in range(len(seen))] and 4 <= len(seen) <= 8  # of 24


def test_the_painter_paints_for_threads_and_stops(tiny, shelved, monkeypatch):
    monkeypatch.setattr(easels, "PREVIEW", 0.0)
    painter = Painter(lambda *where, own: replace(tiny), shelved)
    try:
        paintings = [painter.ask(f"user {k}", asked(tiny, seed=k, steps=3), watched=k == 0) for k in range(3)]
        pictures = [p.future.result(60)[0] for p in paintings]
        [[alone]] = Engine(tiny).paint([work.asked_of(asked(tiny, seed=1, steps=3), work.library(
            asked(tiny), shelved), tiny)[0]])  # fmt: skip
        assert same(pictures[1].pixels, alone.pixels)
        assert paintings[0].preview is not None and paintings[0].preview.shape == (64, 64, 3)
        assert paintings[1].preview is None and painter.alive and painter.steps >= 3
        long = [painter.ask("a", asked(tiny, steps=1000)) for _ in range(2)]
    finally:
        closing = threading.Thread(target=painter.close)
        closing.start()
        closing.join(20)
    assert not painter.alive
    assert all(isinstance(p.future.exception(), Stopped) for p in long)
    with pytest.raises(Stopped):
        painter.ask("a", asked(tiny))


def test_variations_join_as_anything_else(pictured, shelved, tmp_path, monkeypatch):
    monkeypatch.setattr(copies, "LEAST", -1.0)  # anything is a copy then
    for name in "ab":
        noise = np.random.default_rng(ord(name)).integers(0, 256, (50, 40, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    files = [tmp_path / "a.png", tmp_path / "b.png", tmp_path / "none.png"]
    with varying.given(files[:2], [], None, "slerp") as sees:
        paintings = [Painting(str(k), asked(pictured, "", older=[], sees=each)) for k, each in enumerate(sees)]
        gone = {**sees[0], "picture": str(files[2])}
        paintings.append(Painting("x", asked(pictured, "", older=[], sees=gone)))
        ran(easel(pictured, shelved), *paintings)
    a, b = (painting.future.result()[0] for painting in paintings[:2])
    assert (a.recipe["input"], b.recipe["input"], a.recipe["task"]) == ("a.png", "b.png", "variations")
    assert not same(a.pixels, b.pixels) and "copies_input" in a.recipe
    with pytest.raises(Wrong, match=r"the input none\.png"):
        paintings[2].future.result()


def test_a_picture_that_is_a_photo_of_its_lesson_again_says_so(tiny, shelved, tmp_path):
    """Of the concepts that the prompt names, and not where the picture was painted over one."""
    home = Home(tmp_path)
    home.photos.mkdir()
    draw = np.random.default_rng(5)
    photos = [np.kron(draw.integers(0, 256, (12, 12, 3)), np.ones((8, 8, 1))).astype(np.uint8) for _ in range(4)]
    for k, photo in enumerate(photos):
        Image.fromarray(photo).save(home.photos / f"{k}.png")
    request = asked(tiny, photos={"brc": ["gone", "0", "1"], "krx": ["2"]})

    def told(pixels, named=("brc",), **more):
        painted = Painted(pixels[:, ::-1], {"seed": 7, "concepts": list(named)})
        said = []
        [one] = copying.told({**request, **more}, [painted], work.open_picture, home, said.append)
        return one.recipe.get("near_copy"), [event.message for event in said]

    found, said = told(photos[1])
    assert (found["concept"], found["photo"]) == ("brc", 3) and found["score"] > 0.95
    assert said == ["seed 7 is nearly photo 3 of brc again: the model may have learned it by heart"]
    assert told(photos[3]) == told(photos[2]) == told(photos[1], ["krx"]) == told(photos[1], []) == (None, [])
    assert told(photos[2], ["brc", "krx"])[0]["concept"] == "krx"
    assert told(photos[1], image="photo.png") == (None, [])
    board, painting = easel(tiny, shelved), Painting("a", asked(tiny, "a brc dog", photos={"brc": ["0"]}))
    ran(board, painting)
    assert "near_copy" not in painting.future.result()[0].recipe  # no such photo in that home
