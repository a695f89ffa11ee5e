"""The page of samplers says what the file of figures says, and its verdicts follow the figures."""

import copy
import json
from pathlib import Path

import pytest

from benchmarks import guide

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found():
    return json.loads((ROOT / guide.FIGURES).read_text())


def test_the_page_shows_the_figures_of_the_file(found):
    page = (ROOT / guide.PAGE).read_text()
    assert guide.filled(page, guide.made(found)) == page, "python -m benchmarks.guide"
    other = copy.deepcopy(found)
    other["mixture"]["samplers"][0]["used"][0]["error"] *= 2
    assert guide.filled(page, guide.made(other)) != page


def test_a_claim_is_kept_or_refuted_by_its_figures(found):
    """Turned round, the figures turn the verdict: ancestral samplers that settle would refute the guide."""
    exact, _ = guide.benches(found)
    assert guide.ancestral(exact)[0] and not guide.only_ancestral(exact)[0]
    other = copy.deepcopy(found)
    for row in other["mixture"]["samplers"]:
        row["order"] = 1.0
        for point in row["used"]:
            point["error"] = 1.0 if row["name"] == "plms" else 0.5
    exact, _ = guide.benches(other)
    assert not guide.ancestral(exact)[0] and guide.only_ancestral(exact)[0]
    assert not guide.finer(exact)[0] and not guide.second(exact)[0]


def test_as_good_as_it_gets_allows_for_chance():
    samplers = [{"name": "a", "quality": {"10": 0.9, "20": 1.0}}, {"name": "b", "quality": {"10": 0.5, "usual": None}}]
    painter = guide.Figures({"prompts": 20, "samplers": samplers}, exact=False)
    assert painter.fine("a", 10) and not painter.fine("b", 10) and not painter.fine("b", "usual")
    exact = guide.Figures({"chance": 0.5, "samplers": samplers}, exact=True)
    assert exact.fine("a", 20) and exact.told("a", 10) == "0.9" and painter.told("a", 10) == "90%"
    far = guide.Figures({"chance": 0.5, "samplers": [{"name": "a", "quality": {"10": 2.1}}]}, exact=True)
    assert not far.fine("a", 10)


def test_a_page_without_a_place_for_a_figure_is_told(found):
    with pytest.raises(ValueError, match="errors"):
        guide.filled("nothing here", guide.made(found))
