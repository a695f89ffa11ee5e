"""The pocket's CLIP: a text and an image tower, trained by contrast before the painter and frozen for it.

Captions with one fact changed are extra wrong answers (else nothing asks which colour belongs to which thing). The
painter reads the state of every word, and contrast trains only the last: so each state must also name its own word and
those before it, by angle, since what hardly turns a state hardly moves a picture. A picture's embedding must name all
words of its caption: contrast alone is won by colour, place and style, and variations would forget the thing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextModelWithProjection, CLIPTokenizer, CLIPVisionModelWithProjection

from remembrandt.conditions.image import preprocessed
from remembrandt.pocket import pictures
from remembrandt.pocket.networks import EYE, PREPROCESSING, SHARED, WIDTH

SHARPNESS = 12.0  # of naming by cosine: to tell 1,300 words apart at it takes cosines half a unit apart
CAPTIONED = 3.0  # the weight of naming a picture beside contrast
SEEING = 40.0  # of naming a picture: ten words at once leave each a cosine of a third at most
FADING = 0.6  # a word's state names the word before it this much less than itself, and so on


def look(images: np.ndarray) -> Tensor:
    """uint8 (n, h, w, 3) -> what the image tower sees, by the preprocessing that the family records."""
    return preprocessed(images, PREPROCESSING, EYE)


def captions(number: int, draw: int) -> tuple[str, str]:
    """A caption of scene `number` and the same sentence about a scene in which one thing is otherwise."""
    from remembrandt.pocket.world.captions import caption

    scene = pictures.scene(number)
    rng = np.random.default_rng([13, number, draw])
    right = caption(scene, np.random.default_rng([17, number, draw]))
    wrong = caption(altered(scene, rng), np.random.default_rng([17, number, draw]))
    return right, wrong


def altered(scene, rng: np.random.Generator):
    """`scene` with the things' colours or patterns exchanged, or one attribute of one thing or the place changed."""
    from remembrandt.pocket.world import vocabulary as words
    from remembrandt.pocket.world.scene import seats

    subjects = list(scene.subjects)
    if len(subjects) == 2 and rng.random() < 0.6:
        a, b = subjects
        subjects = [replace(a, colour=b.colour, pattern=b.pattern), replace(b, colour=a.colour, pattern=a.pattern)]
        return replace(scene, subjects=tuple(subjects))
    options = {"colour": words.COLOURS, "pattern": words.PATTERNS, "category": words.CATEGORIES, "size": words.SIZES}
    field = rng.choice([*options, "place", "style"])
    if field == "place":
        return replace(scene, place=str(rng.choice([p for p in words.PLACES if p != scene.place])))
    if field == "style":
        return replace(scene, style=str(rng.choice([s for s in words.STYLES if s != scene.style])))
    k = int(rng.integers(len(subjects)))
    others = [o for o in options[field] if o != getattr(subjects[k], field)]
    if field == "category" and scene.relation == "on top of" and k == 1:
        others = [o for o in others if o in seats()]
    subjects[k] = replace(subjects[k], **{field: str(rng.choice(others))})
    return replace(scene, subjects=tuple(subjects))


class Names(nn.Module):
    """What the towers are taught with and do not keep: the contrast's scale, and the words (words, width) as a text's
    states and a picture's embedding have to name them."""

    def __init__(self, words: int):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(2.66))
        self.said = nn.Parameter(torch.randn(words, WIDTH))
        self.seen = nn.Parameter(torch.randn(words, SHARED))


