"""Write the pocket as a diffusers-format folder: half precision, shards, the record, the judges."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import save_file
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

from remembrandt.family.folder import index
from remembrandt.pocket import networks

SHARD = "12MB"
RECORD = {"name": "pocket", "size": networks.SIZE, "guidance": 5.0, "steps": 20, "sampler": "dpmpp-2m-karras"}


def write(
    folder: Path,
    revision: int,
    tokens: CLIPTokenizer,
    text: CLIPTextModelWithProjection,
    image: CLIPVisionModelWithProjection,
    vae: AutoencoderKL,
    unet: UNet2DConditionModel,
    judges: dict[str, Path],
) -> None:
    """Replace `folder` by a family that `DiffusionPipeline.from_pretrained(folder)` paints with, judges included."""
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    tokens.save_pretrained(part / "tokenizer")
    _text_encoder(text, part / "text_encoder")
    image.half().save_pretrained(part / "image_encoder")
    _single(part / "image_encoder")
    vae.half().save_pretrained(part / "vae")
    unet.half().save_pretrained(part / "unet", max_shard_size=SHARD)
    networks.scheduler().save_pretrained(part / "scheduler")
    networks.image_processor().save_pretrained(part / "feature_extractor")
    _add(part / "feature_extractor" / "preprocessor_config.json", remembrandt=networks.PREPROCESSING)
    for name, source in judges.items():
        shutil.copytree(source, part / "judges" / name)
    for name in ("unet", "vae"):
        _add(part / name / "config.json", _name_or_path="pocket")  # not where it was trained
    _dump(part / "remembrandt.json", RECORD | {"revision": revision})
    _dump(part / "model_index.json", index(extractor=True))
    shutil.rmtree(folder, ignore_errors=True)
    part.rename(folder)


def _text_encoder(text: CLIPTextModelWithProjection, folder: Path) -> None:
    """A plain CLIPTextModel for the painter; the projection into the shared space lies beside it."""
    from transformers import CLIPTextModel

    plain = CLIPTextModel(text.config)
    state = {k: v for k, v in text.state_dict().items() if k != "text_projection.weight"}
    known = set(plain.state_dict())
    plain.load_state_dict({k if k in known else k.removeprefix("text_model."): v for k, v in state.items()})
    plain.half().save_pretrained(folder)
    save_file({"weight": text.text_projection.weight.detach().half().contiguous()}, folder / "projection.safetensors")
    _single(folder)


def _single(folder: Path) -> None:
    """Half precision on disk, single in use: else half weights would meet float latents."""
    _add(folder / "config.json", dtype="float32")


def _add(path: Path, **entries) -> None:
    _dump(path, json.loads(path.read_text()) | entries)


def _dump(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
