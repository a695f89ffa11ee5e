"""Task models as differences from a base: made whole, small, refused on another base."""

import copy
import json
from dataclasses import replace
from functools import partial

import pytest
import torch
from safetensors.torch import load_file, save_file

from remembrandt.conditions import image
from remembrandt.family import delta
from remembrandt.family import load as families
from remembrandt.family.load import save
from remembrandt.settings import Wrong
from tests.conftest import painter

load = partial(families.load, device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def base(tiny, pictured, tmp_path_factory):
    """A family with both towers, as the pocket is one, loaded from a folder by which it is found again."""
    place = save(replace(tiny, image_encoder=pictured.image_encoder), tmp_path_factory.mktemp("delta") / "base")
    projection = torch.randn(32, 32, generator=torch.Generator().manual_seed(2)).half()
    save_file({"weight": projection}, place / "text_encoder" / "projection.safetensors")
    return replace(load(place), name=str(place))


def tuned(base, by=0.02):
    """The UNet with everything moved but its convolutions."""
    unet = copy.deepcopy(base.unet)
    torch.manual_seed(5)
    for parameter in unet.parameters():
        if parameter.ndim != 4:
            parameter += by * torch.randn_like(parameter)
    return unet


def gap(a, b):
    pairs = [(x, b.state_dict()[k]) for k, x in a.state_dict().items()]
    return (sum(float((x - y).norm() ** 2) for x, y in pairs) / sum(float(y.norm() ** 2) for _, y in pairs)) ** 0.5


@pytest.mark.parametrize(("form", "error"), [("float8", 0.03), ("half", 0.001), ("low-rank", 0.9)])
def test_it_comes_back_as_near_as_it_says(form, error, base, tmp_path):
    unet = tuned(base)
    told = delta.save(base, unet, tmp_path / "it", name="it", form=form, facts={"revision": 2}, limit=200_000)
    back = load(tmp_path / "it")
    assert told.of_weights == pytest.approx(gap(back.unet, unet), rel=1e-3)
    assert 0 < told.of_difference <= error and told.of_weights < told.of_difference
    assert (back.name, back.revision, back.record) == ("it", "2", base.record)
    files = list((tmp_path / "it" / "unet").glob("*.safetensors"))
    assert len(files) > 1 and sum(len(load_file(f)) for f in files)
    assert not any("conv1.weight" in key for f in files for key in load_file(f))  # what did not move is not stored
    assert told.bytes <= {"float8": 1.1, "half": 2, "low-rank": 2}[form] * sum(
        p.numel() for p in unet.parameters() if p.ndim != 4
    )
    kept = json.loads((tmp_path / "it" / "remembrandt.json").read_text())
    assert kept["rounding"]["bytes"] == told.bytes


def test_a_low_rank_difference_is_kept(base, tmp_path):
    unet = copy.deepcopy(base.unet)
    layer = unet.get_submodule("mid_block.attentions.0.transformer_blocks.0.attn1.to_q")
    layer.weight += torch.outer(torch.randn(64), torch.randn(64)) / 8
    told = delta.save(base, unet, tmp_path / "it", name="it", form="low-rank", rank=2)
    assert told.of_difference < 1e-3 and told.bytes == 2 * 2 * 2 * 64


def test_variations_of_another_width_stand_on_the_towers_of_their_base(base, tmp_path):
    """As the embedded ones do: new keys and values, everything else from the base; and text can be mixed in."""
    torch.manual_seed(1)
    unet = painter(in_channels=9)
    delta.save(base, unet, tmp_path / "it", name="variations", kind="variations")
    back = load(tmp_path / "it")
    assert back.kind == "variations" and back.record.guidance == 3.0 and back.record.size == base.record.size
    assert back.unet.config["in_channels"] == 9 and back.unet.conv_in.weight.shape[1] == 9
    assert torch.allclose(back.unet.conv_in.weight, unet.conv_in.weight, atol=1e-3)
    assert image.spoken(back, ["a dog", "a red car"]).shape == (2, 32)
    whole = load(save(back, tmp_path / "whole"))  # an export is whole
    assert gap(whole.unet, back.unet) < 1e-3 and not delta.is_one(tmp_path / "whole") and whole.reads
    assert torch.allclose(image.spoken(whole, ["a dog"]), image.spoken(back, ["a dog"]))


def test_another_base_is_refused(base, tmp_path):
    delta.save(base, tuned(base), tmp_path / "it", name="it")
    record = tmp_path / "it" / "remembrandt.json"
    said = json.loads(record.read_text())
    record.write_text(json.dumps(said | {"base_digest": "0" * 64}))
    with pytest.raises(Wrong, match=r"was made of other weights of .* than are here") as fault:
        load(tmp_path / "it")
    assert "\n" not in str(fault.value)
    record.write_text(json.dumps(said | {"base": str(tmp_path / "nowhere")}))
    with pytest.raises(Wrong, match="there is no family"):
        load(tmp_path / "it")
    with pytest.raises(Wrong, match="exists already"):
        delta.save(base, base.unet, tmp_path / "it", name="it")
