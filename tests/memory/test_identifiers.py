"""Words that call a concept up: chosen, checked, never common ones."""

import pytest

from remembrandt.memory import identifiers
from remembrandt.settings import Wrong


class Words:
    """As much of a tokenizer as is asked: its vocabulary."""

    def __init__(self, *words):
        self.known = {w + "</w>": i for i, w in enumerate(words)} | {"do": 99}

    def get_vocab(self):
        return self.known


PLAIN = Words("dog", "on", "brc", "krx", "zlt", "sks")


def test_whole_words_only():
    assert identifiers.vocabulary(PLAIN).keys() == {"dog", "on", "brc", "krx", "zlt", "sks"}


def test_chosen_words_are_rare_tokens_and_free():
    assert sorted(identifiers.candidates(PLAIN)) == ["brc", "krx", "sks", "zlt"]
    assert identifiers.choose(PLAIN, {"brc", "krx", "sks"}, 7) == "zlt"
    assert identifiers.choose(PLAIN, (), 3) == identifiers.choose(PLAIN, (), 3)


def test_there_is_always_another():
    used: set[str] = set()
    for seed in range(60):
        word = identifiers.choose(PLAIN, used, seed)
        assert word not in used and identifiers.IDENTIFIER.fullmatch(word)
        used.add(word)


def test_a_vocabulary_without_rare_words(tiny):
    word = identifiers.choose(tiny.tokenizer, (), 0)
    assert identifiers.RARE.fullmatch(word)


@pytest.mark.parametrize("word", ["brc", "BRC", " sks ", "ohwx", "d2"])
def test_words_that_a_user_may_take(word):
    assert identifiers.check(word, PLAIN, ()) == word.strip().lower()


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("dog", "knows"), ("Dog", "knows"), ("brc", "before"), ("briscoe", "a name or a category"),
        ("", "must be"), ("a b", "must be"), ("b", "must be"), ("2d", "must be"),
        ("brc!", "must be"), ("x" * 17, "must be"), ("élan", "must be"),
    ],
)  # fmt: skip
def test_words_that_are_refused(word, why):
    with pytest.raises(Wrong, match=why) as fault:
        identifiers.check(word, PLAIN, {"brc"}, {"briscoe"})
    assert "\n" not in str(fault.value) and "--identifier" in str(fault.value)


def test_names():
    assert identifiers.check_name("Briscoe", PLAIN, ()) == "briscoe"
    assert identifiers.check_name("Élise", PLAIN, ()) == "élise"


@pytest.mark.parametrize(
    ("name", "why"),
    [("dog", "the base knows"), ("rex", "another"), ("", "one word"), ("two words", "one word")],
)
def test_names_that_are_refused(name, why):
    with pytest.raises(Wrong, match=why):
        identifiers.check_name(name, PLAIN, {"rex"})


def test_a_refused_name_proposes_one_that_is_taken():
    with pytest.raises(Wrong) as fault:
        identifiers.check_name("dog", PLAIN, {"dogo"})
    proposed = str(fault.value).rsplit("'", 2)[1]
    assert identifiers.check_name(proposed, PLAIN, {"dogo"}) == proposed


RANKED = Words("dog", "tv", "on", "pm", *(f"{a}xz" for a in "bcdfghjklmnpqrstvw"))


@pytest.mark.parametrize(("word", "why"), [("ohwx", "several tokens"), ("tv", "common"), ("pm", "common")])
def test_a_frozen_text_encoder_needs_a_rare_token(word, why):
    assert identifiers.check(word, RANKED, ()) == word
    with pytest.raises(Wrong, match=why) as fault:
        identifiers.check(word, RANKED, (), rare=True)
    proposed = str(fault.value).rsplit("'", 2)[1]
    assert identifiers.check(proposed, RANKED, (), rare=True) == proposed


def test_a_vocabulary_without_rare_tokens_asks_for_none(tiny):
    assert identifiers.check("ohwx", tiny.tokenizer, (), rare=True) == "ohwx"
