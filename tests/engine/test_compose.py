"""Several concepts in one prompt: what each way changes, and what it leaves alone to the bit."""

from contextlib import ExitStack
from dataclasses import replace

import numpy as np
import pytest
import torch

from remembrandt.adapters.wear import Worn, wear
from remembrandt.conditions import text
from remembrandt.diffusion.noise import Noise
from remembrandt.diffusion.samplers import SAMPLERS
from remembrandt.engine import compose
from remembrandt.engine.compose import LOCAL, ROUTED, SUMMED, WAYS, Look, Regions
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request, settled
from remembrandt.engine.texts import Texts
from remembrandt.settings import Wrong
from remembrandt.tasks import TASKS
from tests.adapters.helpers import adapter, call, low_rank, some

PROMPT = "a brc dog beside a krx cat"


@pytest.fixture(scope="module")
def words():
    draw = torch.Generator().manual_seed(3)
    return {word: torch.randn(2, 32, generator=draw) for word in ("brc", "krx", "vlt")}


@pytest.fixture(scope="module")
def worn(tiny):
    """A dog, a cat of another method, and a style."""
    return (
        Worn(adapter(tiny.unet, 1), phrase=("brc", "dog")),
        Worn(low_rank(tiny.unet, 2), phrase=("krx", "cat")),
        Worn(adapter(tiny.unet, 3), phrase=("vlt", "painting"), style=True),
    )


@pytest.fixture(scope="module")
def asked(words, worn):
    return Request(PROMPT, words=words, wears=worn[:2], steps=2, guidance=3.0, seed=5)


def paint(family, *requests) -> list[np.ndarray]:
    return [p[0].pixels for p in Engine(family).paint(requests)]


def test_a_phrase_is_the_identifier_and_the_category_behind_it(tiny, words):
    def said(prompt, phrase=("brc", "dog")) -> list[int]:
        return text.places(tiny, prompt, phrase, words)

    assert said("a brc dog beside a dog") == [2, 3, 4]  # two rows, one token; the other dog is not its own
    assert said("BRC  Dog") == [1, 2, 3]
    assert said("a brc on brcs, brc dogs") == [2, 3, *said("a brc on brcs, brc dogs")[2:]]
    assert len(said("a brc on brcs, brc dogs")) == 4
    assert said("a dog") == []
    assert said("a brc dog", ("a", "brc")) == [1, 2, 3]  # an identifier may be a word that was there before
    long = "red " * 74 + "brc dog"
    assert said(long) == [78, 79, 80]  # two rows do not fit behind 74 tokens: the next chunk
    encoded, bare = (text.encode(tiny, [long], w) for w in (words, {"brc": words["brc"] + 1}))
    changed = (encoded != bare).any(-1)[0].nonzero()[:, 0].tolist()
    assert changed[0] == 78


@pytest.mark.parametrize("way", [LOCAL, ROUTED])
def test_each_way_paints_something_else_than_the_sum(way, tiny, asked):
    gap = np.subtract(*paint(tiny, asked, replace(asked, composition=way)), dtype=float)
    assert np.abs(gap).mean() > 1


@pytest.mark.parametrize("way", WAYS)
def test_a_picture_does_not_depend_on_its_neighbours(way, tiny, asked, worn, words):
    """To the bit at one shape of batch: whoever is beside it, composed or not."""
    mine = replace(asked, composition=way)
    beside = [
        replace(asked, composition=way, wears=wears, seed=seed, prompt=prompt)
        for seed, (prompt, wears) in enumerate([(PROMPT, worn[:2]), ("a dog krx cat brc", (worn[1], worn[0]))])
    ]
    first, second = (paint(tiny, mine, other)[0] for other in beside)
    assert np.array_equal(first, second)


@pytest.mark.parametrize("way", WAYS)
def test_neighbours_do_not_see_who_composes(way, tiny, asked, worn):
    """A single concept and a plain picture, beside a composed one, are what they are beside others of its shape."""
    single, plain = replace(asked, wears=worn[:1]), replace(asked, wears=())
    composed = replace(asked, composition=way)
    others = [replace(w, adapter=adapter(tiny.unet, 20 + k)) for k, w in enumerate(worn[:2])]
    beside = paint(tiny, single, plain, composed)
    usual = paint(tiny, single, plain, replace(composed, wears=tuple(others), seed=9))
    assert [np.array_equal(a, b) for a, b in zip(beside, usual, strict=True)] == [True, True, False]


