"""Three hundred files that mean harm, through the very functions that routes call: refused or taken, never believed.

Nothing is written outside, nothing is run, no other error than `Wrong` comes out, and memory stays bounded.
"""

import io
import json
import pickle
import random
import resource
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import pytest
import torch
from PIL import Image

from remembrandt.adapters import keys
from remembrandt.api import openai
from remembrandt.jobs import arriving
from remembrandt.settings import Wrong

EACH, GRAIN = 25, random.Random(0)
MOST = 400 * 2**20  # bytes that the process may grow by
NAMES = (
    "../out{}", "/tmp/out{}", "a/../../out{}", "..\\out{}", "C:\\out{}", "a\0b{}", "//out{}", "a/./../../out{}",
    "....//out{}", "~/out{}", "", "../" * 40 + "out{}", "x/" * 30 + "{}", "é" * 300 + "{}",
    "aux:{}", "a\r\nb{}.png", "\u202egnp.{}"
)  # fmt: skip


def png(wide=40, high=40, body=None, kind=b"\x08\x02", **chunks) -> bytes:
    """A PNG that says it is so large, whatever its body holds."""
    if body is None:
        body = zlib.compress(b"".join(b"\0" + GRAIN.randbytes(3 * wide) for _ in range(high)))
    parts = [(b"IHDR", struct.pack(">II", wide, high) + kind + b"\0\0\0")]
    parts += [(name.encode(), data) for name, data in chunks.items()]
    parts += [(b"IDAT", body), (b"IEND", b"")]
    long = lambda number: struct.pack(">I", number)  # noqa: E731
    wrapped = [long(len(data)) + name + data + long(zlib.crc32(name + data)) for name, data in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(wrapped)


def zipped(*entries, how=zipfile.ZIP_DEFLATED) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", how) as archive:
        for name, body in entries:
            archive.writestr(name, body)
    return data.getvalue()


def bombs(draw, k):
    """Zips that grow: zeros, zips in zips, many files, one content under many names, sizes that lie."""
    if k % 5 == 0:
        return zipped((f"{k}.png", bytes(2**21 + k)))
    if k % 5 == 1:
        inner = zipped(("0.png", bytes(2**21)))
        for _ in range(4):
            inner = zipped(*((f"{j}.zip", inner) for j in range(8)))
        return inner
    if k % 5 == 2:
        return zipped(*((f"{j}.png", b"") for j in range(1001 + k)), how=zipfile.ZIP_STORED)
    one = bytearray(zipped(("0.png", png())))
    if k % 5 == 3:  # the list says less, or more, than comes
        at = one.index(b"PK\x01\x02")
        one[at + 24 : at + 28] = struct.pack("<I", draw.choice([0, 1, 2**31 - 1, 2**32 - 1]))
        return bytes(one)
    at, end = one.index(b"PK\x01\x02"), one.index(b"PK\x05\x06")
    many, tail = bytes(one[at:end]) * 300, bytearray(one[end:])
    tail[8:12], tail[12:16] = struct.pack("<HH", 300, 300), struct.pack("<I", len(many))
    return bytes(one[:at]) + many + bytes(tail)


def traversal(draw, k):
    return zipped((NAMES[k % len(NAMES)].format(k) or "/", png()), (f"{k}.png", png()))


def links(draw, k):
    """Symbolic links, devices, pipes, folders that are links."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        info = zipfile.ZipInfo(draw.choice(["photo.png", "a", "a/b.png"]))
        info.create_system = 3
        info.external_attr = draw.choice([0o120777, 0o060666, 0o020666, 0o010666, 0o140777]) << 16
        archive.writestr(info, draw.choice(["/etc/passwd", "../../..", "/dev/zero", "/proc/self/environ"]))
        archive.writestr("a/out.png", png())
    return data.getvalue()


def torn(draw, k):
    """Photos and zips that are cut off, or whose bits were turned."""
    picture = io.BytesIO()
    Image.effect_noise((80, 60), 90).convert("RGB").save(picture, ["PNG", "JPEG", "WEBP", "TIFF", "GIF", "BMP"][k % 6])
    data = bytearray(picture.getvalue() if k % 3 else zipped(("a.png", picture.getvalue()), ("b.png", png())))
    for _ in range(draw.choice([1, 3, 40])):
        data[draw.randrange(len(data))] = draw.randrange(256)
    return bytes(data[: draw.randrange(4, len(data))] if k % 2 else data)


def pixels(draw, k):
    """Small files of huge pictures."""
    wide, high = draw.choice([(30_000, 30_000), (65_500, 2_000), (12_000, 12_000), (2**31 - 1, 2**31 - 1)])
    if k % 4 == 0:
        return png(wide, high, zlib.compress(bytes(1000)))
    if k % 4 == 1:
        data = io.BytesIO()
        Image.new("1", (5_800, 5_800)).save(data, ["PNG", "TIFF", "GIF"][k % 3], compression="group4")
        return data.getvalue()
    if k % 4 == 2:
        return b"BM" + struct.pack("<IHHIIiiHHIIiiII", 0, 0, 0, 54, 40, wide, high, 1, 24, *[0] * 6)
    return b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + struct.pack("<I", 2**24 - 1)[:3] * 2 + b"VP8 \0\0\0\0"


def texts(draw, k):
    """Texts, profiles and EXIF that grow or point into nowhere."""
    grown = zlib.compress(bytes(2**22))
    name = ["zTXt", "iTXt", "iCCP", "eXIf"][k % 4]
    body = {"zTXt": b"a\0\0" + grown, "iTXt": b"a\0\1\0\0\0" + grown, "iCCP": b"a\0\0" + grown}
    return png(**{name: body.get(name, b"MM\0*" + GRAIN.randbytes(200))})


def polyglots(draw, k):
    page, archive = b"<script>alert(1)</script>", zipped(("../out.png", png()))
    start = [png(), b"GIF89a\x01\0\x01\0\0\0\0;", b"%PDF-1.4\n", b"\xff\xd8\xff\xe0\0\x10JFIF\0", page][k % 5]
    return start + [archive, page, b"<?php system('id');", b"MZ" + bytes(99), b"\x7fELF" + bytes(60)][k // 5 % 5]


def programs(draw, k):
    """Formats whose readers start programs or read other files."""
    lines = (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99 99\n(%pipe%touch out) (w) file\n",
        b'<svg xmlns:x="http://www.w3.org/1999/xlink"><image x:href="file:///etc/passwd"/></svg>',
        b"push graphic-context\nfill 'url(https://x/\"|touch out\")'",
        b"\x01\xda\x01\x01\0\x03" + bytes(506), b"8BPS\0\x01" + bytes(40),
        b"II*\0" + GRAIN.randbytes(80), b"P6\n99999 99999\n255\n",
        b"\0\0\0\x1cftypavif" + GRAIN.randbytes(99), b"\0\0\0\x0cjP  \r\n\x87\n" + GRAIN.randbytes(99),
    )  # fmt: skip
    return lines[k % len(lines)] + bytes(k)


class Harm:
    def __reduce__(self):
        return Path("out").touch, ()


def pickles(draw, k):
    plain = pickle.dumps(Harm(), k % 6)
    if k % 3 == 0:
        return plain
    if k % 3 == 1:
        return zipped(("archive/data.pkl", plain), ("archive/version", b"3"), ("archive/data/0", b"0" * 8))
    data = io.BytesIO()
    torch.save({"a": torch.zeros(2)}, data)
    return data.getvalue()


def tensors(draw, k):
    """Safetensors whose header is too long, no JSON, or points outside and over one another."""
    head = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    size = lambda number: struct.pack("<Q", number)  # noqa: E731
    bad = {
        0: size(2**63 - 1) + head, 1: size(len(head)) + head, 2: size(3) + b"{]}" + bytes(8), 4: b"", 5: bytes(k + 1),
        3: size(len(head)) + head.replace(b"[2]", b"[2000000000000]") + bytes(8),
        6: size(len(head)) + head.replace(b"[0, 8]", b"[8, 0]") + bytes(8),
        7: size(len(head)) + head.replace(b"F32", b"XYZ") + bytes(8), 8: size(2) + b"{}",
    }  # fmt: skip
    return bad[k % 9]


KINDS = (bombs, traversal, links, torn, pixels, texts, polyglots, programs, pickles, tensors)
MORE = {torn: 2 * EACH, polyglots: 2 * EACH}


def swallow(data: bytes, folder: Path, name: str) -> int:
    """By every way in that takes files; how many refused it."""
    refused = 0

    def uploaded():
        arriving.unpack([(name, io.BytesIO(data))], folder / "in")
        arriving.photos(folder / "in", 64)

    class Sent:
        file = io.BytesIO(data)

    for way in (uploaded, lambda: openai.opened(Sent, "the image"), lambda: arriving.bounded(kept(folder, data))):
        try:
            way()
        except Wrong as fault:
            refused += 1
            assert "\n" not in str(fault) and str(folder) not in str(fault)
    return refused


def kept(folder: Path, data: bytes) -> Path:
    (folder / "kept").write_bytes(data)
    return folder / "kept"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_files_that_mean_harm(tmp_path, kind, tiny, monkeypatch):
    monkeypatch.chdir(tmp_path)  # where a relative path would lead
    before, draw = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, random.Random(kind.__name__)
    refused = 0
    for k in range(MORE.get(kind, EACH)):
        data, folder = kind(draw, k), tmp_path / "work" / str(k)
        folder.mkdir(parents=True)
        name = draw.choice(["a.png", "../out", "photos.zip", "/etc/out", "", "Thumbs.db"])
        refused += bool(swallow(data, folder, name))
        inside = [p for p in folder.rglob("*") if p.is_symlink() or not (p.is_dir() or p.is_file())]
        assert not inside and {p.name for p in folder.iterdir()} <= {"in", "kept"}, k
        if kind in (pickles, tensors):  # as a model that is imported
            with pytest.raises(Wrong):
                keys.read(kept(folder, data).rename(folder / "lora.safetensors"), tiny)
        assert [p.name for p in tmp_path.iterdir()] == ["work"] and not Path("/tmp").joinpath(f"out{k}").exists()
    unit = 1 if sys.platform == "darwin" else 1024
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * unit < MOST
    assert refused >= (10 if kind in (traversal, torn, texts, polyglots) else EACH)  # of the others, all


def test_they_are_three_hundred_and_different():
    draw = random.Random(0)
    made = [kind(draw, k) for kind in KINDS for k in range(MORE.get(kind, EACH))]
    assert len(made) == 300 and len(set(made)) > 200
