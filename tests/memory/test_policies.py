"""Policies: BIG's own numbers, and what `balanced` promises for any library."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remembrandt.memory import policies
from remembrandt.memory.policies import balanced, big
from remembrandt.settings import Wrong

WORLD = policies.read("bottle:b1,b2;dog:d1,d2;painting:p1")
libraries = st.dictionaries(st.sampled_from("abcdef"), st.integers(1, 30), max_size=6).map(
    lambda sizes: {category: [f"{category}{k}" for k in range(n)] for category, n in sizes.items()}
)


@pytest.mark.parametrize(
    ("images", "dog", "d", "bottle", "b", "painting", "p", "total"),
    [
        (200, 50, 25, 25, 12, 25, 25, 199), (300, 75, 37, 37, 18, 37, 37, 296),
        (400, 100, 50, 50, 25, 50, 50, 400), (600, 150, 75, 75, 37, 75, 75, 599),
    ],
)  # fmt: skip
def test_big_splits_as_big_does(images, dog, d, bottle, b, painting, p, total):
    found = big(WORLD, "dog", images)
    assert found.classes == {"dog": dog, "bottle": bottle, "painting": painting}
    assert found.concepts == {"d1": d, "d2": d, "b1": b, "b2": b, "p1": p}
    assert found.total == total


def test_big_with_a_new_category_and_its_first_lessons():
    found = big(WORLD, "keyboard", 200)
    assert found.classes == {"keyboard": 100, "bottle": 16, "dog": 16, "painting": 16}
    assert set(found.concepts.items()) == {("b1", 8), ("b2", 8), ("d1", 8), ("d2", 8), ("p1", 16)}
    assert found.total == 196
    assert big({}, "dog", 200) == policies.Split({"dog": 200}, {})
    assert big({"dog": ["d1"]}, "dog", 200) == policies.Split({"dog": 100}, {"d1": 100})


def test_big_starves_and_balanced_does_not():
    many = {f"c{k}": [f"s{k}"] for k in range(52)}
    assert set(big(many, "new", 200).concepts.values()) == {0}
    assert min(balanced(many, "new", 200).concepts.values()) >= 1


@given(libraries, st.sampled_from("abcxyz"), st.integers(0, 600), st.floats(0, 1))
def test_balanced_keeps_its_promises(known, new, images, lost):
    members = [concept for concepts in known.values() for concept in concepts]
    fading = {concept: lost for concept in members[::3]}
    found = balanced(known, new, images, fading)
    categories = {new, *known}
    assert found.total == images and set(found.classes) == categories and set(found.concepts) == set(members)
    assert all(count >= 0 for count in (*found.classes.values(), *found.concepts.values()))
    if images >= len(members):
        assert min(found.concepts.values(), default=1) >= 1
    if images >= len(members) + len(categories):
        assert min(found.classes.values()) >= 1


@given(libraries, st.sampled_from("abx"), st.integers(0, 600))
def test_big_never_takes_more_than_there_is(known, new, images):
    found = big(known, new, images)
    assert 0 <= found.total <= images and min([*found.classes.values(), *found.concepts.values()]) >= 0


def test_all_get_their_turn():
    known, seen = {"dog": [f"d{k}" for k in range(7)]}, set()
    for lesson in range(4):
        found = balanced(known, "dog", 2, turn=lesson)
        assert found.total == 2 and sum(found.classes.values()) == 0
        seen |= {concept for concept, count in found.concepts.items() if count}
    assert len(seen) == 7


def test_more_for_what_fades():
    even, found = balanced(WORLD, "dog", 400), balanced(WORLD, "dog", 400, {"b1": 0.5})
    assert found.concepts["b1"] == pytest.approx(3 * found.concepts["b2"], abs=2) and found.concepts["b1"] > 80
    assert found.classes == even.classes and sum(found.concepts.values()) == 200
    assert set(even.concepts.values()) == {40} and even.classes == {"dog": 100, "bottle": 50, "painting": 50}


@pytest.mark.parametrize("text", ["dog", ":a", "dog:", "dog:a,,b", "dog:a;cat:a"])
def test_what_known_cannot_be(text):
    with pytest.raises(Wrong, match="known"):
        policies.read(text)


def test_a_policy_by_its_name():
    assert policies.read(" ; Dog: a ,b;dog:c") == {"dog": ["a", "b", "c"]} and policies.policy("big") is big
    with pytest.raises(Wrong, match="Did you mean 'balanced'"):
        policies.policy("balnced")