def test_one_concept_wears_what_it_always_wore(tiny, asked, worn):
    single = replace(asked, wears=worn[:1])
    [look] = compose.looks(tiny, single, length(tiny, single), Texts(tiny))
    assert (look.prompt, look.nothing) == single.outfits
    [look] = compose.looks(tiny, replace(asked, guidance=0, composition=ROUTED), length(tiny, asked), Texts(tiny))
    assert look.prompt == asked.wears


def length(family, request) -> int:
    """How many tokens its prompt has."""
    request = settled(request, family)
    start = TASKS[str(request.task)].start(family, request, Texts(family))
    return start.begin(Noise(0, start.shape)).prompt.tokens.shape[1]


@pytest.mark.parametrize("make", [adapter, low_rank])
def test_token_local_leaves_other_tokens_keys_and_all_else_alone(tiny, make):
    a, b = make(tiny.unet, 1), make(tiny.unet, 2)
    mine, its = {3, 4}, {9}
    at = lambda own: tuple(k in own for k in range(77))  # noqa: E731
    inputs, plain = some(tiny.unet, 3), call(tiny.unet, *some(tiny.unet, 3))
    before = heard(tiny.unet, [()] * 3, inputs)
    outfits = [(Worn(a, tokens=at(mine)), Worn(b, tokens=at(its))), (Worn(a),), (Worn(b, tokens=at(mine)),)]
    after = heard(tiny.unet, outfits, inputs)
    for name, keys in before.items():
        moved = [set((after[name][row] != keys[row]).any(-1).nonzero()[:, 0].tolist()) for row in range(3)]
        assert moved == [mine | its, set(range(77)), mine]
    with wear(tiny.unet, outfits):
        dressed = call(tiny.unet, *inputs)
        touched = {n for n, m in tiny.unet.named_modules() if m._forward_hooks}
    with wear(tiny.unet, [outfits[0]] * 3):
        own = {n for n, m in tiny.unet.named_modules() if m._forward_hooks}
    assert own == before.keys() and own < touched  # nothing but keys and values
    assert not torch.equal(dressed[0], plain[0])
    alone = [Worn(a, tokens=at(mine)), Worn(b, tokens=at(its))]
    with wear(tiny.unet, [(alone[0],), (), ()]):
        only = call(tiny.unet, *inputs)
    assert not torch.equal(only[0], dressed[0])  # the second concept bites, too


def heard(unet, rows, inputs) -> dict:
    """What the layers that read the prompt answer, dressed."""
    found, layers = {}, {n: m for n, m in unet.named_modules() if n.endswith(("attn2.to_k", "attn2.to_v"))}
    with wear(unet, rows), ExitStack() as hooks:
        for name, module in layers.items():
            handle = module.register_forward_hook(lambda m, i, y, name=name: found.update({name: y}))
            hooks.callback(handle.remove)
        call(unet, *inputs)
    return found


def test_token_local_wears_nothing_where_it_is_not_named(tiny, asked, worn):
    [look] = compose.looks(tiny, replace(asked, composition=LOCAL), length(tiny, asked), Texts(tiny))
    assert [sum(w.tokens) for w in look.prompt] == [3, 4] and look.nothing == ()
    negative = replace(asked, negative="a brc dog", composition=LOCAL)
    [look] = compose.looks(tiny, negative, length(tiny, negative), Texts(tiny))
    assert [w.phrase for w in look.nothing] == [("brc", "dog")]


def test_a_style_acts_everywhere_and_a_subject_in_its_own_look(tiny, asked, worn):
    three = replace(asked, prompt=f"{PROMPT} vlt painting", wears=worn, composition=ROUTED)
    dog, cat, style = worn
    looks = compose.looks(tiny, three, length(tiny, three), Texts(tiny))
    assert [look.prompt for look in looks] == [(), (style,), (dog, style), (cat, style)]
    assert [look.nothing for look in looks] == [look.prompt for look in looks]
    assert [look.said for look in looks] == [
        "a dog beside a cat painting", "a dog beside a cat vlt painting", "a brc dog beside a cat vlt painting",
        "a dog beside a krx cat vlt painting",
    ]  # fmt: skip
    assert [look.places for look in looks] == [(), (), [2], [5, 6]]  # where the first look's text names them
    say = Texts(tiny)
    for look in looks:
        assert torch.equal(look.tokens, say([look.said], three.words, [look.prompt]))
    layout, between, *_ = compose.looks(tiny, replace(three, wears=(dog, cat)), length(tiny, three), say)
    assert layout is between  # one row, where no style makes it two


