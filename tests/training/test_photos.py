"""Photos as people have them: each kind opens as it looks, or is refused in words, all at once."""

import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageFilter

from remembrandt.settings import Wrong
from remembrandt.training import photo_hints, photos

SIZE = 128


def scene(seed: int, width: int = 240, height: int = 240, place: int | None = None) -> Image.Image:
    """A detailed picture: a bright subject before a background that `place` decides."""
    rng, back = np.random.default_rng(seed), np.random.default_rng(1000 + (seed if place is None else place))
    around = back.integers(0, 255, (6, 6, 3)).astype(np.uint8)
    picture = Image.fromarray(around).resize((width, height), Image.Resampling.NEAREST)
    subject = Image.fromarray(rng.integers(0, 255, (9, 9, 3)).astype(np.uint8))
    subject = subject.resize((width // 2, int(height * 0.75)), Image.Resampling.NEAREST)
    picture.paste(subject, (width // 4, height // 5))
    return picture


def shade(width: int = 200, height: int = 200) -> np.ndarray:
    """Grey from 0 to 1, left to right, darker below."""
    return np.linspace(0, 1, width)[None] * np.linspace(1, 0.5, height)[:, None]


def near(square: np.ndarray, picture: Image.Image, most: float) -> bool:
    wanted = np.asarray(picture.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS), float)
    return bool(np.abs(square - wanted).mean() <= most)


def one(path: Path) -> np.ndarray:
    return photos.prepare(path, SIZE).squares[0]


@pytest.fixture
def folder(tmp_path) -> Path:
    for seed in range(4):
        scene(seed).save(tmp_path / f"{seed}.png")
    return tmp_path


def test_a_plain_folder(folder):
    found = photos.prepare(folder, SIZE)
    assert found.names == ["0.png", "1.png", "2.png", "3.png"] and not found.faults and not found.hints
    assert all(s.shape == (SIZE, SIZE, 3) and s.dtype == np.uint8 for s in found.squares)
    assert near(found.squares[0], scene(0), 1.5)


def test_names_order_folders_inside_and_system_files(folder):
    (folder / "more").mkdir()
    scene(9).save(folder / "more" / "a.jpg")
    (folder / "__MACOSX").mkdir()
    for junk in (".DS_Store", "Thumbs.db", "__MACOSX/._0.png"):
        (folder / junk).write_bytes(b"\0\1\2")
    assert photos.prepare(folder, SIZE).names == ["0.png", "1.png", "2.png", "3.png", "more/a.jpg"]
    assert photos.prepare([folder / "1.png", folder / "0.png"], SIZE).names == ["1.png", "0.png"]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(tmp_path, orientation):
    upright = scene(3, 300, 200)
    undo = {2: (0,), 3: (3,), 4: (1,), 5: (5,), 6: (2,), 7: (6,), 8: (4,)}.get(orientation, ())
    stored = upright
    for move in undo:
        stored = stored.transpose(Image.Transpose(move))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "a.jpg", exif=exif, quality=95, subsampling=0)
    shot = photos.prepare(tmp_path / "a.jpg", SIZE).photos[0]
    assert shot.size == (300, 200) and shot.box == (50, 0, 250, 200)
    assert near(shot.square, upright.crop((50, 0, 250, 200)), 4)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "trns"])
def test_what_can_be_seen_through_lies_on_white(tmp_path, mode):
    picture = scene(1).convert("RGBA")
    picture.putalpha(Image.fromarray((shade(240, 240) > 0.3).astype(np.uint8) * 255))
    if mode == "LA":
        picture = picture.convert("LA")
    if mode == "P":
        picture = picture.quantize(64)
    if mode == "trns":
        white = Image.new("RGB", picture.size, (1, 2, 3))
        white.paste(picture, mask=picture.getchannel("A"))
        white.save(tmp_path / "a.png", transparency=(1, 2, 3))
    else:
        picture.save(tmp_path / "a.png")
    found = photos.prepare(tmp_path / "a.png", SIZE)
    assert found.squares[0][:, :8].min() > 240  # the left edge is cut out
    assert found.squares[0][40:80, 60:100].std() > 5
    assert any("laid on white" in hint for hint in found.hints)


def test_alpha_that_hides_nothing_is_no_hint(tmp_path):
    scene(1).convert("RGBA").save(tmp_path / "a.png")
    assert not any("white" in hint for hint in photos.prepare(tmp_path / "a.png", SIZE).hints)


def test_cmyk(tmp_path):
    picture = scene(2)
    picture.convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    assert near(one(tmp_path / "a.jpg"), picture, 6)
    picture.convert("CMYK").save(tmp_path / "b.tif")
    assert near(one(tmp_path / "b.tif"), picture, 2)


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path, suffix):
    deep = (shade() * 65535).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / f"a.{suffix}")
    plain = Image.fromarray((shade() * 255).round().astype(np.uint8))
    assert near(one(tmp_path / f"a.{suffix}"), plain, 1)