def loss(
    text: CLIPTextModelWithProjection,
    image: CLIPVisionModelWithProjection,
    names: Names,
    tokens: CLIPTokenizer,
    batch: tuple[Tensor, list[str], list[str]],
) -> Tensor:
    """Contrast of (n, 3, EYE, EYE) pixels with n captions and n changed captions (Radford et al. 2021, figure 3), and
    `naming` by both towers."""
    pixels, right, wrong = batch[0].to(image.device), *batch[1:]
    coded = tokens(right + wrong, padding="longest", truncation=True, return_tensors="pt").to(pixels.device)
    with torch.autocast(pixels.device.type, torch.bfloat16):
        out = text(coded.input_ids)
        shown = image(pixels).image_embeds.float()
    said = out.text_embeds.float()
    match = names.scale.exp().clamp(max=100) * F.normalize(shown, dim=-1) @ F.normalize(said, dim=-1).T
    same = torch.tensor([[r == w for w in right + wrong] for r in right], device=pixels.device)
    truth = torch.arange(len(right), device=pixels.device)
    same[truth, truth] = False
    match = match.masked_fill(same, -1e4)
    contrast = F.cross_entropy(match, truth) + F.cross_entropy(match[:, : len(right)].T, truth)
    ids, mask = coded.input_ids, coded.attention_mask
    contrast = contrast + CAPTIONED * captioned(shown, names.seen, ids[: len(right)], mask[: len(right)])
    if not said.requires_grad:  # a text tower that stands
        return contrast
    return contrast + 0.5 * naming(out.last_hidden_state.float(), names.said, ids, mask)


def captioned(shown: Tensor, names: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of embeddings (n, width) at saying, by cosine with `names`, the words of their captions alike."""
    said = F.log_softmax(SEEING * F.normalize(shown, dim=-1) @ F.normalize(names, dim=-1).T, dim=-1)
    ends = mask.sum(1, keepdim=True) - 1
    place = torch.arange(ids.shape[1], device=ids.device)
    word = (place > 0) & (place < ends)
    return -((said.gather(1, ids) * word).sum(1) / word.sum(1)).mean()


def naming(states: Tensor, names: Tensor, ids: Tensor, mask: Tensor) -> Tensor:
    """Cross-entropy of states (n, length, width) at saying, by cosine with `names`, their word and those before it, the
    nearer the more; the last state says all words alike. `mask` is 1 up to and with the end of the text."""
    place = torch.arange(ids.shape[1], device=ids.device)
    back = (place[:, None] - place).float()
    weight = (FADING**back).where(back >= 0, 0.0).expand(len(ids), -1, -1)
    end = place == mask.sum(1, keepdim=True) - 1
    weight = torch.where(end[..., None], mask[:, None].float(), weight)
    said = F.log_softmax(SHARPNESS * F.normalize(states, dim=-1) @ F.normalize(names, dim=-1).T, dim=-1)
    each = said.gather(2, ids[:, None].expand(-1, ids.shape[1], -1))
    return -((each * weight).sum(2) / weight.sum(2))[mask.bool()].mean()


def batches(shard: Callable[[int], np.ndarray], shards: int, batch: int, seed: int):
    """step -> (pixels, captions, changed captions)."""

    def make(step: int) -> tuple[Tensor, list[str], list[str]]:
        rng = np.random.default_rng([seed, step])
        numbers = rng.integers(0, shards * pictures.SHARD, batch)
        said = [captions(int(n), step) for n in numbers]
        images = np.stack([shard(int(n) // pictures.SHARD)[int(n) % pictures.SHARD] for n in numbers])
        return look(images), [r for r, _ in said], [w for _, w in said]

    return make


@torch.no_grad()
def retrieval(text, image, tokens, numbers: range) -> float:
    """Share of unseen scenes whose own caption is nearest among as many captions as `numbers` has."""
    seen = look(np.stack([pictures.picture(n) for n in numbers]))
    said = tokens([captions(n, 0)[0] for n in numbers], padding="longest", truncation=True, return_tensors="pt")
    a = F.normalize(image(seen).image_embeds, dim=-1)
    b = F.normalize(text(said.input_ids).text_embeds, dim=-1)
    return float(((a @ b.T).argmax(1) == torch.arange(len(a))).float().mean())
