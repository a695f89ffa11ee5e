"""The two files of an adapter."""

import json

import pytest
import torch

from remembrandt.adapters.adapter import Adapter, load, save
from remembrandt.settings import Wrong


@pytest.fixture
def one():
    draw = torch.Generator().manual_seed(0)
    tensors = {
        f"mid.attn1.{part}": {"q": torch.randn(2, 28, generator=draw)}
        for part in ("to_q", "to_out.0")
    }
    return Adapter("oft", tensors, {"block": 8, "angle": 60.0}, torch.randn(1, 32, generator=draw))


def test_round_trip(one, tmp_path):
    save(one, tmp_path, {"base": "abc", "concept": "brc"})
    back, manifest = load(tmp_path, base="abc")
    assert (
        back.kind == "oft"
        and back.settings == {"block": 8, "angle": 60.0}
        and manifest["concept"] == "brc"
    )
    assert torch.equal(back.rows, one.rows)
    assert back.tensors.keys() == one.tensors.keys()
    assert all(torch.equal(back.tensors[n]["q"], one.tensors[n]["q"]) for n in one.tensors)


def test_equal_adapters_are_equal_files(one, tmp_path):
    twin = Adapter("oft", dict(reversed(one.tensors.items())), one.settings, one.rows)
    save(one, tmp_path / "a", {"base": "abc", "concept": "x"})
    save(twin, tmp_path / "b", {"base": "abc", "concept": "y"})
    assert (tmp_path / "a/adapter.safetensors").read_bytes() == (
        tmp_path / "b/adapter.safetensors"
    ).read_bytes()
    assert {p.name for p in (tmp_path / "a").iterdir()} == {"adapter.safetensors", "manifest.json"}


def test_not_a_number_is_not_saved(one, tmp_path):
    one.tensors["mid.attn1.to_q"]["q"][0, 0] = float("inf")
    with pytest.raises(Wrong, match="finite"):
        save(one, tmp_path, {"base": "abc"})
    assert not list(tmp_path.iterdir())


def _other_base(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "base": "other"}))


def _flipped(folder):
    data = bytearray((folder / "adapter.safetensors").read_bytes())
    data[-3] ^= 1
    (folder / "adapter.safetensors").write_bytes(data)


@pytest.mark.parametrize(
    "harm",
    [
        _other_base,
        _flipped,
        lambda f: (f / "adapter.safetensors").write_bytes(b"no"),
        lambda f: (f / "adapter.safetensors").unlink(),
        lambda f: (f / "manifest.json").write_text("{"),
        lambda f: (f / "manifest.json").unlink(),
        lambda f: (f / "manifest.json").write_text("[]"),
    ],
)
def test_a_damaged_or_foreign_adapter_is_refused_in_one_line(one, tmp_path, harm):
    save(one, tmp_path, {"base": "abc"})
    harm(tmp_path)
    with pytest.raises(Wrong) as refusal:
        load(tmp_path, base="abc")
    assert "\n" not in str(refusal.value)
