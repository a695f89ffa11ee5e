"""The tiny family with the pocket's judges: benchmarks of the memory run on it from command to picture in seconds."""

import shutil
from importlib.resources import files
from pathlib import Path

import pytest

from remembrandt.family.load import save


@pytest.fixture(scope="session")
def judged(tiny, tmp_path_factory) -> Path:
    """Nobody writes here."""
    pytest.importorskip("skia", reason="needs the extra [world]")
    place = save(tiny, tmp_path_factory.mktemp("judged") / "tiny")
    shutil.copytree(Path(str(files("remembrandt.pocket"))) / "weights" / "judges", place / "judges")
    return place
