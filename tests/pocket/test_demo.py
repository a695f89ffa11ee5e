"""The demo, played on a tiny family in two steps a lesson: what it leaves, and that it can be played again."""

from __future__ import annotations

import json

from PIL import Image

from remembrandt.pocket import demo
from remembrandt.service import Service
from remembrandt.settings import Settings


class Hasty:
    """A service that takes two steps."""

    def __init__(self, home, base):
        self._service, self._base = Service(Settings(home, "cpu", "fp32")), str(base)

    def finetune(self, images, category, **options):
        return self._service.finetune(images, category, base=self._base, steps=2, **options)

    def paint(self, prompt, **options):
        known = (self._service.settings.home / "remembrandt.sqlite").exists()
        return self._service.paint(prompt, model=None if known else self._base, steps=2, **options)


def test_it_learns_two_forgets_nothing_and_leaves_its_sheet(tiny_folder, tmp_path):
    for again in ("first", "second"):
        found = demo.run(Hasty(tmp_path / again, tiny_folder), tmp_path / "demo")
        assert found["learned"] == 2 and found["forgotten"] == 0 and found["seconds"] > 0
        assert [c["category"] for c in found["concepts"]] == ["dog", "painting"]
        told = json.loads((tmp_path / "demo" / "demo.json").read_text())
        assert told["learned"] == 2 and len({c["identifier"] for c in told["concepts"]}) == 2
        assert Image.open(tmp_path / "demo" / "sheet.png").size[0] > 500
        assert len(list((tmp_path / "demo" / "photos" / "creature").iterdir())) >= 4
