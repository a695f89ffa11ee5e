"""The benchmark of a picture that is repeated: it finds what was put in, and runs from command to picture."""

import io
import json

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("skia", reason="needs the extra [world]")

from benchmarks import memorised


def test_copies_that_were_put_in_are_counted():
    originals = list(memorised.known(memorised.Size(others=5)).values())
    rng = np.random.default_rng(1)
    one, other = (np.asarray(Image.open(io.BytesIO(memorised.anew(originals[k], rng)))) for k in (0, 3))
    told = memorised.held([one, one, originals[5], other, one, originals[4]], originals[:4], 3)
    assert told["its caption"] == {"of it": 2, "of others": 0, "painted": 3} and told["score"] > 0.95
    assert told["other captions"] == {"of it": 1, "of others": 1, "painted": 3}


def test_from_command_to_picture(tiny_folder, tmp_path, monkeypatch):
    """Copies are saved anew, each as bytes of its own; with `--dedup` only one of them is trained on."""
    monkeypatch.setenv("REMEMBRANDT_HOME", str(tmp_path / "home"))
    out, size = tmp_path / "memorised.json", memorised.SIZES["tiny"]
    words = ["--tiny", "--base", str(tiny_folder), "--work", str(tmp_path), "-o", str(out)]
    memorised.main(words)
    found = json.loads(out.read_text())
    assert list(found["arms"]) == ["before", "as it is", "with --dedup"] and out.with_suffix(".png").is_file()
    pictures = [found["arms"][name]["pictures"] for name in memorised.ARMS]
    assert pictures == [size.others + size.copies, size.others + 1]
    copies = {path.read_bytes() for path in tmp_path.rglob("data/00000-*.jpg")}
    assert len(copies) == size.copies
    monkeypatch.setattr(memorised, "trained", None)  # what is finished is not done again
    memorised.main(words)
    assert json.loads(out.read_text())["arms"] == found["arms"]
