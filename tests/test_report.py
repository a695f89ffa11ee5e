"""Sheets are whole and legible, files are whole or not there, and mistakes are one line."""

import os
import stat
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from remembrandt import report
from remembrandt.settings import Settings, Wrong, nearest


def plain(shade: int, wide: int = 64, high: int = 64) -> np.ndarray:
    return np.full((high, wide, 3), shade, np.uint8)


def test_a_sheet_holds_every_picture_in_its_place(tmp_path):
    Image.fromarray(plain(90)).save(tmp_path / "a.png")
    rows = [
        ("first", [plain(10), None, tmp_path / "a.png"]),
        ("a label that is much longer than its column is wide", [Image.fromarray(plain(200, 64, 32))]),
    ]
    made = np.asarray(report.sheet(rows, "a title", captions=[["one", "", "three"], []], cell=64))
    for shade in (10, 90):
        assert (made == shade).all(-1).sum() >= 60 * 60
    assert (made == 200).all(-1).sum() >= 60 * 30
    assert (made[:8] == report.PAPER).all() and (made[:, :8] == report.PAPER).all()


def test_a_sheet_grows_with_its_words_and_may_be_empty():
    short, long = (report.sheet([("", [plain(0)])], foot="word " * n, cell=64) for n in (1, 200))
    assert long.height > short.height and long.width == short.width
    assert report.sheet([], "nothing").width > 0


def test_a_file_is_replaced_at_once_or_not_at_all(tmp_path):
    path = report.write_atomic(tmp_path / "in" / "a.json", "old")
    assert path.read_text() == "old"
    with pytest.raises(TypeError):
        report.write_atomic(path, object())  # type: ignore[arg-type]
    assert path.read_text() == "old" and [p.name for p in path.parent.iterdir()] == ["a.json"]
    assert report.write_atomic(path, b"new").read_bytes() == b"new"


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX's")
def test_a_file_has_the_mode_that_the_user_wants(tmp_path):
    (tmp_path / "usual").write_text("")
    usual = stat.S_IMODE((tmp_path / "usual").stat().st_mode)
    assert stat.S_IMODE(report.write_atomic(tmp_path / "ours", "").stat().st_mode) == usual


def test_a_mistake_is_one_line():
    assert "\n" not in str(Wrong("first\n  second"))
    assert nearest("eulr", ["ddim", "euler"]) == " Did you mean 'euler'?"
    assert nearest("xyz", ["ddim", "euler"]) == ""


def test_the_home_is_what_is_given_then_the_environment_then_the_usual(monkeypatch, tmp_path):
    monkeypatch.delenv("REMEMBRANDT_HOME", raising=False)
    assert Settings.read().home == Path("~/.remembrandt").expanduser()
    monkeypatch.setenv("REMEMBRANDT_HOME", str(tmp_path / "told"))
    assert Settings.read().home == tmp_path / "told" and not (tmp_path / "told").exists()
    assert Settings.read(tmp_path / "given").home == tmp_path / "given"
    (tmp_path / "file").write_text("")
    with pytest.raises(Wrong, match="is a file"):
        Settings.read(tmp_path / "file")
