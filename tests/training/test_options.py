"""Options: written once, checked once."""

import pytest

from remembrandt.settings import Wrong
from remembrandt.training import methods, options
from remembrandt.training.oft import Oft


def test_every_option_of_every_method_has_help_and_a_limit():
    for row in methods.describe():
        assert row["about"] and row["memories"]
        for option in row["options"]:
            assert option["help"] and option["type"] in ("int", "float", "bool", "str")


def test_text_and_numbers_are_read():
    made = options.build(Oft, {"block": "16", "angle": "22.5", "steps": 40, "learning_rate": 1e-3})
    assert made == Oft(block=16, angle=22.5, steps=40, learning_rate=1e-3)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"blok": 3}, "no option 'blok'"),
        ({"block": "many"}, "block must be a whole number, not 'many'"),
        ({"block": 2.5}, "block must be a whole number"),
        ({"block": 0}, "block must be from 2 to 1280, not 0"),
        ({"angle": "nan"}, "angle must be from"),
        ({"angle": "inf"}, "angle must be from"),
        ({"steps": "inf"}, "steps must be a whole number"),
        ({"steps": "nan"}, "steps must be a whole number"),
        ({"steps": [1]}, "steps must be a whole number"),
        ({"warmup": -1}, "warmup must be at least 0, not -1"),
        ({"learning_rate": 0}, "learning_rate must be"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(values, says):
    with pytest.raises(Wrong) as refusal:
        options.build(Oft, values)
    assert says in str(refusal.value) and "\n" not in str(refusal.value)


def test_methods_by_name(tiny):
    assert methods.method("oft", {"steps": "5"}, tiny).steps == 5
    with pytest.raises(Wrong, match="no method 'otf'"):
        methods.method("otf", {})
