"""Prompts: chunks, and identifiers that change nobody else's tokens."""

import pytest
import torch

from remembrandt.conditions.text import encode, named, tokens_of, weighed
from remembrandt.settings import Wrong


def rows(family, prompt: str) -> torch.Tensor:
    ids = family.tokenizer(prompt, add_special_tokens=False).input_ids
    return family.text_encoder.get_input_embeddings().weight[torch.tensor(ids)].clone()


@pytest.mark.parametrize("prompt", ["", "a red dog", "zyx, 17 ünïcode 犬 \0 🐕!", "a  dog\n\ton"])
def test_a_short_prompt_is_encoded_as_diffusers_does(prompt, tiny):
    ids = tiny.tokenizer(prompt, padding="max_length", max_length=77, return_tensors="pt").input_ids
    with torch.no_grad():
        expected = tiny.text_encoder(ids).last_hidden_state
    assert torch.equal(encode(tiny, [prompt]), expected)


def test_an_identifier_is_its_rows(tiny):
    words = {"brc": rows(tiny, "dog"), "Sks": rows(tiny, "red house")}
    for asked, means in {
        "a brc cat": "a dog cat",
        "a BRC, big": "a dog, big",
        "brc": "dog",
        "a sks brc on sks": "a red house dog on red house",
        "(brc) brc's": "(dog) dog's",
    }.items():
        assert torch.equal(encode(tiny, [asked], words), encode(tiny, [means])), asked


def test_a_single_row_may_be_a_vector(tiny):
    words = {"brc": rows(tiny, "dog")[0]}
    assert torch.equal(encode(tiny, ["a brc"], words), encode(tiny, ["a dog"]))


def test_other_prompts_keep_their_tokens(tiny):  # details 10
    prompts = ["abrcd", "brcs", "x brc2 y", "brc_", "a dog", ""]
    words, size = {"brc": torch.ones(2, 32)}, len(tiny.tokenizer)
    assert torch.equal(encode(tiny, prompts, words), encode(tiny, prompts))
    assert len(tiny.tokenizer) == size
    assert not tiny.text_encoder.get_input_embeddings()._forward_hooks


def test_each_model_has_its_own_brc(tiny):
    mine, yours = ({"brc": torch.full((1, 32), value)} for value in (0.1, -0.1))
    first = encode(tiny, ["a brc dog"], mine)
    assert not torch.equal(first, encode(tiny, ["a brc dog"], yours))
    assert torch.equal(first, encode(tiny, ["a brc dog"], mine))


def test_who_is_named():
    assert named("a brc dog and SKS.", ["brc", "sks", "dogs"]) == {"brc", "sks"}
    assert named("abrc brcd brc1 _brc", ["brc"]) == set()
    assert named("a dog", {}) == set()
    assert named("a c++ (thing)", ["c++", "(thing)"]) == {"c++", "(thing)"}


def test_gradient_reaches_the_rows_and_nothing_else(tiny):
    row = torch.zeros(2, 32, requires_grad=True)
    encode(tiny, ["a brc dog", "a cat"], {"brc": row}).square().sum().backward()
    assert row.grad is not None and (row.grad.abs().sum(1) > 0).all()
    assert all(p.grad is None for p in tiny.text_encoder.parameters())


def test_long_prompts_are_chunked_and_not_cut(tiny):
    prompt = " ".join(["red dog"] * 40)  # 80 tokens
    found = encode(tiny, [prompt, "a cat"])
    assert found.shape == (2, 154, 32)
    first, second = " ".join(["red dog"] * 37 + ["red"]), " ".join(["dog"] + ["red dog"] * 2)
    assert torch.equal(found[:1], torch.cat([encode(tiny, [first]), encode(tiny, [second])], 1))
    assert torch.equal(found[1:], torch.cat([encode(tiny, ["a cat"]), encode(tiny, [""])], 1))
    assert not torch.equal(encode(tiny, [prompt + " ink"]), found[:1])


def test_no_word_is_torn_apart(tiny):
    words = {"brc": rows(tiny, "red house on beach")}
    found = encode(tiny, ["dog " * 73 + "brc"], words)
    assert torch.equal(found[:, 77:], encode(tiny, ["red house on beach"]))
    assert torch.equal(encode(tiny, ["dog " * 73 + "zyx"])[:, 77:], encode(tiny, ["zyx"]))
    assert encode(tiny, ["dog " * 74 + "z" * 200]).shape[1] == 77 * 4


def test_a_prompt_means_the_same_whoever_is_encoded_with_it(tiny):
    prompts = ["a red dog", "", "a blue cat", "ink"]
    together = encode(tiny, prompts)
    assert all(torch.equal(together[k : k + 1], encode(tiny, [p])) for k, p in enumerate(prompts))


def test_nothing_is_encoded_to_nothing(tiny):
    assert encode(tiny, []).shape == (0, 77, 32)


def test_tokens(tiny):
    assert tokens_of(tiny, "A red zyx") == ["a</w>", "red</w>", "z", "y", "x</w>"]


@pytest.mark.parametrize(
    ("prompt", "pieces"),
    [
        ("a red dog", [("a red dog", 1)]),
        ("a (red:1.3) dog", [("a ", 1), ("red", 1.3), (" dog", 1)]),
        ("((red:1.2) dog:1.5)", [("red", 1.2 * 1.5), (" dog", 1.5)]),
        ("a dog (red)", [("a dog (red)", 1)]),
        ("a dog :) (", [("a dog :) (", 1)]),
        ("at 10:30", [("at 10:30", 1)]),
        ("(a (red) dog: .5 )", [("a (red) dog", 0.5)]),
        ("(red:1) dog", [("red dog", 1)]),
    ],
)
def test_weights_are_read(prompt, pieces):
    assert weighed(prompt) == [(words, pytest.approx(weight)) for words, weight in pieces]


@pytest.mark.parametrize("prompt", ["(red:1.3", "red:1.3)", "(red:9)", "(red:-1)"])
def test_weights_that_cannot_be(prompt):
    with pytest.raises(Wrong, match=r"\(words:1.3\)"):
        weighed(prompt)


def test_weights_act_on_their_words_alone(tiny):
    plain, heavy, empty = encode(tiny, ["a red dog", "a (red:1.5) dog", ""])
    moved = (heavy - plain).abs().amax(1) > 1e-6
    assert moved.nonzero().flatten().tolist() == [2]
    assert torch.allclose(heavy[2] - empty[2], 1.5 * (plain[2] - empty[2]), atol=1e-5)
    assert torch.equal(encode(tiny, ["a (red:1) dog"])[0], plain)
    [light], [heavier] = (encode(tiny, [p], {"brc": torch.ones(1, 32)}) for p in ("a brc dog", "a (brc:2) dog"))
    assert not torch.equal(light[2], heavier[2]) and torch.equal(light[3], heavier[3])
