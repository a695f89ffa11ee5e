"""Training of the pocket's judges, on renders degraded as a painter degrades them, and the gates they must pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from remembrandt.conditions.spatial import to_tensor
from remembrandt.evaluation.judges import Instances, Readers
from remembrandt.pocket import pictures
from remembrandt.pocket.disturbing import Smear, degrade, moved, recoloured


def readers() -> Readers:
    """Untrained readers for every word of the world."""
    from remembrandt.pocket.world import vocabulary as words

    return Readers(
        {"place": list(words.PLACES), "style": [*words.STYLES, *words.HELD_BACK], "relation": ["", *words.RELATIONS]},
        list(words.CATEGORIES),
        {"colour": list(words.COLOURS), "pattern": list(words.PATTERNS), "size": list(words.SIZES)},
    )


def truth(scene, config: dict) -> dict[str, Tensor]:
    """The right answers for one scene; -100 where there is nothing to read."""
    from remembrandt.pocket.world.scene import true_to_size
    from remembrandt.pocket.world.styles import STYLES

    lost = STYLES[scene.style].destroys
    whole = {n: torch.tensor(values.index(getattr(scene, n))) for n, values in config["whole"].items()}
    there = torch.zeros(len(config["categories"]))
    of = {n: torch.full((len(there),), -100) for n in config["attributes"]}
    for subject, true in zip(scene.subjects, true_to_size(scene), strict=True):
        k = config["categories"].index(subject.category)
        there[k] = 1
        for name, values in config["attributes"].items():
            hidden = name in lost or (name == "size" and not true)
            of[name][k] = -100 if hidden else values.index(getattr(subject, name))
    return whole | {"present": there} | of


def seen_of(scene, size: int = 128) -> np.ndarray:
    """How much of each pixel is which subject, float32 (2, size, size); of a subject that is not there nothing."""
    from remembrandt.pocket.world.scene import layers, order

    made, covered = layers(scene, size), np.ones((size, size), np.float32)
    shares = np.zeros((2, size, size), np.float32)
    for k in reversed(order(scene)):  # the nearest first
        alpha = made[k].rgba[..., 3].astype(np.float32) / 255
        shares[k], covered = alpha * covered, covered * (1 - alpha)
    return shares


SEEN = 80  # of 128 x 128 pixels: what changes fewer, a pattern on a seat that is sat on, nobody can name


def pattern_shows(scene, index: int) -> bool:
    """Whether the pattern of subject `index` can be seen: any other would change SEEN pixels by a tenth or more."""
    from remembrandt.pocket.world import vocabulary as words
    from remembrandt.pocket.world.scene import render

    def worn(pattern: str) -> np.ndarray:
        changed = [replace(s, pattern=pattern) if k == index else s for k, s in enumerate(scene.subjects)]
        return render(replace(scene, subjects=tuple(changed)), 128).astype(np.int16)

    own = scene.subjects[index].pattern
    shown = worn(own)
    return all((abs(worn(p) - shown).max(-1) > 25).sum() >= SEEN for p in words.PATTERNS if p != own)


def reader_loss(network: Readers, x: Tensor, answers: dict[str, Tensor]) -> Tensor:
    """Cross-entropy of everything that can be read off the batch, and of each map with where its thing is seen: from
    a map that points at a nose no size can be read."""
    x, answers = x.to(network.where.weight.device), {k: v.to(network.where.weight.device) for k, v in answers.items()}
    with torch.autocast(x.device.type, torch.bfloat16):
        out = network(x)
    total = 4 * F.binary_cross_entropy_with_logits(out["present"].float(), answers["present"])
    for name in network.config["whole"]:
        total = total + F.cross_entropy(out[name].float(), answers[name])
    for name in network.config["attributes"]:
        total = total + F.cross_entropy(out[name].float().flatten(0, 1), answers[name].flatten())
    shares = F.adaptive_avg_pool2d(answers["seen"], int(out["maps"].shape[-1] ** 0.5)).flatten(2)
    told = F.log_softmax(out["maps"].float(), -1).gather(1, answers["who"][..., None].expand_as(shares))
    return total - 0.5 * (told * shares).sum() / shares.sum()


Shard = Callable[[int], np.ndarray]


@dataclass(frozen=True)
class Kind:
    """A share of what a judge is shown: the first `shards` of `shard`, and which scene is number n there."""

    share: float
    shards: int
    shard: Shard
    scene: Callable[[int], object] = pictures.scene


def held_back(folder: Path, index: int) -> np.ndarray:
    """The scenes of shard `index` in held-back styles, which the painter's own shards must not show."""
    from remembrandt.pocket.world.scene import render

    first = pictures.SHARD * index
    return pictures.once(
        folder / f"held-back-{index:04d}.npy",
        lambda: np.stack([render(restyled(n), 128) for n in range(first, first + pictures.SHARD)]),
    )


