"""Folders in diffusers' format: read, and written so that diffusers paints from them unchanged."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import CLIPTokenizer

from remembrandt.family import weights
from remembrandt.family.parts import Parts, config_of, noise, spelling
from remembrandt.family.weights import Lazy
from remembrandt.settings import Wrong

if TYPE_CHECKING:
    from remembrandt.family.family import Family

RECORD = "remembrandt.json"
FACTS = ("name", "revision", "size", "guidance", "steps", "sampler")
KEPT = ("judges", "feature_extractor", "text_encoder/projection.safetensors")
STEMS = {"unet": "diffusion_pytorch_model", "vae": "diffusion_pytorch_model"}
#: What the VAE folders of 1.x call their attention.
OLD = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def read(folder: Path) -> Parts:
    """What a folder says and holds."""
    networks = ["text_encoder", "unet", "vae"]
    missing = [n for n in [*networks, "tokenizer", "scheduler"] if not (folder / n).is_dir()]
    if missing:
        raise Wrong(
            f"{folder} is no family: it has no folder {missing[0]!r};"
            " give a diffusers folder of Stable Diffusion 1.x or 2.x, or one .safetensors file"
        )
    if (folder / "image_encoder").is_dir():
        networks.append("image_encoder")
    try:
        tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as fault:
        raise Wrong(f"{folder / 'tokenizer'} holds no CLIP tokenizer: {fault}") from None
    return Parts(
        folder,
        {name: _json(folder / name / "config.json") for name in networks},
        {name: read_network(name, folder / name) for name in networks},
        tokenizer,
        noise(_json(folder / "scheduler" / "scheduler_config.json")),
        facts(folder),
    )


def facts(folder: Path) -> dict[str, Any]:
    """The record of a folder: its name, and what `remembrandt.json` and the image processor say."""
    found: dict[str, Any] = {"name": folder.resolve().name}
    if (folder / RECORD).is_file():
        said = _json(folder / RECORD)
        found |= {k: said[k] for k in FACTS if said.get(k) is not None}
    seen = folder / "feature_extractor" / "preprocessor_config.json"
    if seen.is_file():
        found["resize"] = _json(seen).get("remembrandt", {})
    return found


def _json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except OSError:
        raise Wrong(f"{path} is missing: restore the folder") from None
    except ValueError as fault:
        raise Wrong(f"{path} is not JSON: {fault}") from None
    if not isinstance(found, dict):
        raise Wrong(f"{path} is not a JSON object")
    return found


def _named(name: str, lazy: Lazy) -> Lazy:
    """Older files' names to those of today's networks, and without what these do not hold."""
    if name == "text_encoder":
        return {
            weights.plain(key): tensor
            for key, tensor in lazy.items()
            if not key.endswith(("position_ids", "text_projection.weight"))
        }
    if name == "vae":
        return {_renamed(key): tensor for key, tensor in lazy.items()}
    return {k: tensor for k, tensor in lazy.items() if not k.endswith("position_ids")}


def _renamed(key: str) -> str:
    if ".attentions." in key:
        for old, new in OLD.items():
            key = key.replace(old, new)
    return key


def write(family: Family, folder: Path, limit: int = 2**32) -> Path:
    """Save a family in half precision, whole or not at all; `folder` must be new or empty."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Wrong(f"{folder} exists already: name a new folder")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        _write(family, part, limit)
        if folder.exists():
            folder.rmdir()
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return folder


def _write(family: Family, folder: Path, limit: int) -> None:
    networks: dict[str, Any] = {n: getattr(family, n) for n in ("text_encoder", "unet", "vae")}
    if family.image_encoder is not None:
        networks["image_encoder"] = family.image_encoder
    for name, network in networks.items():
        write_network(name, network, folder / name, limit)
    _tokenizer(family.tokenizer, folder / "tokenizer")
    (folder / "scheduler").mkdir()
    _dump(folder / "scheduler" / "scheduler_config.json", noise(family.scheduler))
    record = {"name": family.name, "revision": family.revision}
    record |= {k: getattr(family.record, k) for k in ("size", "guidance", "steps", "sampler")}
    _dump(folder / RECORD, record)
    if family.folder is not None:
        for kept in KEPT:
            _copy(family.folder / kept, folder / kept)
    _dump(folder / "model_index.json", index((folder / "feature_extractor").is_dir()))


def write_network(name: str, network: Any, folder: Path, limit: int = 2**32) -> None:
    """One network of a family, in half precision, into a folder that is not there yet."""
    folder.mkdir()
    lazy = weights.halved(weights.held(network))
    if name == "text_encoder":
        lazy = {f"text_model.{key}": tensor for key, tensor in lazy.items()}
    weights.write(lazy, folder, STEMS.get(name, "model"), limit)
    # Half on disk, single in use: else diffusers mixes half weights with float latents.
    single = {} if name in STEMS else {"dtype": "float32", "architectures": [type(network).__name__]}
    _dump(folder / "config.json", config_of(network) | single)


def read_network(name: str, folder: Path) -> Lazy:
    """The tensors of one network, by the names of today's class."""
    return _named(name, weights.opened_folder(folder))


def _tokenizer(tokenizer: CLIPTokenizer, folder: Path) -> None:
    """As transformers 5 saves it, and the two files that older versions read."""
    tokenizer.save_pretrained(folder)
    spelt = spelling(tokenizer)
    (folder / "vocab.json").write_text(json.dumps(spelt["vocab"], ensure_ascii=False))
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *spelt["merges"], ""]))


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target)
    elif source.is_file():
        shutil.copyfile(source, target)


def index(extractor: bool) -> dict[str, Any]:
    """The image encoder is ours to use: the pipeline takes one only for IP-adapters."""
    return {
        "_class_name": "StableDiffusionPipeline",
        "feature_extractor": ["transformers", "CLIPImageProcessor"] if extractor else [None, None],
        "image_encoder": [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }


def _dump(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
