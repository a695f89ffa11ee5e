"""Folders: what is saved comes back and paints in diffusers; what is not sound is refused."""

import json
import shutil
import struct
import subprocess
import sys
from functools import partial
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from remembrandt.conditions import text
from remembrandt.diffusion.schedule import GRIDS
from remembrandt.family import load as families
from remembrandt.family import weights
from remembrandt.family.device import training_precision
from remembrandt.family.load import choose_device, choose_precision, save
from remembrandt.settings import Wrong
from tests.family.test_single_file import same

load = partial(families.load, device="cpu")
UNET = "unet/diffusion_pytorch_model.safetensors"


@pytest.fixture
def folder(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "copy")


def test_a_family_comes_back(tiny, tiny_folder):
    back = load(tiny_folder, precision="fp32")
    assert same(back, tiny) and back.digest == tiny.digest
    assert (back.name, back.revision, back.record) == ("tiny", "1", tiny.record)
    assert back.folder == tiny_folder and not back.unet.training
    assert not any(p.requires_grad for p in back.unet.parameters())
    assert (back.factor, back.channels) == (8, 4)


def test_on_disk_it_is_half_and_says_so(tiny_folder):
    for file in tiny_folder.rglob("*.safetensors"):
        assert all(t.dtype == torch.float16 for t in load_file(file).values())
    config = json.loads((tiny_folder / "text_encoder/config.json").read_text())
    assert config["dtype"] == "float32" and config["architectures"] == ["CLIPTextModel"]  # diffusers' scripts read it
    scheduler = json.loads((tiny_folder / "scheduler/scheduler_config.json").read_text())
    assert scheduler["timestep_spacing"] == "leading" and scheduler["steps_offset"] == 1
    assert not scheduler["clip_sample"] and not scheduler["set_alpha_to_one"]


def test_shards(tiny, tmp_path):
    place = save(tiny, tmp_path / "sharded", limit=200_000)
    assert len(list((place / "unet").glob("*.safetensors"))) > 3
    back = load(place, precision="fp32")
    assert same(back, tiny) and back.digest == tiny.digest


PIPELINE = """
import sys
import numpy as np, torch
from diffusers import StableDiffusionPipeline
folder, noise, out = sys.argv[1:]
pipe = StableDiffusionPipeline.from_pretrained(folder)
pipe.set_progress_bar_config(disable=True)
start = torch.from_numpy(np.load(noise))
np.save(out, pipe("a red dog", latents=start, num_inference_steps=6, guidance_scale=4.0,
                  output_type="np").images)
"""


@torch.no_grad()
def test_diffusers_paints_the_same_from_it_without_arguments(tiny, tmp_path):  # details 27
    place = save(tiny, tmp_path / "sharded", limit=200_000)
    noise = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))
    np.save(tmp_path / "noise.npy", noise.numpy())
    arguments = [place, tmp_path / "noise.npy", tmp_path / "out.npy"]
    subprocess.run([sys.executable, "-c", PIPELINE, *map(str, arguments)], check=True)
    theirs = np.load(tmp_path / "out.npy") * 255

    family = load(place, precision="fp32")
    tokens = text.encode(family, ["", "a red dog"])
    sigmas = [*GRIDS["leading"](family.schedule, 6), family.schedule.sigma_min]
    x = noise * (sigmas[0] ** 2 + 1) ** 0.5
    for sigma, following in pairwise(sigmas):  # DDIM is Euler here
        level, time = torch.tensor([sigma] * 2), torch.tensor([family.schedule.t(sigma)] * 2)
        nothing, prompt = family.denoise(x.repeat(2, 1, 1, 1), level, time.round(), tokens)
        x0 = nothing + 4.0 * (prompt - nothing)
        x = x + (x - x0) / sigma * (following - sigma)
    ours = family.decode(x / (sigmas[-1] ** 2 + 1) ** 0.5)
    difference = np.abs(ours - theirs.round())
    assert difference.mean() <= 0.05 and difference.max() <= 2
    assert ours.std() > 5


def test_saving_is_whole_or_not_at_all(tiny, tmp_path, monkeypatch):
    def full(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("remembrandt.family.folder._tokenizer", full)
    with pytest.raises(OSError):
        save(tiny, tmp_path / "it")
    assert not list(tmp_path.iterdir())
    (tmp_path / "mine.txt").write_text("precious")
    with pytest.raises(Wrong, match="exists already"):
        save(tiny, tmp_path)


def test_pickles_are_refused(folder, tmp_path):
    for suffix in (".ckpt", ".pt", ".bin", ".pth"):
        (tmp_path / f"it{suffix}").write_bytes(b"")
        with pytest.raises(Wrong, match="pickle"):
            load(tmp_path / f"it{suffix}")
    (folder / UNET).unlink()
    torch.save({}, folder / "unet" / "diffusion_pytorch_model.bin")
    with pytest.raises(Wrong, match="pickled weights"):
        load(folder)
    torch.save({}, folder / UNET)  # in disguise
    with pytest.raises(Wrong, match="not a sound safetensors file"):
        load(folder)


def header(entries) -> bytes:
    data = json.dumps(entries).encode()
    return struct.pack("<Q", len(data)) + data


F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff" * 64,
        struct.pack("<Q", 1 << 40) + b"{}",
        header([1, 2]),
        header({"a": F32}),  # outside of the file
        header({"a": F32 | {"shape": [3]}}) + bytes(8),
        header({"a": F32 | {"shape": [-2]}}) + bytes(8),
        header({"a": F32 | {"data_offsets": [-8, 0]}}) + bytes(8),
        header({"a": F32 | {"dtype": "OBJECT"}}) + bytes(8),
        header({"a": F32, "b": F32}) + bytes(8),  # overlapping
        header({"a": 7}),
    ],
)
def test_an_unsound_header_is_refused(content, tmp_path):
    path = tmp_path / "it.safetensors"
    path.write_bytes(content)
    with pytest.raises(Wrong, match="not a sound safetensors file"):
        weights.opened(path)


