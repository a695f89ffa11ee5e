"""`make weights`: renders, trains, evaluates and writes the pocket, stage by stage; what is finished is not done again.

Each stage is a function of the work folder that leaves its result there; killed, it goes on from its checkpoint. After
the family is written its models for variations and for inpainting are made from it. Tokenizer, autoencoder and towers
are frozen: unless asked for by `--only` or `--afresh`, they are taken as shipped.
"""

from __future__ import annotations

import argparse
import shutil
import time
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from torch import nn

from remembrandt.diffusion.schedule import scaled_linear
from remembrandt.evaluation import judges
from remembrandt.pocket import autoencoder, inpainted, judging, networks, paint, pictures, safety, towers, varied
from remembrandt.pocket.disturbing import Smear
from remembrandt.pocket.stage import RESULT, UNFINISHED, Sizes, Stopped, Work, begun, train
from remembrandt.pocket.write import write
from remembrandt.training.loop import Plan


def render(work: Work) -> None:
    pictures.render(pictures.shard, work / "pictures", work.sizes.shards)


def make_autoencoder(work: Work) -> None:
    net = begun(work, "vae", networks.autoencoder())
    s = work.sizes
    small = autoencoder.batches(work / "pictures", s.shards, 24, work.chance(1))
    large = autoencoder.batches(work / "pictures", s.shards, 8, work.chance(2))

    def loss(step: int) -> torch.Tensor:
        if step >= s.autoencoder - s.whole:
            return autoencoder.finish(net, large(step, 128))
        return autoencoder.loss(net, small(step, 64), torch.Generator().manual_seed(step))

    rate = 4e-4 if work.shipped else 1e-3  # what has learned much is easily shaken
    train(work, "autoencoder", {"vae": net}, loss, Plan(s.autoencoder, rate, warmup=100, decay="cosine", ema=0.998))
    net.register_to_config(scaling_factor=1.0)  # what the latents that are measured now are multiplied by
    scale = 1 / float(np.std(paint.encoded(net, pictures.shard(work / "pictures", 0))[:, :4].astype(np.float32)))
    net.register_to_config(scaling_factor=round(scale, 5))
    net.save_pretrained(work / "autoencoder" / RESULT)


def make_towers(work: Work) -> None:
    """Tokenizer, text tower, image tower and both projections."""
    from remembrandt.pocket.world.captions import lexicon
    from remembrandt.pocket.world.vocabulary import SYLLABLES

    if work.shipped:  # the painter, and all that was ever taught, reads its text tower's states: only the eye learns
        tokens, text = shipped_tokens(work), shipped_text(work.out).requires_grad_(False)
    else:
        tokens = networks.tokenizer([*lexicon(), *SYLLABLES], work / "towers" / "tokenizer")
        text = networks.text_tower(tokens)
    image, names = begun(work, "image_encoder", networks.image_tower()), towers.Names(len(tokens))
    image.set_attn_implementation("eager")  # on a CPU half the time of torch's fused attention, whose backward is slow
    make = towers.batches(partial(pictures.shard, work / "pictures"), work.sizes.shards, 64, work.chance(3))
    train(
        work, "towers", {"text": text, "image": image, "names": names},
        lambda step: towers.loss(text, image, names, tokens, make(step)),
        Plan(work.sizes.towers, 1e-3, warmup=100, decay="cosine", weight_decay=0.05, beta2=0.98, ema=0.99),
    )  # fmt: skip
    text.save_pretrained(work / "towers" / RESULT / "text")
    image.save_pretrained(work / "towers" / RESULT / "image")


def make_painter(work: Work) -> None:
    """The UNet, on cached latents and the frozen text tower's states."""
    tokens, text = text_of(work)
    s, schedule, unet = work.sizes, scaled_linear(), begun(work, "unet", networks.painter())
    nn.Module.to(text, work.device)
    latent = partial(paint.latents, autoencoder_of(work), work / "pictures")
    make = paint.batches(latent, range(s.shards), s.batch, work.chance(4))
    train(
        work, "painter", {"unet": unet},
        lambda step: paint.loss(unet, text, tokens, schedule, make(step), (work.chance(8), step)),
        Plan(s.painter, 6e-4, warmup=300, decay="cosine", weight_decay=0.01, ema=0.999),
    )  # fmt: skip
    unet.save_pretrained(work / "painter" / RESULT)


def autoencoder_of(work: Work) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(work / "autoencoder" / RESULT).eval().requires_grad_(False)


def text_of(work: Work):
    """Tokenizer and text tower, locked."""
    from transformers import CLIPTextModelWithProjection, CLIPTokenizer

    tokens = CLIPTokenizer.from_pretrained(work / "towers" / "tokenizer")
    text = CLIPTextModelWithProjection.from_pretrained(work / "towers" / RESULT / "text")
    return tokens, text.eval().requires_grad_(False)


def smeared(work: Work, name: str, shard: judging.Shard) -> judging.Shard:
    """That shard as a painter would leave it, made once."""

    @cache
    def smear() -> Smear:
        tokens, text = text_of(work)
        unet = UNet2DConditionModel.from_pretrained(work / "painter" / RESULT).eval()
        nothing = text(tokens("", padding="max_length", return_tensors="pt").input_ids).last_hidden_state
        made = Smear(autoencoder_of(work), unet, nothing)
        for network in (made.vae, made.unet):
            nn.Module.to(network, work.device)
        return made

    return lambda index: pictures.once(
        work / "pictures" / f"smeared-{name}-{index:04d}.npy",
        lambda: smear()(shard(index), np.random.default_rng([29, index])),
    )