def restyled(number: int):
    """Scene `number` in a held-back style."""
    from remembrandt.pocket.world import vocabulary as words

    return replace(pictures.scene(number), style=words.HELD_BACK[number % len(words.HELD_BACK)])


def reader_batches(kinds: Sequence[Kind], batch: int, seed: int, config: dict):
    """step -> (pixels, answers, with `who` (n, 2) are the subjects and where each is `seen` (n, 2, h, w))."""

    def make(step: int) -> tuple[Tensor, dict[str, Tensor]]:
        rng = np.random.default_rng([seed, step])
        images, answers, seen = [], [], []
        for k in rng.choice(len(kinds), batch, p=[kind.share for kind in kinds]):
            number = int(rng.integers(kinds[k].shards * pictures.SHARD))
            images.append(kinds[k].shard(number // pictures.SHARD)[number % pictures.SHARD])
            scene = kinds[k].scene(number)
            who = [config["categories"].index(s.category) for s in scene.subjects]
            answers.append(truth(scene, config) | {"who": torch.tensor((who * 2)[:2])})
            seen.append(seen_of(scene))
        both = moved(torch.cat([to_tensor(np.stack(images)), torch.from_numpy(np.stack(seen))], 1), rng)
        told = {name: torch.stack([a[name] for a in answers]) for name in answers[0]}
        return degrade(both[:, :3], rng), told | {"seen": both[:, 3:]}

    return make


def portraits(rng: np.random.Generator, subject, count: int, styles=None) -> list[np.ndarray]:
    """The same thing alone, in `count` scenes that share nothing but it."""
    from remembrandt.pocket.world import vocabulary as words
    from remembrandt.pocket.world.scene import render, sample

    made = []
    for _ in range(count):
        scene = sample(rng, pairs=0.0, signs=0.0, **({"styles": styles} if styles else {}))
        size = str(rng.choice(words.SIZES))
        made.append(render(replace(scene, subjects=(replace(subject, size=size),)), 128))
    return made


def litter(rng: np.random.Generator, instances: int, twins: float = 0.5):
    """Things of one category; in a share `twins` of litters all of one colour and pattern: only identity tells."""
    from remembrandt.pocket.world import vocabulary as words
    from remembrandt.pocket.world.scene import Subject

    category = str(rng.choice(list(words.CATEGORIES)))
    alike = rng.random() < twins
    first = (str(rng.choice(list(words.COLOURS))), str(rng.choice(words.PATTERNS)))
    made = []
    for _ in range(instances):
        coat = first if alike else (str(rng.choice(list(words.COLOURS))), str(rng.choice(words.PATTERNS)))
        made.append(Subject(category, *coat, "middle", int(rng.integers(2**31))))
    return made


LITTER, VIEWS = 10, 4  # instances of a litter and views of an instance, as they lie in a shard


def litters(folder: Path, index: int) -> np.ndarray:
    """SHARD portraits: litter by litter, instance by instance, view by view."""

    def make() -> np.ndarray:
        rng = np.random.default_rng([23, index])
        seen = []
        while len(seen) < pictures.SHARD:
            seen += [p for subject in litter(rng, LITTER) for p in portraits(rng, subject, VIEWS)]
        return np.stack(seen[: pictures.SHARD])

    return pictures.once(folder / f"litters-{index:04d}.npy", make)


def instance_batches(kinds: Sequence[Kind], groups: int, seed: int):
    """step -> (pixels, who): `groups` whole litters, every instance seen twice."""
    each = LITTER * VIEWS

    def make(step: int) -> tuple[Tensor, Tensor]:
        rng = np.random.default_rng([seed, step])
        images = []
        for k in rng.choice(len(kinds), groups, p=[kind.share for kind in kinds]):
            first = int(rng.integers(pictures.SHARD // each)) * each
            drawn = [first + k * VIEWS + v for k in range(LITTER) for v in rng.choice(VIEWS, 2, replace=False)]
            images.append(kinds[k].shard(int(rng.integers(kinds[k].shards)))[drawn])
        x = recoloured(moved(to_tensor(np.concatenate(images)), rng), rng)
        return degrade(x, rng), torch.arange(groups * LITTER).repeat_interleave(2)

    return make


def instance_loss(network: Instances, x: Tensor, who: Tensor, temperature: float = 0.1) -> Tensor:
    """Supervised contrast (Khosla et al. 2020, eq. 2)."""
    x, who = x.to(network.out.weight.device), who.to(network.out.weight.device)
    with torch.autocast(x.device.type, torch.bfloat16):
        seen = network(x)
    logits = seen @ seen.T / temperature
    logits = logits.masked_fill(torch.eye(len(x), dtype=torch.bool, device=x.device), -1e4)
    same = (who[:, None] == who[None]) & ~torch.eye(len(x), dtype=torch.bool, device=x.device)
    return -(F.log_softmax(logits, 1) * same).sum(1).div(same.sum(1)).mean()


@torch.inference_mode()
def reader_accuracy(network: Readers, numbers: range, smear: Smear | None = None, **wanted) -> dict[str, float]:
    """Accuracy per attribute on unseen renders; attributes a style declares to destroy are left out there."""
    from remembrandt.pocket.world.scene import render
    from remembrandt.pocket.world.styles import STYLES

    right: dict[str, list[bool]] = {}
    for start in range(numbers.start, numbers.stop, 50):
        scenes = [pictures.scene(n, **wanted) for n in range(start, min(start + 50, numbers.stop))]
        images = np.stack([render(s, 128) for s in scenes])
        out = network(to_tensor(smear(images, np.random.default_rng(start)) if smear else images))
        for i, scene in enumerate(scenes):
            answers, lost = truth(scene, network.config), STYLES[scene.style].destroys
            for index, subject in enumerate(scene.subjects):
                if "pattern" not in lost and not pattern_shows(scene, index):
                    answers["pattern"][network.config["categories"].index(subject.category)] = -100
            for name in network.config["whole"]:
                if name not in lost:
                    right.setdefault(name, []).append(bool(out[name][i].argmax() == answers[name]))
            there = answers["present"].nonzero().flatten()
            top = set(out["present"][i].topk(len(there)).indices.tolist())
            if "category" not in lost:
                right.setdefault("category", []).append(top == set(there.tolist()))
            for name in network.config["attributes"]:
                seen = [k for k in there if answers[name][k] >= 0]
                right.setdefault(name, []).extend(bool(out[name][i, k].argmax() == answers[name][k]) for k in seen)
    return {name: float(np.mean(hits)) for name, hits in right.items() if hits}


@torch.inference_mode()
def instance_auc(network: Instances, litters: int, seed: int, styles=None, twins: float = 0.0) -> float:
    """AUC of the cosine: same instance against another of its class, over places and styles, on unseen identities.

    The other has a colour and a pattern of its own; in a share `twins` of litters it has the same ones.
    """
    rng = np.random.default_rng([seed, 1])
    same, other = [], []
    for _ in range(litters):
        seen = [network(to_tensor(np.stack(portraits(rng, s, 2, styles)))) for s in litter(rng, 4, twins)]
        same += [float(v[0] @ v[1]) for v in seen]
        other += [float(a[i] @ b[j]) for a, b in combinations(seen, 2) for i in (0, 1) for j in (0, 1)]
    ranks = np.argsort(np.argsort(np.concatenate([same, other])))[: len(same)]
    return float((ranks.sum() - len(same) * (len(same) - 1) / 2) / (len(same) * len(other)))