def changed(path, change):
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_weights_that_do_not_fit_are_refused(folder, tiny_folder):
    def refused(change, match):
        changed(folder / UNET, change)
        with pytest.raises(Wrong, match=match):
            load(folder)
        shutil.copyfile(tiny_folder / UNET, folder / UNET)

    refused(lambda t: t.pop("conv_in.bias"), "lacks 'conv_in.bias'")
    refused(lambda t: t.update(more=torch.zeros(1)), "unknown 'more'")
    refused(lambda t: t.update({"conv_in.bias": torch.zeros(7)}), r"conv_in.bias is \(7,\)")
    refused(lambda t: t["conv_in.bias"].fill_(torch.nan), "not finite in 'conv_in.bias'")


def test_an_index_that_points_elsewhere_is_refused(tiny, tmp_path):
    place = save(tiny, tmp_path / "it", limit=200_000)
    index = next((place / "unet").glob("*.index.json"))
    index.write_text(index.read_text().replace("diffusion_pytorch_model-00001", "../vae/x-00001"))
    with pytest.raises(Wrong, match="does not describe its shards"):
        load(place)


def test_older_folders(folder, tiny):
    """1.x as published: old names in the VAE, position numbers, another sampler, no record."""

    def old(tensors):
        for new, was in (("to_q", "query"), ("to_k", "key"), ("to_v", "value")):
            for key in [k for k in tensors if f".{new}." in k]:
                tensors[key.replace(new, was)] = tensors.pop(key)
        for key in [k for k in tensors if ".to_out.0." in k]:
            tensors[key.replace("to_out.0", "proj_attn")] = tensors.pop(key)

    changed(folder / "vae/diffusion_pytorch_model.safetensors", old)
    place = "text_model.embeddings.position_ids"
    changed(
        folder / "text_encoder/model.safetensors",
        lambda t: t.update({place: torch.arange(77)[None]}),
    )
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (folder / "tokenizer" / name).unlink()
    (folder / "remembrandt.json").unlink()
    config = {"_class_name": "PNDMScheduler", "beta_start": 0.00085, "beta_end": 0.012}
    config |= {"beta_schedule": "scaled_linear", "skip_prk_steps": True}
    (folder / "scheduler/scheduler_config.json").write_text(json.dumps(config))
    back = load(folder, precision="fp32")
    assert same(back, tiny) and back.digest == tiny.digest
    assert torch.equal(back.schedule.alphas_cumprod, tiny.schedule.alphas_cumprod)
    assert (back.name, back.revision, back.record.size) == ("copy", None, 128)
    assert torch.equal(text.encode(back, ["a red dog"]), text.encode(tiny, ["a red dog"]))


def test_an_old_end_of_text_is_read_as_the_tokenizers(folder):  # details 11
    config = json.loads((folder / "text_encoder/config.json").read_text())
    (folder / "text_encoder/config.json").write_text(json.dumps(config | {"eos_token_id": 2}))
    family = load(folder, precision="fp32")
    tokenizer, encoder = family.tokenizer, family.text_encoder
    assert encoder.config.eos_token_id == tokenizer.eos_token_id != 2
    tokenizer.add_tokens(["brc"])
    encoder.resize_token_embeddings(len(tokenizer))
    ids = tokenizer("a brc dog", return_tensors="pt").input_ids[0]
    assert ids.argmax() == 2 and ids[4] == tokenizer.eos_token_id
    out = encoder(ids[None])
    assert torch.equal(out.pooler_output, out.last_hidden_state[:, 4])


def test_what_is_not_there_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for source, match in {
        "no such thing": "there is no family",
        "./nowhere": "there is no family",
        "nobody/nothing@main": "families pull nobody/nothing@main",
        str(tmp_path): "has no folder 'text_encoder'",
    }.items():
        with pytest.raises(Wrong, match=match) as fault:
            load(source)
        assert "\n" not in str(fault.value)


def test_devices_and_precisions(tiny_folder, monkeypatch):
    cpu = torch.device("cpu")
    assert choose_device("cpu") == cpu
    for wrong in ("gpu", "cuda:77", "cpux", "meta"):
        with pytest.raises(Wrong):
            choose_device(wrong)
    with pytest.raises(Wrong, match="precision"):
        load(tiny_folder, precision="fp8")
    able: dict[str, bool] = {}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able)
    assert choose_precision(cpu) == "fp32"
    able["avx512_bf16"] = True
    assert choose_precision(cpu) == "bf16"
    assert choose_precision(torch.device("cuda")) == choose_precision(torch.device("mps")) == "fp16"
    assert training_precision(torch.device("mps"), "fp16") == "fp32"  # no lesson in fp16: its gradients vanish
    assert training_precision(cpu, "bf16") == "bf16"
    monkeypatch.setattr(families, "choose_device", lambda asked: cpu)
    family = load(tiny_folder)
    assert family.dtype == family.unet.dtype == torch.bfloat16 and family.precision == "bf16"
    assert family.vae.dtype == family.text_encoder.dtype == torch.float32
    half = load(tiny_folder, precision="fp16")
    assert {half.unet.dtype, half.vae.dtype, half.text_encoder.dtype} == {torch.float16}
    assert half.digest == family.digest == load(tiny_folder, precision="fp32").digest