def make_readers(work: Work) -> None:
    net, s, folder = begun(work, "judges/readers", judging.readers()), work.sizes, work / "pictures"
    pictures.render(judging.held_back, folder, s.smeared)
    plain = partial(pictures.shard, folder)
    kinds = [
        judging.Kind(0.4, s.shards, plain),
        judging.Kind(0.4, s.smeared, smeared(work, "pictures", plain)),
        judging.Kind(0.2, s.smeared, partial(judging.held_back, folder), judging.restyled),
    ]
    make = judging.reader_batches(kinds, 32, work.chance(5), net.config)
    train(
        work, "readers", {"readers": net}, lambda step: judging.reader_loss(net, *make(step)),
        Plan(s.readers, 2e-3, warmup=100, decay="cosine", weight_decay=0.02, ema=0.995),
    )  # fmt: skip
    judges.save(net, work / "readers" / RESULT)


def make_instances(work: Work) -> None:
    net, s, folder = begun(work, "judges/instances", judges.Instances()), work.sizes, work / "pictures"
    pictures.render(judging.litters, folder, s.litters)
    plain = partial(judging.litters, folder)
    kinds = [judging.Kind(0.65, s.litters, plain), judging.Kind(0.35, s.smeared, smeared(work, "litters", plain))]
    make = judging.instance_batches(kinds, 3, work.chance(6))
    train(
        work, "instances", {"instances": net}, lambda step: judging.instance_loss(net, *make(step)),
        Plan(s.instances, 2e-3, warmup=100, decay="cosine", weight_decay=0.02, ema=0.995),
    )  # fmt: skip
    judges.save(net, work / "instances" / RESULT)


def write_family(work: Work) -> None:
    """Assemble the folder that the package ships, from whatever the stages have left."""
    from transformers import CLIPVisionModelWithProjection

    tokens, text = text_of(work)
    write(
        work.out, work.revision + 1, tokens, text,
        CLIPVisionModelWithProjection.from_pretrained(work / "towers" / RESULT / "image"),
        autoencoder_of(work),
        UNet2DConditionModel.from_pretrained(work / "painter" / RESULT),
        {name: work / name / RESULT for name in ("readers", "instances")},
    )  # fmt: skip
    safety.add(work.out, work.sizes.guarded)


STAGES: dict[str, Callable[[Work], None]] = {
    "render": render,
    "autoencoder": make_autoencoder,
    "towers": make_towers,
    "painter": make_painter,
    "readers": make_readers,
    "instances": make_instances,
    "write": write_family,
    "variations": varied.make,
    "inpaint": inpainted.make,
}


def adopt_autoencoder(work: Work) -> None:
    AutoencoderKL.from_pretrained(work.out / "vae").save_pretrained(work / "autoencoder" / RESULT)


def shipped_tokens(work: Work):
    """The family's tokenizer, copied to where the towers' stage keeps it."""
    from transformers import CLIPTokenizer

    place = work / "towers" / "tokenizer"
    shutil.copytree(work.out / "tokenizer", place, dirs_exist_ok=True)
    return CLIPTokenizer.from_pretrained(place)


def shipped_text(out: Path):
    """The text tower of a family, with its projection."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    folder = out / "text_encoder"
    states = load_file(folder / "model.safetensors")
    states = {f"text_model.{k.removeprefix('text_model.')}": v for k, v in states.items()}
    projection = load_file(folder / "projection.safetensors")
    text = CLIPTextModelWithProjection(CLIPTextConfig.from_pretrained(folder))
    text.load_state_dict(states | {"text_projection.weight": projection["weight"]})
    return text


def adopt_towers(work: Work) -> None:
    result = work / "towers" / RESULT
    shipped_text(work.out).save_pretrained(result / "text")
    shutil.copytree(work.out / "image_encoder", result / "image")
    shipped_tokens(work)


#: What is frozen is trained only on demand: whatever was taught stands on it (details 23).
FROZEN: dict[str, Callable[[Work], None]] = {"autoencoder": adopt_autoencoder, "towers": adopt_towers}


def make(work: Work, only: list[str] | None = None) -> bool:
    """Run the stages in order, or `only` some; False if the minutes ended first."""
    for name, stage in STAGES.items():
        finished = (work / name / RESULT).exists() and not (work / name / UNFINISHED).exists()
        if (only and name not in only) or finished:
            continue
        torch.manual_seed(sum(name.encode()))
        print(f"== {name}", flush=True)
        try:
            (FROZEN[name] if work.shipped and not only and name in FROZEN else stage)(work)
        except Stopped:
            print(f"{name}: the minutes are over; call again to go on")
            return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, default=Path(".weights"))
    parser.add_argument("--out", type=Path, default=Path("remembrandt/pocket/weights"))
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--afresh", action="store_true")
    parser.add_argument("--only", nargs="*", choices=list(STAGES))
    for name, value in Sizes().__dict__.items():
        parser.add_argument(f"--{name}", type=int, default=value)
    given = vars(parser.parse_args())
    until = None if given["minutes"] is None else time.monotonic() + given["minutes"] * 60
    sizes = Sizes(**{name: given[name] for name in Sizes().__dict__})
    make(Work(given["work"], given["out"], sizes, until, given["afresh"]), given["only"])


if __name__ == "__main__":
    main()