def test_styles_alone_and_a_crowd_are_summed(tiny, asked, worn, words):
    styles = [replace(worn[2], phrase=(word, "painting")) for word in ("vlt", "krx")]
    crowd = [replace(worn[0], phrase=(f"d{k}", "dog")) for k in range(7)]
    for worn_now, rest in ((styles, {}), (crowd, {f"d{k}": words["brc"] for k in range(7)})):
        said = " ".join(" ".join(w.phrase) for w in worn_now)
        one = replace(asked, prompt=said, wears=tuple(worn_now), words=words | rest, composition=ROUTED)
        [look] = compose.looks(tiny, one, 77, Texts(tiny))
        assert look.prompt == tuple(worn_now)


def test_only_a_regions_owner_changes_it(tiny, asked, monkeypatch):
    """One step: outside of the cat's region its adapter changes nothing, inside it does."""
    owners = torch.zeros(16, 16, dtype=torch.long)
    owners[:, :5], owners[:, 11:] = 1, 2
    monkeypatch.setattr(Regions, "owners", lambda self: owners)
    monkeypatch.setattr(Regions, "open", False)  # it is laid out already
    dog, cat = asked.wears
    other = replace(cat, adapter=adapter(tiny.unet, 9))
    latents = [one_step(tiny, replace(asked, composition=ROUTED, wears=w)) for w in ((dog, cat), (dog, other))]
    same = (latents[0] == latents[1]).all(1)[0]
    assert same[owners != 2].all() and not same[owners == 2].any()
    alone = one_step(tiny, replace(asked, prompt="a brc dog beside a cat", wears=(dog,)), beside=4)
    assert torch.equal(latents[0][..., :5], alone[..., :5])  # in its region the dog is what it is alone


def test_first_the_base_alone_lays_it_out(tiny, asked):
    """As it would be painted without any concept; then three looks paint."""
    composed = replace(asked, composition=ROUTED, steps=10)
    plain = replace(asked, prompt="a dog beside a cat", wears=())
    engine, usual = Engine(tiny), Engine(tiny)
    engine.submit(composed)
    usual.submit(replace(plain, steps=10))
    rows = []
    for _ in range(5):
        [mine], [base] = engine._live, usual._live
        rows.append(len(set(mine.rows())))
        engine.step(), usual.step()
        assert torch.equal(mine.x, base.x) == (len(rows) <= 3)
    assert rows == [2, 2, 2, 6, 6]


