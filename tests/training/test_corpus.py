"""Many pictures from anywhere: folders, JSON lines and tars; what is left out, and what ends a training."""

import io
import json
import tarfile
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from remembrandt.settings import Wrong
from remembrandt.training import corpus
from remembrandt.training.corpus import Filters


def drawn(seed: int, side: int = 128) -> Image.Image:
    """Blots of a few colours, another for each seed."""
    small = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((side, side), Image.Resampling.BICUBIC)


def jpeg(picture: Image.Image, quality: int = 90) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def tar(path, *members: tuple[str, bytes]):
    with tarfile.open(path, "w") as made:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    return path


EVERY = Filters()


def passed(data, filters=EVERY, after=-1):
    out = Counter()
    return list(corpus.pictures(corpus.items(data), filters, 128, 128, out, after)), out


def test_the_same_pictures_from_a_folder_from_lines_and_from_tars(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    said = [f"picture {k}" for k in range(3)]
    for k, words in enumerate(said):
        (folder / f"{k}.jpg").write_bytes(jpeg(drawn(k)))
        (folder / f"{k}.txt").write_text(words)
    lines = tmp_path / "list.jsonl"
    lines.write_text("".join(json.dumps({"path": f"folder/{k}.jpg", "caption": w}) + "\n" for k, w in enumerate(said)))
    shards = tmp_path / "shards"
    shards.mkdir()
    for k, words in enumerate(said):
        about = json.dumps({"caption": words}).encode()
        tar(shards / f"{k:03d}.tar", (f"{k}.json", about), (f"{k}.jpg", jpeg(drawn(k))))
    found = [passed(place)[0] for place in (folder, lines, shards, f"{shards}/{{000..002}}.tar", f"{shards}/*.tar")]
    for some in found:
        assert [p.caption for p in some] == said
        assert all(np.array_equal(a.square, b.square) for a, b in zip(some, found[0], strict=True))


def test_filters_leave_out_and_say_why(tmp_path):
    rows = [(128, 7.0), (128, 5.0), (128, None), (96, 7.0), (128, 7.0), (128, 6.5)]
    for k, (side, _) in enumerate(rows):
        drawn(0 if k == 4 else k, side).save(tmp_path / f"{k}.jpg", quality=50 + 8 * k)
    (tmp_path / "5.jpg").write_bytes(b"\xff\xd8 cut off")
    told = [{"file_name": f"{k}.jpg", "AESTHETIC_SCORE": score} for k, (_, score) in enumerate(rows)]
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, told)))
    found, out = passed(tmp_path, Filters(min_side=100, aesthetic=6, dedup=True))
    assert [p.name for p in found] == ["0.jpg"] and len(out) == 5
    reasons = {"has too low an aesthetic score", "has no aesthetic score", "is nearly the same as one before it"}
    assert reasons < set(out)
    assert corpus.count(tmp_path, Filters(aesthetic=6)) == 4
    assert len(passed(tmp_path)[0]) == 5 and [p.number for p in passed(tmp_path, after=2)[0]] == [3, 4]


def test_copies_are_found_and_other_pictures_kept(tmp_path):
    """Saved anew, a little cropped, brighter, mirrored: one picture. Fifty others: fifty."""
    one = drawn(0)
    copies = [one, one.crop((2, 2, 126, 126)), one.point(lambda v: v * 0.8 + 30), one.transpose(0)]
    for k, copy in enumerate(copies):
        (tmp_path / f"a{k}.jpg").write_bytes(jpeg(copy, 50))
    for k in range(1, 51):
        (tmp_path / f"b{k:02d}.jpg").write_bytes(jpeg(drawn(k)))
    found, out = passed(tmp_path, Filters(dedup=True))
    assert [p.name for p in found if p.name[0] == "a"] == ["a0.jpg"] and len(found) == 51
    assert sum(out.values()) == 3 and len(passed(tmp_path)[0]) == 54


def test_captions_that_prompts_would_take_for_weights_are_plain(tmp_path):
    drawn(1).save(tmp_path / "1.jpg")
    (tmp_path / "1.txt").write_text("a dog (red:1.3)\nand a smile :1)")
    [found] = passed(tmp_path)[0]
    assert found.caption == "a dog (red 1.3) and a smile  1)"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p / "none", "there is no folder"),
        (lambda p: p, "there are no photos"),
        (lambda p: p / "none.tar", "there is no tar"),
        (lambda p: p / "{0..1}.tar", "there is no tar"),
        (lambda p: p / "none.jsonl", "cannot be read"),
        (lambda p: (p / "a.tar").write_bytes(b"no tar at all" * 99) and p / "a.tar", "cannot be read as a tar"),
        (lambda p: (p / "a.jsonl").write_text('{"text": "no path"}\n') and p / "a.jsonl", "line 1 of .* is no picture"),
    ],
)
def test_sources_that_are_none_say_so_in_a_line(tmp_path, make, said):
    with pytest.raises(Wrong, match=said) as fault:
        list(corpus.items(make(tmp_path)))
    assert "\n" not in str(fault.value)
