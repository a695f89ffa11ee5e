"""LoRA files of other tools: diffusers (four spellings), peft and kohya, read; kohya's written, which all of them read.

Every name is looked up in the networks themselves, never taken apart: a layer is found whatever its tool puts between
its parts, and what is not found is told.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from remembrandt.adapters import lora
from remembrandt.adapters.adapter import TEXT, Adapter
from remembrandt.adapters.lora import DOWN, UP
from remembrandt.adapters.wear import stem
from remembrandt.family import names
from remembrandt.family.family import Family
from remembrandt.settings import Wrong

ALPHA = "alpha"
#: What follows a layer's name, and which half of its pair that is.
ENDINGS = {
    r"\.lora_down\.weight": DOWN,  # kohya
    r"\.lora_up\.weight": UP,
    r"\.alpha": ALPHA,
    r"\.lora_A(\.default)?\.weight": DOWN,  # peft, and diffusers since 0.22
    r"\.lora_B(\.default)?\.weight": UP,
    r"(_lora|\.lora|\.lora_linear_layer)\.down\.weight": DOWN,  # diffusers before that
    r"(_lora|\.lora|\.lora_linear_layer)\.up\.weight": UP,
}
ENDING = re.compile("(.*?)(?:" + "|".join(f"(?P<{half}{k}>{e})" for k, (e, half) in enumerate(ENDINGS.items())) + ")")
OTHERS = ("hada_", "lokr_", "lora_mid", "dora_scale", "lora_magnitude_vector", "oft_", "glora", ".diff", "ia3")
FOREIGN = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
UNET, ENCODER = "lora_unet_", "lora_te_"


@dataclass(frozen=True, eq=False)
class Found:
    """What a file holds for a family: an adapter, the keys that belong to no layer of it, and the file's metadata."""

    adapter: Adapter
    strangers: list[str]
    metadata: dict[str, str]


@dataclass
class Half:
    """What a file says of one layer."""

    key: str
    parts: dict[str, Tensor] = field(default_factory=dict)


def read(path: Path, family: Family) -> Found:
    """The LoRA in a `.safetensors` file, or in a folder that holds one, for a family's networks.

    `Wrong` if it is no LoRA, or would do nothing: no key is a layer's, or all it adds is zero.
    """
    path = _file(path)
    flat, metadata = _opened(path)
    odd = next((k for k in flat if any(word in k for word in OTHERS)), None)
    if odd:
        raise Wrong(f"{path.name} is no plain LoRA (it holds {odd}): merge it into a model with the tool that made it")
    scales, places = _scales(path, metadata), _places(family)
    layers, strangers = _grouped(flat, places)
    if not layers:
        example = f", for example {strangers[0]}" if strangers else ""
        raise Wrong(f"{path.name} would do nothing: none of its {len(flat)} keys is a layer of {family.name}{example}")
    tensors = {
        layer: _pair(path, layer, half, scales[layer.startswith(TEXT)], _module(family, layer))
        for layer, half in layers.items()
    }
    if not any(pair[UP].any() and pair[DOWN].any() for pair in tensors.values()):
        raise Wrong(f"{path.name} would do nothing: all that it adds is zero")
    return Found(Adapter("lora", tensors), strangers, metadata)


def kohya(adapter: Adapter) -> dict[str, Tensor]:
    """A LoRA by kohya's names, which diffusers, ComfyUI and A1111 read.

    One alpha for all layers, whatever their ranks: diffusers 0.42 overlooks any but the most frequent one.
    """
    flat, alpha = {}, float(max(len(pair[DOWN]) for pair in adapter.tensors.values()))
    for layer, pair in sorted(adapter.tensors.items()):
        text = layer.startswith(TEXT)
        name = layer.removeprefix(TEXT).replace(".", "_")
        key = f"{ENCODER}text_model_{name}" if text else UNET + name
        flat[f"{key}.lora_down.weight"] = pair[DOWN].detach().float().cpu().contiguous()
        flat[f"{key}.lora_up.weight"] = (pair[UP].detach().float() * (len(pair[DOWN]) / alpha)).cpu().contiguous()
        flat[f"{key}.alpha"] = torch.tensor(alpha)
    return flat


def _file(path: Path) -> Path:
    if path.is_dir():
        inside = sorted(path.glob("*.safetensors"))
        if len(inside) != 1:
            raise Wrong(f"{path} holds {len(inside)} .safetensors files: name one of them")
        return inside[0]
    if not path.is_file():
        raise Wrong(f"there is no file {path}")
    if path.suffix.lower() in FOREIGN:
        raise Wrong(f"{path.name} is a pickle, which can run code: convert it to .safetensors first")
    return path


