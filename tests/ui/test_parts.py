"""What the page makes of controls, photos and versions, without a browser."""

import json

import gradio as gr
import pytest
from PIL import Image

from remembrandt.ui import crops, heat, markup, wishing
from tests.homes import photos

GIVEN = {
    "prompt": "a dog", "negative": "", "sampler": "", "steps": None, "guidance": 4.0, "seed": 3, "size": "", "n": 2,
    "model": "mine", "safety": "", "task": "From words", "picture": None, "canvas": None, "strength": 0.5,
    "seeing": "variations", "source": "", "target": "", "weight": 1, "left": 32, "above": 0, "right": None, "below": 8,
    **{f"{name}{k}": None for name in ("picture", "words") for k in range(3)}, **{f"weight{k}": 1 for k in range(3)},
}  # fmt: skip


def test_what_the_controls_ask_for(tmp_path):
    assert wishing.body(GIVEN) == {
        "prompt": "a dog", "guidance": 4.0, "seed": 3, "model": "mine", "num_images": 2, "task": "text-to-image",
    }  # fmt: skip
    shot = photos(tmp_path / "a", 1) / "0.png"
    given = GIVEN | {"picture": str(shot)}
    assert wishing.body(given | {"task": "Repaint"})["strength"] == 0.5
    assert wishing.body(given | {"task": "Extend"})["expand"] == [32, 0, 0, 8]
    mixed = wishing.body(given | {"task": "Mix", "words1": "snow", "weight1": 2})
    assert mixed["mix"] == [{"text": "snow", "weight": 2}] and mixed["model"] == "variations"
    edited = wishing.body(given | {"task": "Edit", "source": "a cat", "target": "a dog"})
    assert edited["edit"] == {"source": "a cat", "target": "a dog", "weight": 1}
    for task in ("Repaint", "Vary", "Inpaint", "Extend"):
        with pytest.raises(gr.Error):
            wishing.body(GIVEN | {"task": task})
    for task in ("Mix", "Edit"):
        with pytest.raises(gr.Error):
            wishing.body(given | {"task": task})


def test_a_mask_is_what_was_brushed():
    under, over = Image.new("RGBA", (64, 48), "blue"), Image.new("RGBA", (64, 48))
    with pytest.raises(gr.Error, match="brush"):
        wishing.drawn({"background": under, "layers": [over]})
    over.paste((255, 255, 255, 255), (8, 8, 16, 16))
    asked = wishing.drawn({"background": under, "layers": [over]})
    assert asked["image"].startswith("data:image/png;base64,") and asked["mask"] != asked["image"]


def test_a_grid_is_of_one_seed():
    values, bodies = wishing.grid({"prompt": "a red dog"}, {"Words": "red, blue", "Steps": "5, 10, 20"})
    assert values == [["red", "blue"], ["5", "10", "20"]] and len({body["seed"] for body in bodies}) == 1
    assert [(b["prompt"], b["steps"]) for b in bodies][3] == ("a blue dog", 5) and "words" not in bodies[0]
    for axes in ({"Steps": ""}, {"Steps": "many"}, {"Words": "green, blue"}):
        with pytest.raises(gr.Error):
            wishing.grid({"prompt": "a red dog"}, axes)


def test_recipes_go_back_to_the_controls(tmp_path):
    from PIL import PngImagePlugin

    told = {"prompt": "a dog", "task": "image-to-image", "strength": 0.4, "seed": 7, "model": "gone"}
    texts = PngImagePlugin.PngInfo()
    texts.add_itxt("remembrandt", json.dumps(told))
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png", pnginfo=texts)
    found = wishing.restored(wishing.read(tmp_path / "a.png"), ["mine"])
    assert (found["task"], found["strength"], found["seed"]) == ("Repaint", 0.4, 7) and "model" not in found
    Image.new("RGB", (8, 8)).save(tmp_path / "b.png")
    with pytest.raises(gr.Error, match="no recipe"):
        wishing.read(tmp_path / "b.png")


def test_faults_and_crops_of_photos_are_shown(tmp_path):
    shot = photos(tmp_path / "a", 1) / "0.png"
    images = [{"photo": "0.png", "size": [192, 168], "crop": [12, 0, 180, 168]}]
    board = crops.board({"images": images, "faults": ["<b>.png is no picture"], "hints": []}, [str(shot)])
    assert "1 photo can be taught, 1 cannot" in board and "left:6.25%" in board and "data:image/jpeg" in board
    assert "&lt;b&gt;.png" in board and "<b>" not in board


def test_what_is_left_of_concepts():
    def version(number, parent, present=False):
        return {"version": number, "parent": parent, "present": present, "worst_retention": 0.9}

    line = heat.ancestry([version(1, None), version(2, 1), version(3, 1, present=True)])
    assert [v["version"] for v in line] == [1, 3]
    kept = {1: {"concepts": {"a": {"fidelity": 0.8}}}, 3: {"concepts": {"a": {"fidelity": 0.6}}}}
    concept = {"id": "a", "lesson": 1, "name": None, "identifier": "brc"}
    assert heat.left("replay", concept, 3, kept) == pytest.approx(0.75) and heat.left("gated", concept, 3, {}) == 1
    assert heat.left("gated", {**concept, "lesson": 3}, 1, {}) is None
    shown = heat.report({"name": "mine", "memory": "replay", "concepts": [concept]}, line, kept)
    assert "75%" in shown and "Roll back" in shown


def test_what_users_say_is_text():
    row = {"id": "1", "prompt": "<script>{{7}}", "seed": 1, "steps": 2, "size": "8x8"}
    assert "<script" not in markup.picture(row) + markup.pictures([row])
    assert "&lt;script&gt;" in markup.picture(row)
