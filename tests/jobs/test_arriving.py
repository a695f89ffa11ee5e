"""Hostile uploads: nothing is written outside, memory and disk stay bounded, all faults are told."""

import io
import stat
import zipfile

import pytest

from remembrandt.jobs import arriving
from remembrandt.jobs.arriving import Faulty, unpack
from remembrandt.settings import Wrong


def zipped(*entries, packed=zipfile.ZIP_DEFLATED) -> io.BytesIO:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", packed) as archive:
        for name, content in entries:
            archive.writestr(name, content)
    data.seek(0)
    return data


def link(name="link.png", mode=stat.S_IFLNK | 0o777):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    return info, "/etc/passwd"


def test_files_and_zips_come_as_they_are(tmp_path):
    given = [
        ("../../a b.png", io.BytesIO(b"a")),
        ("b.zip", zipped(("in/c.png", b"c"), ("__MACOSX/._c.png", b"x"), (".DS_Store", b""))),
    ]
    found = unpack([*given, ("a b.png", io.BytesIO(b"second"))], tmp_path / "out")
    assert [p.relative_to(tmp_path / "out").as_posix() for p in found] == ["a b.png", "in/c.png", "2-a b.png"]
    assert [p.read_bytes() for p in found] == [b"a", b"c", b"second"] and [p.name for p in tmp_path.iterdir()] == [
        "out"
    ]


def test_long_names_of_any_script_are_shortened(tmp_path):
    [found] = unpack([("猫" * 300 + ".png", io.BytesIO(b"a"))], tmp_path)
    assert found.name.startswith("猫") and found.suffix == ".png" and found.read_bytes() == b"a"


HOSTILE = {
    "up": ("../evil.png", b"x"), "absolute": ("/tmp/evil.png", b"x"), "drive": ("C:\\evil.png", b"x"),
    "back": ("a\\..\\..\\evil.png", b"x"), "deep": ("/".join("abcdefghij") + ".png", b"x"), "long": ("a" * 300, b"x"),
    "link": link(), "device": link("dev.png", stat.S_IFCHR | 0o777), "bomb": ("bomb.png", b"\0" * 10_000_000),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_entry_is_refused_and_named(name, tmp_path):
    with pytest.raises(Faulty) as fault:
        unpack([("a.zip", zipped(HOSTILE[name], ("good.png", b"x"), ("../two.png", b"y")))], tmp_path / "out")
    assert len(fault.value.faults) == 2 and any("two.png" in said for said in fault.value.faults)
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.name != "good.png"]


def test_sizes_are_counted_not_believed(tmp_path, monkeypatch):
    """A header may lie: what comes is what counts, of one file and of all."""
    data = bytearray(zipped(("a.png", b"\x01" * 5000), packed=zipfile.ZIP_STORED).getvalue())
    monkeypatch.setattr(arriving, "ENTRY", 1000)
    lying = bytes(data).replace((5000).to_bytes(4, "little"), (10).to_bytes(4, "little"))
    for content in (bytes(data), lying):
        with pytest.raises(Faulty, match=r"larger|damaged"):
            unpack([("a.zip", io.BytesIO(content))], tmp_path / "out")
    with pytest.raises(Faulty, match="larger"):
        unpack([("a.png", io.BytesIO(b"\x01" * 5000))], tmp_path / "two")
    monkeypatch.setattr(arriving, "WHOLE", 1500)
    with pytest.raises(Faulty, match="in all"):
        unpack([(f"{k}.png", io.BytesIO(b"x" * 900)) for k in range(2)], tmp_path / "three")
    monkeypatch.setattr(arriving, "FILES", 2)
    with pytest.raises(Faulty, match="at most 2"):
        unpack([("a.zip", zipped(*((f"{k}.png", b"x") for k in range(3))))], tmp_path / "four")
    assert sum(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file()) < 4000


def test_a_list_that_is_too_long_is_not_read(tmp_path, monkeypatch):
    many = zipped(*((f"{k}.png", b"") for k in range(60)))
    monkeypatch.setattr(arriving, "FILES", 5)
    monkeypatch.setattr(arriving.zipfile, "ZipFile", None)
    with pytest.raises(Faulty, match="too many files: send at most 5"):
        unpack([("many.zip", many)], tmp_path)


def test_damaged_zips_and_polyglots_are_no_surprise(tmp_path):
    whole = zipped(("a.png", b"x" * 1000), ("b.png", b"y" * 1000)).getvalue()
    for k in range(0, len(whole), 7):
        broken = whole[:k] + bytes([whole[k] ^ 0xFF]) + whole[k + 1 :]
        try:
            unpack([("a.zip", io.BytesIO(broken))], tmp_path / f"{k}")
        except Faulty as fault:
            assert fault.faults
    with pytest.raises(Faulty):
        unpack([("a.zip", io.BytesIO(b"\xff\xd8\xff" + whole[:-10] + b"PK\x05\x06" + b"\0" * 18))], tmp_path / "x")
    with pytest.raises(Faulty, match="no files"):
        unpack([], tmp_path / "none")
    assert not [p for p in tmp_path.iterdir() if p.is_file()]


def test_data_urls():
    assert arriving.data_url("data:image/png;base64,aGk=") == (b"hi", "image/png")
    for bad in ("data:image/png,aGk=", "http://x", "data:;base64,***"):
        with pytest.raises(Wrong, match="data URL"):
            arriving.data_url(bad)