def _opened(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    try:
        with safe_open(path, "pt") as file:
            return {key: file.get_tensor(key) for key in file.keys()}, file.metadata() or {}  # noqa: SIM118
    except (SafetensorError, OSError) as fault:
        raise Wrong(f"{path.name} is no .safetensors file: {fault}") from None


def _places(family: Family) -> dict[str, str]:
    """Layers by every name that files give them: `unet_` or `te_`, and their path with `_` for every dot."""
    found = {}
    linears = {n: m for n, m in family.unet.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)}
    old = names.unet([f"{n}.weight" for n in linears], family.unet.config)
    for name in linears:
        compvis = old[f"{name}.weight"].removeprefix("model.diffusion_model.").removesuffix(".weight")
        # Before 0.22 diffusers left the number out: to_out_lora.
        for known in (name, compvis, name.removesuffix(".0") if name.endswith("to_out.0") else name):
            found["unet_" + known.replace(".", "_")] = name
    for name, module in stem(family.text_encoder).named_modules():
        if isinstance(module, nn.Linear):
            found["te_" + name.replace(".", "_")] = TEXT + name
    return found


def _layer(key: str, places: Mapping[str, str]) -> str | None:
    """The layer that a key means. peft names no network, so that both are tried."""
    plain = key.removeprefix("base_model.model.").replace(".processor", "").replace(".", "_")
    for start, part in (("lora_unet_", "unet_"), ("unet_", "unet_"), ("lora_te_", "te_"), ("lora_te1_", "te_"),
                        ("text_encoder_", "te_"), ("", "unet_"), ("", "te_")):  # fmt: skip
        if plain.startswith(start):
            rest = plain.removeprefix(start)
            if found := places.get(part + rest.removeprefix("text_model_")):
                return found
    return None


def _grouped(flat: Mapping[str, Tensor], places: Mapping[str, str]) -> tuple[dict[str, Half], list[str]]:
    layers: dict[str, Half] = {}
    strangers = []
    for key, tensor in flat.items():
        split = ENDING.fullmatch(key)
        layer = _layer(split[1], places) if split else None
        if split is None or layer is None:
            strangers.append(key)
            continue
        half = next(name.rstrip("0123456789") for name, said in split.groupdict().items() if said)
        layers.setdefault(layer, Half(split[1])).parts[half] = tensor
    return layers, strangers


def _pair(path: Path, layer: str, half: Half, scale: Scale, module: nn.Module) -> dict[str, Tensor]:
    """`down` and `up` as our layer takes them, alpha / rank folded in."""
    if not {DOWN, UP} <= half.parts.keys():
        raise Wrong(f"{path.name} holds only a half of {layer}: the file is damaged")
    down, up = (half.parts[name].float() for name in (DOWN, UP))
    rank = len(down)
    alpha = float(half.parts[ALPHA]) if ALPHA in half.parts else scale.alpha(half.key, rank)
    # A projection is a 1 x 1 convolution in 1.x and a linear in 2.x; tools write either for either.
    more = (1, 1) if isinstance(module, nn.Conv2d) else ()
    down, up = (t.flatten(1)[(..., *(None for _ in more))] if t[0, 0].numel() == 1 else t for t in (down, up))
    if up.ndim < 2 or up.shape[1] != rank or not lora.fits(module, down, up):
        raise Wrong(f"{path.name} was made for another kind of model: {layer} has other sizes there")
    return {DOWN: down.contiguous(), UP: up * (alpha / rank)}


@dataclass(frozen=True)
class Scale:
    """peft's configuration of one network: alpha where nothing else is said, and by parts of a layer's name."""

    default: float | None = None
    patterns: Mapping[str, float] = field(default_factory=dict)
    root: bool = False  # rank-stabilised: alpha / sqrt(rank)

    def alpha(self, key: str, rank: int) -> float:
        said = next((a for part, a in self.patterns.items() if re.search(rf"(^|\.){part}$", key)), self.default)
        if said is None:
            return rank
        return said * rank**0.5 if self.root else said


def _scales(path: Path, metadata: Mapping[str, str]) -> dict[bool, Scale]:
    """The UNet's (False) and the text encoder's (True), from `adapter_config.json` beside the file, as peft writes

    it for either, or from the header, as diffusers does for both.
    """
    beside, key = path.with_name("adapter_config.json"), "lora_adapter_metadata"
    try:
        said = json.loads(beside.read_text() if beside.is_file() else metadata.get(key, "{}"))
        return {text: _scale(path, said, f"{'text_encoder' if text else 'unet'}.") for text in (False, True)}
    except (ValueError, TypeError, AttributeError, KeyError) as fault:
        if isinstance(fault, Wrong):
            raise
        raise Wrong(f"the configuration of {path.name} cannot be read: {fault}") from None


def _scale(path: Path, said: Mapping[str, Any], network: str) -> Scale:
    own = {k.removeprefix(network): v for k, v in said.items() if k.startswith(network) or "." not in k}
    if own.get("use_dora"):
        raise Wrong(f"{path.name} is no plain LoRA (use_dora): merge it into a model with the tool that made it")
    patterns = {k: float(v) for k, v in (own.get("alpha_pattern") or {}).items()}
    default = own.get("lora_alpha")
    return Scale(None if default is None else float(default), patterns, bool(own.get("use_rslora")))


def _module(family: Family, layer: str) -> nn.Module:
    if layer.startswith(TEXT):
        return stem(family.text_encoder).get_submodule(layer.removeprefix(TEXT))
    return family.unet.get_submodule(layer)
