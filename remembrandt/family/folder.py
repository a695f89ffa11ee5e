"""Folders in diffusers' format: read, and written so that diffusers paints from them unchanged."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import CLIPImageProcessor, CLIPTokenizer

from remembrandt.family import card, weights
from remembrandt.family.parts import Parts, config_of, noise, spelling
from remembrandt.family.weights import Lazy
from remembrandt.settings import Wrong

if TYPE_CHECKING:
    from remembrandt.family.family import Family

RECORD = "remembrandt.json"
FACTS = ("name", "revision", "kind", "slots", "size", "guidance", "steps", "sampler")
TEXT, VARIATIONS = "text-to-image", "variations"  # the kinds of families
#: Pipelines of kind `variations`; the second is Lambda's own, whose image encoder is a whole CLIP.
EMBEDDING = ("StableDiffusionImageVariationPipeline", "StableDiffusionImageEmbedPipeline")
SEEN = Path("feature_extractor") / "preprocessor_config.json"
CHECKER, LOWER = "safety_checker", "low_res_scheduler"
KEPT = ("judges", "feature_extractor", "text_encoder/projection.safetensors", CHECKER)
STEMS: dict[str, str] = dict.fromkeys(("unet", "vae", "controlnet"), "diffusion_pytorch_model")
#: What the VAE folders of 1.x call their attention.
OLD = {".query.": ".to_q.", ".key.": ".to_k.", ".value.": ".to_v.", ".proj_attn.": ".to_out.0."}


def read(folder: Path) -> Parts:
    """What a folder says and holds."""
    said = facts(folder)
    own = ["image_encoder"] if said.get("kind") == VARIATIONS else ["text_encoder", "tokenizer"]
    missing = [n for n in [*own, "unet", "vae", "scheduler"] if not (folder / n).is_dir()]
    if missing:
        raise Wrong(
            f"{folder} is no family: it has no folder {missing[0]!r};"
            " give a diffusers folder of Stable Diffusion 1.x or 2.x, or one .safetensors file"
        )
    reads = all((folder / n).is_dir() for n in ("text_encoder", "tokenizer"))
    networks = [n for n in ("text_encoder",) if reads] + ["unet", "vae"]
    networks += [n for n in ("image_encoder",) if (folder / n).is_dir()]
    if (folder / LOWER).is_dir():
        said["lower"] = noise(read_json(folder / LOWER / "scheduler_config.json"))
    return Parts(
        folder,
        {name: read_json(folder / name / "config.json") for name in networks},
        {name: read_network(name, folder / name) for name in networks},
        _read_tokenizer(folder / "tokenizer") if reads else None,
        noise(read_json(folder / "scheduler" / "scheduler_config.json")),
        said,
    )


def _read_tokenizer(folder: Path) -> CLIPTokenizer:
    try:
        return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError) as fault:
        raise Wrong(f"{folder} holds no CLIP tokenizer: {fault}") from None


def facts(folder: Path) -> dict[str, Any]:
    """The record of a folder: its name and kind, and what `remembrandt.json` and the image processor say."""
    found: dict[str, Any] = {"name": folder.resolve().name}
    listed = folder / "model_index.json"
    if listed.is_file() and read_json(listed).get("_class_name") in EMBEDDING:
        found["kind"] = VARIATIONS
    if (folder / RECORD).is_file():
        said = read_json(folder / RECORD)
        found |= {k: said[k] for k in FACTS if said.get(k) is not None}
    if (folder / SEEN).is_file() and (resize := read_json(folder / SEEN).get("remembrandt")):
        found["resize"] = resize
    return found


def read_json(path: Path) -> dict[str, Any]:
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
    if name == "image_encoder":  # of a whole CLIP, its image tower
        lazy = {k: tensor for k, tensor in lazy.items() if k.startswith(("vision_model.", "visual_projection."))}
    return {k: tensor for k, tensor in lazy.items() if not k.endswith("position_ids")}


def _renamed(key: str) -> str:
    if ".attentions." in key:
        for old, new in OLD.items():
            key = key.replace(old, new)
    return key


def write(family: Family, folder: Path, limit: int = 2**32) -> Path:
    """Save a family in half precision, whole or not at all; `folder` must be new or empty."""
    with new(folder) as part:
        _write(family, part, limit)
    return folder


@contextmanager
def new(folder: Path) -> Iterator[Path]:
    """A folder to write into that becomes `folder`, which must be new or empty, once all is written."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Wrong(f"{folder} exists already: name a new folder")
    part = folder.with_name(f".{folder.name}.{os.getpid()}.part")
    try:
        part.mkdir(parents=True)
        yield part
        if folder.exists():
            folder.rmdir()
        os.replace(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _write(family: Family, folder: Path, limit: int) -> None:
    for name in family.held:
        write_network(name, getattr(family, name), folder / name, limit)
    if family.reads:
        _tokenizer(family.tokenizer, folder / "tokenizer")
    (folder / "scheduler").mkdir()
    write_json(folder / "scheduler" / "scheduler_config.json", noise(family.scheduler))
    record = {"name": family.name, "revision": family.revision, "kind": family.kind}
    record |= {"slots": family.slots} if family.slots > 1 else {}
    record |= {k: getattr(family.record, k) for k in ("size", "guidance", "steps", "sampler")}
    write_json(folder / RECORD, record)
    if family.folder is not None:
        for kept in KEPT:
            _copy(family.folder / kept, folder / kept)
    if family.kind == VARIATIONS:
        _preprocessing(family, folder)
    if family.lower:
        (folder / LOWER).mkdir()
        write_json(folder / LOWER / "scheduler_config.json", {**family.lower, "_class_name": "DDPMScheduler"})
    more = family.unet.config["in_channels"] - family.channels
    write_json(folder / "model_index.json", index((folder / "feature_extractor").is_dir(), family.kind, more))


def _preprocessing(family: Family, folder: Path) -> None:
    """How the image encoder is to be shown pictures: for us as a record, for people as a snippet."""
    side, crop = family.eye, family.record.resize["fit"] == "crop"
    size = {"shortest_edge": side} if crop else {"height": side, "width": side}
    made = CLIPImageProcessor(size=size, crop_size={"height": side, "width": side}, do_center_crop=crop)
    shutil.rmtree(folder / SEEN.parent, ignore_errors=True)
    made.save_pretrained(folder / SEEN.parent)
    write_json(folder / SEEN, read_json(folder / SEEN) | {"remembrandt": dict(family.record.resize)})
    (folder / "README.md").write_text(card.of(family))


def write_network(name: str, network: Any, folder: Path, limit: int = 2**32) -> None:
    """One network of a family, in half precision, into a folder that is not there yet."""
    folder.mkdir()
    lazy = weights.halved(weights.held(network))
    if name == "text_encoder":
        lazy = {f"text_model.{key}": tensor for key, tensor in lazy.items()}
    weights.write(lazy, folder, STEMS.get(name, "model"), limit)
    # Half on disk, single in use: else diffusers mixes half weights with float latents.
    single = {} if name in STEMS else {"dtype": "float32", "architectures": [type(network).__name__]}
    write_json(folder / "config.json", config_of(network) | single)


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


#: The pipelines of Stable Diffusion by the channels that lie beside the latents, and what else they are made of.
PIPELINES: dict[int, tuple[str, dict[str, list]]] = {
    1: ("Depth2Img", {"depth_estimator": [None, None]}),
    3: ("Upscale", {LOWER: ["diffusers", "DDPMScheduler"], "watermarker": [None, None]}),
    5: ("Inpaint", {}),
}


def index(extractor: bool, kind: str = TEXT, more: int = 0) -> dict[str, Any]:
    """The image encoder of a family that reads is ours to use: its pipeline takes one only for IP-adapters."""
    sees = kind == VARIATIONS
    tower = {"image_encoder": ["transformers", "CLIPVisionModelWithProjection"] if sees else [None, None]}
    texts = {"text_encoder": ["transformers", "CLIPTextModel"], "tokenizer": ["transformers", "CLIPTokenizer"]}
    name, also = PIPELINES.get(more, ("", {}))
    return also | (tower if sees or not also else {}) | ({} if sees else texts) | {
        "_class_name": EMBEDDING[0] if sees else f"StableDiffusion{name}Pipeline",
        "feature_extractor": ["transformers", "CLIPImageProcessor"] if extractor else [None, None],
        "requires_safety_checker": False,
        "safety_checker": [None, None],
        "scheduler": ["diffusers", "DDIMScheduler"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }


def write_json(path: Path, content: dict) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