def test_sixteen_bit_colour_and_float(tmp_path):
    deep = (np.stack([shade(), shade().T, 1 - shade()], -1) * 65535).astype(">u2")
    (tmp_path / "a.png").write_bytes(png16(deep))
    assert near(one(tmp_path / "a.png"), Image.fromarray((deep / 257).astype(np.uint8)), 1)
    Image.fromarray(shade().astype(np.float32)).save(tmp_path / "b.tif")
    assert near(one(tmp_path / "b.tif"), Image.fromarray((shade() * 255).astype(np.uint8)), 1)


def png16(values: np.ndarray) -> bytes:
    """A 16-bit colour PNG, which Pillow reads but does not write."""
    return png(values.shape[1], values.shape[0], 16, b"".join(b"\0" + row.tobytes() for row in values))


def png(width: int, height: int, depth: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, depth, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_and_few_colours(tmp_path, mode):
    picture = scene(5).convert(mode)
    picture.save(tmp_path / "a.png")
    assert near(one(tmp_path / "a.png"), picture.convert("RGB"), 12)


def test_a_colour_profile_is_applied_and_a_broken_one_ignored(tmp_path):
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    scene(4).save(tmp_path / "a.png", icc_profile=lab)
    assert near(one(tmp_path / "a.png"), scene(4), 2)
    scene(4).save(tmp_path / "b.png", icc_profile=b"no profile at all")
    assert near(one(tmp_path / "b.png"), scene(4), 2)


def test_moving_pictures_give_their_first_frame(tmp_path):
    scene(1).save(tmp_path / "a.gif", save_all=True, append_images=[scene(2)])
    found = photos.prepare(tmp_path / "a.gif", SIZE)
    assert near(found.squares[0], scene(1), 12) and any("first frame" in hint for hint in found.hints)


def heic() -> bytes:
    return struct.pack(">I", 24) + b"ftypheic" + b"\0\0\0\0mif1heic" + bytes(100)


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def jpeg(seed: int, **options) -> bytes:
    file = BytesIO()
    scene(seed, **options).save(file, "JPEG", quality=90)
    return file.getvalue()


def bomb() -> bytes:
    """A PNG of a hundred bytes that says it is 60,000 x 60,000."""
    return png(60_000, 60_000, 8, bytes(1000))


def broken_middle(data: bytes) -> bytes:
    """A PNG whose pixels fail their own check-sum."""
    return data[:200] + bytes(64) + data[264:]


def drawn(picture: Image.Image, format: str = "PNG") -> bytes:
    file = BytesIO()
    picture.save(file, format)
    return file.getvalue()


FAULTS = {
    "empty.jpg": (b"", "is an empty file"),
    "words.jpg": (b"these are words" * 50, "is not a picture"),
    "notes.txt": (b"a list of things", "is not a picture"),
    "cut.jpg": (cut(jpeg(1)), "is cut off before its end"),
    "cut.png": (cut(drawn(scene(1))), "is cut off before its end"),
    "broken.png": (broken_middle(drawn(scene(1))), "is damaged"),
    "bomb.png": (bomb(), "is huge"),
    "tiny.png": (drawn(scene(1, 20, 300)), "is too small (20x300)"),
    "raw.dng": (b"II*\0" + bytes(200), "raw file"),
    "white.png": (drawn(Image.new("RGB", (300, 300), "white")), "one flat colour"),
    "page.pdf": (drawn(scene(1), "PDF"), "is not a picture"),
}


def test_every_fault_at_once_and_in_one_line(folder):
    for name, (data, _) in FAULTS.items():
        (folder / name).write_bytes(data)
    found = photos.inspect(folder, SIZE)
    said = {text.split(" ")[0]: text for text in found.faults}
    assert set(said) == set(FAULTS) and len(found.squares) == 4
    for name, (_, message) in FAULTS.items():
        assert message in said[name], said[name]
    with pytest.raises(Wrong, match=r"^11 of 15 photos cannot be used: .*; and 3 more$") as wrong:
        photos.prepare(folder, SIZE)
    assert "\n" not in str(wrong.value)


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_alone(tmp_path, name):
    (tmp_path / name).write_bytes(FAULTS[name][0])
    with pytest.raises(Wrong, match=r"^the photo cannot be used: "):
        photos.prepare(tmp_path, SIZE)


@pytest.mark.parametrize("name", ["a.heic", "a.jpg"])
def test_heic_opens_or_says_how_to_open_it(tmp_path, name):
    (tmp_path / name).write_bytes(heic())
    try:
        import pillow_heif  # noqa: F401
    except ImportError:
        message = "is HEIC: `pip install pillow-heif`, or save it as JPEG"
    else:
        message = "is (damaged|not a picture)"
    with pytest.raises(Wrong, match=message):
        photos.prepare(tmp_path, SIZE)


def test_a_large_photo_is_quick_and_light(tmp_path):
    picture = scene(1, 6000, 4000)
    picture.save(tmp_path / "a.jpg", quality=80)
    shot = photos.prepare(tmp_path / "a.jpg", SIZE).photos[0]
    assert shot.size == (6000, 4000) and shot.box == (1000, 0, 5000, 4000)
    assert near(shot.square, picture.crop(shot.box), 3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("missing", "no folder .*missing, nor a picture"),
        ("empty", "no photos in .*empty"),
        ("nothing", "no photos were given"),
    ],
)
def test_nothing_to_open(tmp_path, given, said):
    (tmp_path / "empty").mkdir()
    with pytest.raises(Wrong, match=said):
        photos.prepare([] if given == "nothing" else tmp_path / given, SIZE)


