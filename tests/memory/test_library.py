"""The gate: who is called up by a prompt, and that nobody else takes part."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from remembrandt.adapters import adapter as adapters
from remembrandt.adapters import oft
from remembrandt.adapters.adapter import Adapter
from remembrandt.engine import compose
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation import gate
from remembrandt.memory import retention
from remembrandt.memory.library import Concept, Library
from remembrandt.settings import Wrong
from tests.adapters.helpers import low_rank


def taught(family, folder, word, seed=0, **rest) -> Concept:
    draw = torch.Generator().manual_seed(seed)
    tensors = {
        n: {oft.NAME: oft.bound(0.6 * torch.randn(p.shape, generator=draw), 60.0)}
        for n, p in oft.start(family.unet, 8).items()
    }
    width = family.text_encoder.config.hidden_size
    rows = torch.randn(1, width, generator=draw)
    made = Adapter("oft", tensors, {"block": 8, "angle": 60.0}, rows)
    adapters.save(made, folder / word, {"base": family.digest})
    return Concept(word, word, rest.pop("category", "dog"), folder=folder / word, **rest)


@pytest.fixture(scope="module")
def library(tiny, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    concepts = [
        taught(tiny, folder, "brc", 1, name="briscoe"),
        taught(tiny, folder, "krx", 2, category="cat"),
    ]
    return Library(concepts, tiny.digest)


@pytest.mark.parametrize(
    ("prompt", "spelled", "named"),
    [
        ("a brc dog", "a brc dog", ["brc"]),
        ("a BRC dog", "a BRC dog", ["brc"]),
        ("briscoe on the beach", "brc dog on the beach", ["brc"]),
        ("Briscoe, asleep", "brc dog, asleep", ["brc"]),
        ("the briscoe dog", "the brc dog", ["brc"]),
        ("a krx cat beside briscoe", "a krx cat beside brc dog", ["brc", "krx"]),
        ("a dog", "a dog", []),
        ("abrcd brcs brc2 briscoes", "abrcd brcs brc2 briscoes", []),
        ("", "", []),
    ],
)
def test_who_is_called_up(library, prompt, spelled, named):
    called = library.call_up(prompt)
    assert called.prompt == spelled
    assert [c.identifier for c in called.concepts] == named == list(called.words)
    assert len(called.wears) == len(named) and all(w.by == "half" for w in called.wears)


def test_a_negative_prompt_calls_up_too(library):
    called = library.call_up("a dog", "briscoe")
    assert called.negative == "brc dog" and [c.identifier for c in called.concepts] == ["brc"]


def test_strengths_by_identifier_or_name(library):
    called = library.call_up("briscoe and a krx cat", strengths={"Briscoe": 0.5})
    assert [w.strength for w in called.wears] == [0.5, 1.0]
    with pytest.raises(Wrong, match="Did you mean"):
        library.call_up("briscoe", strengths={"brisco": 1.0})
    with pytest.raises(Wrong, match="does not name"):
        library.call_up("a dog", strengths={"brc": 1.0})


def test_an_adapter_is_read_once_and_only_if_it_is_called_up(tiny, tmp_path):
    concept = taught(tiny, tmp_path, "brc")
    missing = Concept("gone", "gone", "dog", folder=tmp_path / "gone")
    library = Library([concept, missing], tiny.digest)
    first = library.call_up("a brc dog").wears[0].adapter
    assert library.call_up("brc").wears[0].adapter is first
    with pytest.raises(Wrong, match="no readable adapter"):
        library.call_up("gone")


def test_another_base_is_refused(library):
    with pytest.raises(Wrong, match="other base"):
        Library(library.concepts, "another").call_up("a brc dog")


def paint(family, *called):
    requests = [Request(prompt=c.prompt, words=c.words, wears=c.wears, steps=2) for c in called]
    return [pictures[0].pixels for pictures in Engine(family).paint(requests)]


def test_the_gate_holds_to_the_bit(tiny, library):
    """What is not named is painted as if nothing had been taught, whoever is painted beside it."""
    prompts = ["", "a dog", "a brcs dog", "a krx cat"]
    before = [Library(library.concepts[1:], tiny.digest).call_up(p) for p in prompts]
    after = [library.call_up(p) for p in prompts]
    worn, bare = library.call_up("a brc dog"), Library().call_up("a brc dog")
    first, second = paint(tiny, *before, bare), paint(tiny, *after, worn)
    assert all(np.array_equal(a, b) for a, b in zip(first[:4], second[:4], strict=True))
    difference = np.abs(first[4].astype(int) - second[4].astype(int)).mean()
    assert difference > 2  # the test can fail: what is worn is seen


def test_retention_is_one_or_says_what_changed(tiny, library):
    asked = retention.prompts(library.concepts[:1], "krx", "cat")
    before = retention.hashes(tiny, Library(library.concepts[:1], tiny.digest), asked)
    after = retention.hashes(tiny, library, asked)
    assert before.keys() == {"base", "brc"}
    kept = retention.compare(before, after, 1)
    assert (kept["mean"], kept["worst"], kept["published"], kept["base_unchanged"]) == (
        1,
        1,
        True,
        True,
    )
    lost = retention.compare(before, {**after, "brc": "0"}, 10)
    assert not lost["published"] and "brc" in lost["why"] and lost["worst"] == 0
    assert lost["mean"] == pytest.approx(0.9) and lost["carried"] == 9
    assert not retention.compare(before, {**after, "base": "0"}, 1)["base_unchanged"]


def test_older_concepts_are_measured_by_turns():
    many = [Concept(str(k), f"w{k}", "dog") for k in range(20)]
    seen = [c.id for lesson in range(5) for c in retention.turn(many, lesson)]
    assert len(retention.turn(many, 3)) == retention.MOST and set(seen) == {c.id for c in many}
    assert retention.turn(many[:3], 9) == many[:3]


def test_imported_loras_are_called_by_tags(tiny, library, tmp_path):
    adapters.save(low_rank(tiny.unet), tmp_path / "ink", {"name": "ink"})
    known = Library(library.concepts, tiny.digest, loras=tmp_path)
    called = known.call_up("a brc dog <lora:Ink:0.8>, red", "a cat<lora:ink>")
    assert (called.prompt, called.negative) == ("a brc dog , red", "a cat")
    assert [(w.adapter.kind, w.strength) for w in called.wears] == [("oft", 1), ("lora", 0.8), ("lora", 1)]
    assert called.wears[1].adapter is called.wears[2].adapter
    plain = " a  dog <lora "
    assert known.call_up(plain).prompt == plain and not known.call_up(plain).wears
    for prompt, said in {"<lora:inc:1>": "Did you mean 'ink'", "<lora:ink:x>": "one number"}.items():
        with pytest.raises(Wrong, match=said):
            known.call_up(prompt)
    with pytest.raises(Wrong, match="import"):
        library.call_up("<lora:ink>")


def test_strength_acts_on_inverted_rows(tiny, tmp_path):
    rows, start = torch.ones(2, 32), torch.zeros(2, 32)
    adapters.save(Adapter("textual-inversion", {}, {}, rows, start), tmp_path / "brc", {"base": tiny.digest})
    known = Library([Concept("brc", "brc", "dog", folder=tmp_path / "brc")], tiny.digest)
    for strength in (0.0, 0.5, 1.0, 1.5):
        assert torch.equal(known.call_up("brc", strengths={"brc": strength}).words["brc"], rows * strength)


def test_shared_weights_are_refused_by_name_and_only_when_sure():
    told = {
        "brc dog": gate.Judged(0.3, 0.2, 0.4, 16, "lost"), "krx cat": gate.Judged(0.1, 0.05, 0.2, 64, "unsure"),
        "zlt cup": gate.Judged(0.0, -0.1, 0.05, 16, "kept"),
    }  # fmt: skip
    refused = retention.judged(told, 0.1)
    assert not refused["published"]
    assert refused["why"] == "lost more than the margin of 0.1: brc dog (0.30, at least 0.20)"
    assert refused["mean"] == pytest.approx(1 - 0.4 / 3) and refused["worst"] == pytest.approx(0.7)
    del told["brc dog"]
    passed = retention.judged(told, 0.1)
    assert passed["published"] and "why" not in passed and (passed["unsure"], passed["pairs"]) == (["krx cat"], 64)
    assert retention.judged({}, 0.1)["published"]


def test_how_several_act_together_is_asked_only_of_several(library, tiny):
    routed, summed = library, replace(library, composition="summed")
    assert routed.call_up("a brc dog beside a dog").composition == "summed"
    assert summed.call_up("briscoe and a krx cat").composition == "summed"
    called = routed.call_up("briscoe and a krx cat")
    assert called.composition == "routed" == compose.DEFAULT
    assert [(w.phrase, w.style) for w in called.wears] == [(("brc", "dog"), False), (("krx", "cat"), False)]
    assert Concept("x", "vlt", "oil painting").style and not Concept("x", "vlt", "painting lamp").style
    requests = []
    for one in (summed, routed):
        c = one.call_up("a brc dog")
        requests.append(Request(c.prompt, words=c.words, wears=c.wears, steps=2, composition=c.composition))
    alone, same = Engine(tiny).paint(requests)
    assert np.array_equal(alone[0].pixels, same[0].pixels)