@torch.inference_mode()
def one_step(family, request, beside=0):
    """The estimate that the sampler is sent first, in a batch of `beside` rows more."""
    engine = Engine(family)
    for k in range(1 + beside // 2):
        engine.submit(replace(request, seed=request.seed + k))
    picture, rows = engine._live[0], [p.rows() for p in engine._live]
    estimates = engine._estimates([row for own in rows for row in own])
    return picture.guided([estimates[row] for row in rows[0]])


def regions_of(*maps):
    """Told once, at the last call that tells."""
    regions = Regions([Look((), ())] * 2 + [Look((), (), places=(5,)) for _ in maps], 1)
    regions.see(torch.stack(maps))
    return regions


def spot(rows: slice, columns: slice, loud: float = 1.0) -> torch.Tensor:
    made = torch.full((8, 8), 0.01)
    made[rows, columns] = loud
    return made


def test_places_go_to_the_thing_that_stands_there():
    left, right = (slice(3, 7), slice(0, 3)), (slice(2, 7), slice(5, 8))
    quiet, loud = spot(*left), spot(*right, loud=100.0)  # loud tokens have no larger regions than quiet ones
    regions = regions_of(quiet, loud)
    owners = regions.owners()
    assert (owners[left] == 1).all() and (owners[right] == 2).all() and (owners == 0).sum() == 64 - 12 - 15
    assert torch.equal(regions_of(loud, quiet).owners(), torch.tensor([0, 2, 1])[owners])
    estimates = [torch.full((1, 4, 8, 8), float(k)) for k in range(3)]
    assert torch.equal(regions.blend(estimates)[0, 0].long(), owners)


def test_two_of_a_class_share_what_both_words_look_at():
    """"a brc dog beside a krx dog": either word looks at both dogs, one a little more at the left."""
    both = spot(slice(3, 7), slice(0, 3)) + spot(slice(3, 7), slice(5, 8))
    more = both.clone()
    more[:, :4] *= 1.05
    owners = regions_of(both, more).owners()
    assert (owners[3:7, :3] == 2).all() and (owners[3:7, 5:] == 1).all()


def test_one_thing_has_all_places_where_it_stands():
    owners = regions_of(spot(slice(2, 5), slice(2, 5))).owners()
    assert owners.sum() == 9 and (owners[2:5, 2:5] == 1).all()
    assert not regions_of(torch.ones(4, 4)).owners().any()  # it looks at nothing in particular


def test_attention_is_what_diffusers_computes(tiny):
    """Shares over all tokens sum to one, and are those of the row alone; nothing is left on the network."""
    inputs, plain = some(tiny.unet, 3), call(tiny.unet, *some(tiny.unet, 3))
    whole = Regions([Look((), ())] * 2 + [Look((), (), places=range(77))], 10)
    one = Regions([Look((), ())] * 2 + [Look((), (), places=(5,))], 10)
    with compose.watched(tiny.unet, [None, whole, one], (16, 16)):
        assert torch.equal(call(tiny.unet, *inputs), plain)
    assert torch.allclose(whole._seen, torch.ones(1, 16, 16), atol=1e-5)
    assert 0 < one._seen.mean() < 1 and one._seen.std() > 0
    alone = Regions([Look((), ())] * 2 + [Look((), (), places=(5,))], 10)
    with compose.watched(tiny.unet, [alone], (16, 16)):
        call(tiny.unet, *(t[2:] for t in inputs))
    assert torch.allclose(alone._seen, one._seen, atol=1e-5)
    assert not any(m._forward_hooks for m in tiny.unet.modules())


def test_without_guidance_each_look_is_one_row(tiny, asked):
    engine = Engine(tiny)
    engine.submit(replace(asked, composition=ROUTED, guidance=1.0, steps=4))
    rows = [len(set(engine._live[0].rows()))]
    while engine.step():
        rows.append(len(set(engine._live[0].rows())))
    assert rows == [1, 1, 3, 3]


def test_places_are_given_away_in_the_first_calls(tiny, asked):
    engine = Engine(tiny)
    engine.submit(replace(asked, composition=ROUTED, steps=10))
    regions, seen = engine._live[0]._regions, []
    while engine.step():
        seen.append((regions.open, None if regions.open else regions.owners().tolist()))
    assert [open for open, _ in seen] == [True, True, *[False] * 7]
    assert all(owners == seen[2][1] for _, owners in seen[2:])


@pytest.mark.parametrize("sampler", ["heun", "euler-a"])
def test_any_sampler_and_one_row_for_equal_nothings(sampler, tiny, asked):
    assert sampler in SAMPLERS
    by = tuple(replace(w, by="prompt") for w in asked.wears)
    engine = Engine(tiny)
    engine.submit(replace(asked, composition=ROUTED, sampler=sampler, wears=by))
    rows = [len(set(engine._live[0].rows()))]
    while engine.step():
        rows.append(len(set(engine._live[0].rows())))
    assert {*rows} == {2, 4}  # the layout; then three prompts, one nothing
    assert paint(tiny, replace(asked, composition=ROUTED, sampler=sampler, wears=by))[0].shape == (128, 128, 3)


def test_the_recipe_says_it_where_it_is_not_the_sum(tiny, asked):
    one, two = Engine(tiny).paint([asked, replace(asked, composition=ROUTED)])
    assert "composition" not in one[0].recipe and two[0].recipe["composition"] == ROUTED
    with pytest.raises(Wrong, match="Did you mean"):
        Engine(tiny).paint([replace(asked, composition="sumed")])
    assert SUMMED in WAYS
