"""The benchmark of stages, from command to picture."""

import json
import math
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

pytest.importorskip("skia", reason="needs the extra [world]")

from benchmarks import stages, ways
from remembrandt.family.load import save
from tests.training.seeing import see


def test_from_command_to_picture(tiny, tmp_path):
    base = save(see(tiny), tmp_path / "seeing")
    shutil.copytree(Path(str(files("remembrandt.pocket"))) / "weights" / "judges", base / "judges")
    out = tmp_path / "stages.json"
    stages.main(["--tiny", "--base", str(base), "--work", str(tmp_path), "-o", str(out)])
    found = json.loads(out.read_text())
    assert list(found["arms"]) == ["two stages", "one stage", "lora"] and out.with_suffix(".png").is_file()
    quirk = found["resize"]["two stages"]
    assert quirk["as trained"]["cosine_with_as_trained"] == 1 > quirk["antialiased"]["cosine_with_as_trained"]
    assert 0 <= quirk["as trained"]["near_copies"] <= 1 and set(quirk[ways.CHANCE]["differs"]) == set(ways.REST)
    assert set(quirk) == {*ways.WAYS, ways.CHANCE} and set(quirk["antialiased"]["drop"]) == set(ways.KEPT)
    kept = [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*.npy"))]
    stages.main(["--tiny", "--base", str(base), "--work", str(tmp_path), "-o", str(out)])
    assert json.loads(out.read_text())["resize"] == found["resize"]  # what is finished is not done again
    assert [path.stat().st_mtime_ns for path in sorted(tmp_path.rglob("*.npy"))] == kept


def test_a_drop_is_render_by_render():
    """What cannot be judged in a style counts nowhere; two that change places leave the mean and make its error."""
    before = {"category": [1.0, 1.0, 0.0, math.nan], "colour": [1.0, 1.0, 1.0, 1.0]}
    after = {"category": [0.0, 1.0, 1.0, 0.0], "colour": [0.0, 0.0, 1.0, 1.0]}
    found = ways.drop(before, after)
    assert found["category"] == {"mean": 0, "error": pytest.approx(1 / 3**0.5)}
    assert found["colour"] == {"mean": 0.5, "error": pytest.approx((1 / 3) ** 0.5 / 2)}
    assert ways.share(before["category"]) == pytest.approx(2 / 3) and ways.share([math.nan]) is None


def test_the_page_and_the_plot_say_what_was_found():
    drop = {what: {"mean": 0.25, "error": 0.125} for what in ways.KEPT}
    kept = {"category": 0.75, "colour": 0.5, "counts": [8, 6], "cosine_with_as_trained": 0.9, "drop": drop}
    kept |= {"near_copies": 0.05, "differs": {"place": 0.5}}
    quirk = {"two stages": {"as trained": kept, "antialiased": kept, ways.CHANCE: kept}}
    page = ways.told(quirk)
    assert "| antialiased | 0.900 | 75% | +25.0% ± 12.5% | 50% | +25.0% ± 12.5% |" in page and "8 unseen" in page
    assert f"pictures/{ways.FIGURE.name}" in page and "Near copies: 5.0%" in page and "place 50%" in page
    one, two = (ways.figure({"a": dict(list(quirk["two stages"].items())[:n])}) for n in (1, 2))
    assert one.width == two.width and one.height < two.height and len(two.getcolors(10**6)) > 10