@pytest.mark.parametrize("size", [0, 7, 100, 4096])
def test_a_size_that_no_model_has(folder, size):
    with pytest.raises(Wrong, match="multiple of 8"):
        photos.prepare(folder, size)


# -- hints: each where it belongs, and silent where it does not --------------------------------


def hints(tmp_path: Path, pictures: list[Image.Image], size: int = SIZE) -> str:
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number:02d}.png")
    return "\n".join(photos.prepare(tmp_path, size).hints)


def test_few_and_many(tmp_path):
    assert "only 2 photos" in hints(tmp_path, [scene(k) for k in range(2)])
    assert hints(tmp_path, [scene(k) for k in range(20)]) == ""
    assert "21 photos" in hints(tmp_path, [scene(k) for k in range(21)])


def test_small_and_long(tmp_path):
    said = hints(tmp_path, [scene(0, 100, 100), scene(1, 900, 200), *(scene(k) for k in range(2, 5))])
    assert "00.png: smaller than 128 pixels" in said and "01.png: long and narrow" in said


@pytest.mark.parametrize("radius", [5, 10, 24])
@pytest.mark.parametrize("size", [128, 512])
def test_blurred(tmp_path, radius, size):
    pictures = [textured(k) for k in range(5)]
    pictures[2] = pictures[2].filter(ImageFilter.GaussianBlur(radius * 512 / 320))
    said = hints(tmp_path, pictures, size)
    assert said == "02.png: blurred: so will be what is painted"


def textured(seed: int) -> Image.Image:
    """1/f noise with edges: the statistics of a photo, 512 pixels a side."""
    rng, side = np.random.default_rng(seed), 512
    away = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None]) + 1 / side
    waves = np.fft.irfft2(np.fft.rfft2(rng.normal(size=(3, side, side))) / away, s=(side, side))
    waves = np.clip(128 + 45 * waves / waves.std(axis=(1, 2), keepdims=True), 0, 255)
    return Image.blend(Image.fromarray(waves.transpose(1, 2, 0).astype(np.uint8)), scene(seed, side, side), 0.4)


def test_nearly_the_same(tmp_path):
    pictures = [textured(k) for k in range(5)]
    burst = pictures[0].crop((8, 5, 505, 502)).point(lambda v: min(255, int(v * 1.15)))
    mirror = pictures[1].transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    said = hints(tmp_path, [*pictures, burst, mirror])
    assert "00.png and 05.png: nearly the same" in said and "01.png and 06.png: nearly" in said
    assert said.count("\n") == 1


def test_one_background(tmp_path):
    assert "one background" in hints(tmp_path, [scene(k, place=0) for k in range(5)])
    assert hints(tmp_path, [scene(k, place=k % 2) for k in range(5)]) == ""


def test_blur_grows_with_blur():
    found = [
        photo_hints.blur(np.asarray(textured(1).filter(ImageFilter.GaussianBlur(r)).resize((256, 256))))
        for r in (0, 2, 8)
    ]
    assert found == sorted(found) and found[0] < 0.6 < 0.8 < found[2] <= 1


# -- what is left behind -----------------------------------------------------------------------


def test_sheet_and_squares_are_written(folder, tmp_path_factory):
    scene(7, 500, 200).save(folder / "wide.jpg")
    found, out = photos.prepare(folder, SIZE), tmp_path_factory.mktemp("out")
    written = photos.write(found, out)
    assert [p.name for p in written["squares"]] == ["00.png", "01.png", "02.png", "03.png", "04.png"]
    assert all((np.asarray(Image.open(p)) == s).all() for p, s in zip(written["squares"], found.squares, strict=True))
    assert sorted(p.name for p in out.iterdir()) == [*(f"{k:02d}.png" for k in range(5)), "sheet.png"]


def test_the_sheet_shows_the_crop(folder):
    scene(7, 500, 200).save(folder / "wide.jpg")
    found = photos.prepare(folder, SIZE)
    drawing = np.asarray(photos._drawn(found.photos[-1]))
    edge = (drawing == (214, 84, 40)).all(-1)
    left, right = np.flatnonzero(edge.any(0))[[0, -1]]
    scale = drawing.shape[1] / 500
    assert abs(left - 150 * scale) <= 1 and abs(right - 350 * scale) <= 2
    assert photos.sheet(found).width > 5 * 160
