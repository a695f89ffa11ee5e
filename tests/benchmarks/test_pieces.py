"""Long benchmarks are made of pieces: what is finished stays, and a command ends between two of them."""

from pathlib import Path

import pytest

from benchmarks import CLOCK, Enough, arguments, once, pieces, places


def begun(tmp_path, *words):
    places(arguments(None, "x").parse_args(["--work", str(tmp_path), *words]), "x", "digest")


def test_no_piece_is_begun_when_the_time_is_over(tmp_path, capsys):
    paths, made = [tmp_path / f"lesson-{k}.json" for k in range(4)], []

    def go():
        with pieces(paths):
            for k, path in enumerate(paths):
                made.append(once(path, lambda k=k: k))
                CLOCK.until -= 31
            return True

    begun(tmp_path, "--minutes", "1")
    assert go() is None and made == [0, 1]
    said = capsys.readouterr().err
    assert "lesson-1: 0 s" in said and "about 0 min left" in said and "goes on here" in said
    begun(tmp_path)
    assert go() and made == [0, 1, 0, 1, 2, 3] and "lesson-1" not in capsys.readouterr().err


def test_what_is_left_is_guessed_from_its_like(tmp_path):
    begun(tmp_path)
    CLOCK.took = {"a/lesson-#": [10.0, 30.0], "lesson-#": [10.0, 30.0, 200.0], "": [1.0]}
    CLOCK.pieces = [Path("a/lesson-3.json"), Path("b/lesson-0.json"), Path("b/after.json")]
    assert CLOCK.left(Path("nothing")) == 20 + 80 + 1
    assert CLOCK.left(CLOCK.pieces[0]) == 81


def test_parts_of_a_piece_are_made_however_late_it_is(tmp_path):
    """And where nobody minds, the command just ends."""
    begun(tmp_path, "--minutes", "0.5")

    def whole():
        CLOCK.until = 0
        return once(tmp_path / "part.json", lambda: 7)

    assert once(tmp_path / "whole.json", whole) == 7
    with pytest.raises(Enough):
        once(tmp_path / "next.json", whole)
    assert issubclass(Enough, SystemExit) and not (tmp_path / "next.json").exists()
