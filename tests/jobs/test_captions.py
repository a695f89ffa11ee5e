"""Captions: beside photos, by a model of transformers, by readers; and what becomes of the identifier in them."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from remembrandt.evaluation import captions, judges
from remembrandt.jobs import captioning
from remembrandt.jobs.captioning import prompt as prompted
from remembrandt.settings import Wrong
from remembrandt.training.photos import prepare
from tests.homes import photos


@pytest.mark.parametrize(
    ("caption", "method", "prompt"),
    [
        ("a dog on a sofa, a dog", "oft", "a brc dog on a sofa, a dog"),
        ("A Dog", "lora", "A brc dog"),
        ("a hotdog stand", "oft", "a brc dog, a hotdog stand"),
        ("my {identifier} in snow", "dreambooth", "my brc in snow"),
        ("a dog on a sofa", "text-to-image", "a dog on a sofa"),
        ("{identifier} again", "text-to-image", "brc again"),
    ],
)
def test_the_identifier_in_a_caption(caption, method, prompt):
    assert prompted(caption, "brc", "dog", method) == prompt


def test_texts_beside_photos(tmp_path):
    place = photos(tmp_path / "dog")
    (place / "1.txt").write_text("\ufeffa dog\n on a sofa \n", encoding="utf-8")
    (place / "2.txt").write_text("  \n")
    found = prepare(place, 128)
    assert found.names == ["0.png", "1.png", "2.png", "3.png"]
    assert found.captions == [None, "a dog on a sofa", None, None]
    assert prepare([place / "1.png"], 128).captions == ["a dog on a sofa"]
    (place / "stray.txt").write_text("a dog")  # beside no photo: what was meant is not guessed
    with pytest.raises(Wrong, match=r"stray\.txt"):
        prepare(place, 128)
    (place / "stray.txt").unlink()
    (place / "3.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(Wrong, match=r"3\.png has a caption"):
        prepare(place, 128)


def squares(count=2):
    draw = np.random.default_rng(0)
    return [draw.integers(0, 255, (64, 64, 3)).astype(np.uint8) for _ in range(count)]


def test_readers_of_its_own(tiny, tmp_path):
    whole = {"place": ["beach", "snow"], "style": ["photo", "ink"], "relation": ["", "beside"]}
    of = {"colour": ["red", "blue"], "size": ["small", "middle"]}
    torch.manual_seed(0)
    judges.save(judges.Readers(whole, ["dog", "cat"], of, 8), tmp_path / "judges" / "readers")
    family = replace(tiny, folder=tmp_path)
    for said in captions.captioner("own", family)(squares(), "dog"):
        assert re.fullmatch(r"a (small )?(red|blue) dog (on the beach|in the snow)(, ink)?", said)
    assert re.match("a teapot (on|in) ", captions.captioner("own", family)(squares(1), "teapot")[0])
    for said in captions.captioner("own", family, look=False)(squares(), "dog"):  # what is its own is not said
        assert re.fullmatch(r"a dog (on the beach|in the snow)(, ink)?", said)
    for said in captions.captioner("own", family, look=False, style=True)(squares(), "painting"):
        assert re.fullmatch(r"a painting of a (small )?(red|blue) (dog|cat)", said)
    assert captions.brought(family) == "own" and captions.brought(tiny) is None
    (tmp_path / "judges" / "readers" / "model.safetensors").unlink()
    judges.save_file({"odd": torch.zeros(1)}, tmp_path / "judges" / "readers" / "model.safetensors")
    with pytest.raises(Wrong, match="no readers of this version"):
        captions.captioner("own", family)
    with pytest.raises(Wrong, match="no readers of its own"):
        captions.captioner("own", tiny)


def test_a_model_of_transformers(tiny, tmp_path):
    from transformers import BertTokenizerFast, BlipConfig, BlipForConditionalGeneration, BlipImageProcessor
    from transformers import BlipProcessor as Processor

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "dog", "cat", "on", "the", "beach", "red"]
    (tmp_path / "vocab.txt").write_text("\n".join(words))
    tokenizer = BertTokenizerFast(vocab_file=str(tmp_path / "vocab.txt"))
    small = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    ids = {"bos_token_id": 2, "sep_token_id": 3, "eos_token_id": 3, "pad_token_id": 0}
    config = BlipConfig(
        text_config={**small, **ids, "vocab_size": len(words), "encoder_hidden_size": 16},
        vision_config={**small, "image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    torch.manual_seed(1)
    BlipForConditionalGeneration(config).save_pretrained(tmp_path / "blip")
    size = {"height": 32, "width": 32}
    Processor(BlipImageProcessor(size=size), tokenizer).save_pretrained(tmp_path / "blip")
    told = captions.captioner(str(tmp_path / "blip"), tiny)(squares(), "dog")
    assert len(told) == 2 and all(isinstance(said, str) for said in told)
    for wrong in (str(tmp_path / "nowhere"), "nobody/nothing"):
        with pytest.raises(Wrong, match="no image-to-text model"):
            captions.captioner(wrong, tiny)


def test_what_is_captioned_here_is_taught_plainly_too(tiny, tmp_path):
    """Else it is not itself where no place is named; what a user says is taught as the user says it."""
    whole = {"place": ["beach", "snow"], "style": ["photo", "ink"], "relation": ["", "beside"]}
    judges.save(judges.Readers(whole, ["dog", "cat"], {"colour": ["red"]}, 8), tmp_path / "judges" / "readers")
    family, place = replace(tiny, folder=tmp_path), photos(tmp_path / "dog")
    (place / "1.txt").write_text("a dog on a sofa")
    found = prepare(place, 64)
    for method, beside in (("oft", ["a {identifier} dog"]), ("text-to-image", [])):
        told = captioning.captions(found, "own", "dog", "a {identifier} dog", family, method)
        assert told[1] == ["a dog on a sofa"] and [some[1:] for some in told if some is not told[1]] == [beside] * 3
    assert captioning.captions(found, None, "dog", "", family, "oft") == [[], ["a dog on a sofa"], [], []]


def test_a_lesson_with_captions(tiny_folder, tmp_path):
    from remembrandt.service import Service
    from remembrandt.settings import Settings
    from remembrandt.training import examples
    from tests.homes import SHORT

    place, kept = photos(tmp_path / "dog"), []
    (place / "1.txt").write_text("a red dog")
    service = Service(Settings(tmp_path / "home", "cpu", "fp32"))
    with pytest.MonkeyPatch.context() as patch:
        save = examples.save
        patch.setattr(examples, "save", lambda found, path: (kept.extend(found), save(found, path)))
        lesson = service.finetune(
            place, "dog", identifier="brc", base=str(tiny_folder), steps=2, options=SHORT, progress=lambda e: None
        )
    assert [e.prompt for e in kept] == ["a brc dog", "a red brc dog", "a brc dog", "a brc dog"]
    assert all(e.weight == 0.25 for e in kept)
    assert service.job(lesson["job"])["request"]["told"][1] == ["a red brc dog"]
    with pytest.raises(Wrong, match="no readers of its own"):
        service.finetune(place, "dog", captioner="own", steps=2)
