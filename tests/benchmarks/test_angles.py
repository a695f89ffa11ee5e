"""The benchmark of angles and magnitudes: what is kept of a layer is what it says, and its command from end to end."""

import json

import pytest
import torch
import torch.nn.functional as F
from torch import nn

pytest.importorskip("skia", reason="needs the extra [world]")

from benchmarks import angles


@pytest.mark.parametrize("layer", [nn.Linear(6, 5), nn.Conv2d(3, 5, 3, 2, 1), nn.Conv2d(3, 5, 1, bias=False)])
def test_what_is_kept(layer):
    """Cosines stay when the neurons are scaled, magnitudes when they are turned; both together are the layer."""
    torch.manual_seed(0)
    x = torch.randn(2, 7, 6) if isinstance(layer, nn.Linear) else torch.randn(2, 3, 9, 8)
    with torch.no_grad():
        y = layer(x)
        product, norms, seen = angles.parts(layer, x, y)
        if isinstance(layer, nn.Conv2d):
            patches = F.unfold(x, layer.kernel_size, layer.dilation, layer.padding, layer.stride)
            assert torch.allclose(seen.flatten(2), patches.norm(dim=1, keepdim=True), atol=1e-5)
        cosine = product / (norms * seen)
        assert cosine.abs().max() <= 1 + 1e-5
        before = angles.angles(layer, x, y), angles.magnitudes(layer, x, y)
        layer.weight *= 3
        again = angles.angles(layer, x, layer(x)), angles.magnitudes(layer, x, layer(x))
        bias = 0 if layer.bias is None else layer.bias.view(-1, *[1] * (y.dim() - 2 if y.dim() == 4 else 0))
        assert torch.allclose((again[0] - bias), 3 * (before[0] - bias), atol=1e-4)  # only the mean magnitude grew
        layer.weight.neg_()
        turned = angles.angles(layer, x, layer(x)), angles.magnitudes(layer, x, layer(x))
        assert torch.allclose(turned[1], again[1], atol=1e-5) and not torch.allclose(turned[0], again[0], atol=1e-2)


def test_hooks_are_taken_off_again():
    layer, x = nn.Linear(3, 3), torch.ones(1, 3)
    before = layer(x)
    with angles.keeping(layer, angles.magnitudes):
        assert not torch.equal(layer(x), before)
    assert torch.equal(layer(x), before)


def test_from_command_to_picture(judged, tmp_path):
    out = tmp_path / "angles.json"
    angles.main(["--tiny", "--base", str(judged), "--work", str(tmp_path), "-o", str(out)])
    found = json.loads(out.read_text())["kept"]
    assert list(found) == ["both", "angles only", "magnitudes only"] and out.with_suffix(".png").is_file()
    assert len({told["autoencoder_psnr"] for told in found.values()}) == 3
