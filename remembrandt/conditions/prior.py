"""From a text's embedding to a picture's: a diffusion prior, which gives a family of kind `variations` its token.

The network is diffusers' `PriorTransformer`, ours like Karlo's and Kandinsky 2.1's: it predicts the embedding itself,
under squared-cosine noise (Ramesh et al. 2022, section 2.2). A folder holds `prior/`, `scheduler/` (or
`prior_scheduler/`) and its own `text_encoder/` and `tokenizer/`; where it has none it reads with the family's own text
tower, and its `remembrandt.json` says which space it was trained in and how long an embedding is there.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import PriorTransformer, UnCLIPScheduler
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from remembrandt.conditions.image import PROJECTION
from remembrandt.family import folder as folders
from remembrandt.family import weights
from remembrandt.family.family import Family
from remembrandt.settings import Wrong

GUIDANCE, STEPS = 4.0, 25  # Karlo's and Kandinsky's
CANDIDATES = 2  # of which the one nearest to the text is taken
BROKEN = (OSError, ValueError, KeyError, TypeError, RuntimeError, SafetensorError)


@dataclass(frozen=True, eq=False)
class Said:
    """Texts as a prior hears them: embeddings (n, D), states (n, 77, D), and which of these are words (n, 77)."""

    embedding: Tensor
    states: Tensor
    mask: Tensor


@dataclass(frozen=True, eq=False)
class Prior:
    """`norm` is the length of an embedding in the family's space; None where the network's own mean and deviation say
    it. `reader` is its tokenizer and text tower, None where the family's are."""

    network: PriorTransformer
    scheduler: UnCLIPScheduler
    reader: tuple[Any, Any] | None
    norm: float | None = None
    guidance: float = GUIDANCE
    steps: int = STEPS

    def hear(self, family: Family, texts: list[str]) -> Said:
        """The texts, as it was trained to read them."""
        if self.reader is None:
            return heard(family, texts)
        tokenizer, tower = self.reader
        ids = tokenizer(texts, padding="max_length", max_length=77, truncation=True, return_tensors="pt")
        out = tower(ids.input_ids.to(family.device))
        return Said(out.text_embeds, out.last_hidden_state, ids.attention_mask.bool().to(family.device))


@torch.no_grad()
def imagined(prior: Prior, family: Family, text: str, seed: int, candidates: int = CANDIDATES) -> Tensor:
    """An embedding (D) that a picture of the text may have: of so many drawn the one nearest to the text."""
    said, draw = prior.hear(family, ["", text]), torch.Generator().manual_seed(seed)
    device, net = family.device, prior.network
    twice = [x.repeat_interleave(candidates, 0) for x in (said.embedding, said.states, said.mask)]
    x = torch.randn(candidates, net.config["embedding_dim"], generator=draw).to(device)
    schedule = UnCLIPScheduler.from_config(prior.scheduler.config)
    schedule.set_timesteps(prior.steps, device=device)  # type: ignore[union-attr]
    times = [*schedule.timesteps.tolist()]  # type: ignore[union-attr]
    for t, following in zip(times, [*times[1:], None], strict=True):
        both = net(
            torch.cat([x, x]), timestep=t, proj_embedding=twice[0], encoder_hidden_states=twice[1],
            attention_mask=twice[2],
        ).predicted_image_embedding  # fmt: skip
        blind, seeing = both.chunk(2)
        guided = torch.lerp(blind, seeing, prior.guidance)
        x = schedule.step(guided, t, x, following, generator=draw).prev_sample  # type: ignore[union-attr]
    found = net.post_process_latents(x)
    if prior.norm is not None:
        found = F.normalize(found, dim=-1) * prior.norm
    near = F.cosine_similarity(found, said.embedding[1:])
    return found[int(near.argmax())]


@torch.no_grad()
def heard(family: Family, texts: list[str]) -> Said:
    """Texts by the family's own text tower: its embeddings in the shared space, and its states projected there.

    `Wrong` if the family has none.
    """
    place = family.folder / PROJECTION if family.folder else None
    if not family.reads or place is None or not place.is_file():
        raise Wrong(f"{family.name} has no text tower beside its image encoder: give a --prior that brings its own")
    weight = load_file(place)["weight"].float().to(family.device)
    ids = family.tokenizer(texts, padding="max_length", truncation=True, return_tensors="pt")
    out = family.text_encoder(ids.input_ids.to(family.device))
    mask = ids.attention_mask.bool().to(family.device)
    return Said(out.pooler_output.float() @ weight.T, out.last_hidden_state.float() @ weight.T, mask)


def space(family: Family) -> str:
    """What a prior is trained for: a digest of the image encoder, whose embeddings it gives."""
    return weights.digest({"image_encoder": family.held["image_encoder"]})


@lru_cache(maxsize=1)
def opened(family: Family, folder: Path) -> Prior:
    """The prior in a folder; `Wrong` if there is none, or if it gives embeddings of another space than the family's."""
    if not (folder / "prior" / "config.json").is_file():
        raise Wrong(f"{folder} holds no prior: give a folder with prior/, as Karlo and Kandinsky 2.1 have")
    noise = next((p for n in ("prior_scheduler", "scheduler") if (p := folder / n).is_dir()), folder / "scheduler")
    local: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    said = folders.read_json(folder / folders.RECORD) if (folder / folders.RECORD).is_file() else {}
    _fits(family, folder, said)
    try:
        network = PriorTransformer.from_pretrained(folder / "prior", **local, torch_dtype=torch.float32)
        scheduler = UnCLIPScheduler.from_config(folders.read_json(noise / "scheduler_config.json"))
        reader = _reader(folder, family, local) if (folder / "text_encoder").is_dir() else None
    except BROKEN as fault:
        raise Wrong(f"the prior of {folder} cannot be read: {str(fault).splitlines()[0]}") from None
    nn.Module.to(network.requires_grad_(False).eval(), family.device)
    own = {key: said[key] for key in ("norm", "guidance", "steps") if said.get(key) is not None}
    return Prior(network, scheduler, reader, **own)  # type: ignore[arg-type]


def _reader(folder: Path, family: Family, local: dict[str, Any]) -> tuple[Any, Any]:
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    tower = CLIPTextModelWithProjection.from_pretrained(folder / "text_encoder", **local).float()
    nn.Module.to(tower, family.device)
    return CLIPTokenizer.from_pretrained(folder / "tokenizer", local_files_only=True), tower.eval()


def _fits(family: Family, folder: Path, said: dict[str, Any]) -> None:
    config = folders.read_json(folder / "prior" / "config.json")
    gives = config.get("clip_embed_dim") or config.get("embedding_dim")
    wants = family.unet.config["cross_attention_dim"]
    hint = "give a prior that was trained for its image encoder"
    if gives != wants:
        raise Wrong(f"the prior of {folder} gives embeddings of {gives} numbers, {family.name} takes {wants}: {hint}")
    if "space" in said and (family.image_encoder is None or said["space"] != space(family)):
        raise Wrong(f"the prior of {folder} was trained for another image encoder than that of {family.name}: {hint}")
