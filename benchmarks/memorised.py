"""What a picture that is there many times does to a training, and whether `--dedup` cures it.

    python -m benchmarks.memorised [--full] [-o FILE]

The embedded painter is trained by `remembrandt train pocket text-to-image` on renders, one of which is there 500 times,
each time saved anew (JPEG, a little cut), as famous pictures are in what is gathered from the web; and once more with
`--dedup`. Then the captions of training are painted, that of the repeated picture from many seeds, and each painting is
held against every picture of the training (`evaluation/copies.py`). Beside it stand the painter before any of this, and
the repeated picture after the autoencoder: what a perfect memory could paint. Beside the JSON a sheet.
"""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import count
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks import arguments, once, places, plain
from benchmarks.painting import computing
from remembrandt import Studio
from remembrandt.conditions.spatial import to_tensor
from remembrandt.engine.engine import Engine
from remembrandt.engine.request import Request
from remembrandt.evaluation.copies import nearest
from remembrandt.family.family import Family
from remembrandt.family.load import load
from remembrandt.pocket import pictures
from remembrandt.pocket.world.captions import canonical
from remembrandt.pocket.world.scene import render
from remembrandt.report import sheet, write_atomic

FIRST = pictures.UNSEEN + 7 * 10**6
AT_ONCE = 8  # paintings
ARMS = {"as it is": False, "with --dedup": True}


@dataclass(frozen=True)
class Size:
    """Other renders, times that the repeated one is there, steps and pictures a step; paintings of its caption, and of
    as many other captions; columns of the sheet."""

    others: int = 500
    copies: int = 500
    steps: int = 1_000
    batch: int = 8
    painted: int = 32
    shown: int = 8


SIZES = {"tiny": Size(4, 5, 1, 2, 2, 2), "usual": Size(), "full": Size(5_000, 500, 10_000, 16, 256, 12)}


def known(size: Size) -> dict[str, np.ndarray]:
    """What there is to learn, by captions that stand for one picture each; the first is the one that is repeated."""
    found: dict[str, np.ndarray] = {}
    for number in count(FIRST):
        if len(found) > size.others:
            return found
        scene = pictures.scene(number, pairs=0.0, signs=0.0)
        if (said := canonical(scene)) not in found:
            found[said] = render(scene)
    raise AssertionError


def anew(picture: np.ndarray, rng: np.random.Generator) -> bytes:
    """A copy as others would save it: JPEG, up to four of 128 pixels cut from its sides."""
    left, top, right, bottom = rng.integers(0, 3, 4)
    file = io.BytesIO()
    cut = picture[top : len(picture) - bottom, left : len(picture) - right]
    Image.fromarray(cut).save(file, "JPEG", quality=int(rng.integers(60, 96)))
    return file.getvalue()


def gathered(some: dict[str, np.ndarray], copies: int, place: Path) -> Path:
    """A folder of the pictures with their captions, as `train` reads one; the list comes last."""
    listed = place / "metadata.jsonl"
    if not listed.is_file():
        place.mkdir(parents=True, exist_ok=True)
        rng, lines = np.random.default_rng(0), []
        for number, (said, picture) in enumerate(some.items()):
            for copy in range(1 if number else copies):
                name = f"{number:05d}-{copy:04d}.jpg"
                (place / name).write_bytes(anew(picture, rng))
                lines.append(json.dumps({"file_name": name, "caption": said}))
        write_atomic(listed, "\n".join(lines) + "\n")
    return place


def trained(base: str, data: Path, size: Size, dedup: bool, out: Path) -> dict:
    """What `train` tells of it; the model lies in `out`."""
    moved = {"steps": size.steps, "batch": size.batch, "learning_rate": 2e-4, "warmup": size.steps // 20}
    moved |= {"ema": 0.99, "gamma": 5.0, "preview_every": 0, "checkpoint_every": 100}
    return Studio().train(base, "text-to-image", data, out=out, dedup=dedup, options=moved)


def painted(family: Family, prompts: Sequence[str]) -> list[np.ndarray]:
    """A picture of each, number k from seed k."""
    engine, asked = Engine(family), [Request(prompt, seed=k) for k, prompt in enumerate(prompts)]
    parts = [asked[k : k + AT_ONCE] for k in range(0, len(asked), AT_ONCE)]
    return [picture.pixels for part in parts for [picture] in engine.paint(part)]


def held(made: Sequence[np.ndarray], originals: Sequence[np.ndarray], own: int) -> dict:
    """How many of the first `own` paintings, and of the others, copy the first original, or another of them.

    `score` in [0, 1]: the median of how like the first original the first paintings are.
    """
    found = nearest(made, originals)
    told: dict[str, object] = {"score": float(np.median([n.score for n in nearest(made[:own], originals[:1])]))}
    for name, some in {"its caption": found[:own], "other captions": found[own:]}.items():
        copied = [n.of for n in some if n.copied]
        told[name] = {"of it": copied.count(0), "of others": len(copied) - copied.count(0), "painted": len(some)}
    return told


def through(family: Family, picture: np.ndarray) -> np.ndarray:
    """The picture after the autoencoder."""
    return family.decode(family.encode(to_tensor(picture[None]))[0])[0]


def arm(base: str, some: dict[str, np.ndarray], size: Size, name: str, work: Path) -> tuple[dict, np.ndarray]:
    """What is painted in an arm, and how much of it is copied."""
    about, source = {}, base
    if name in ARMS:
        out = work / name.replace(" ", "")
        data = gathered(some, size.copies, work / "data")
        told = once(work / f"{out.name}.json", lambda: trained(base, data, size, ARMS[name], out))
        about, source = {key: told[key] for key in ("pictures", "left_out", "seconds")}, str(out)
    said, *others = some
    prompts = [said] * size.painted + others[: size.painted]
    made = pictures.once(work / f"{name}.npy", lambda: np.stack(painted(load(source), prompts)))
    return about | held(list(made), list(some.values()), size.painted), made


def main(given: Sequence[str] | None = None) -> None:
    asked = arguments(__doc__, "memorised").parse_args(given)
    size, base = SIZES[asked.size], load(asked.base)
    work, out = places(asked, "memorised", base.digest)
    some = known(size)
    said, original = next(iter(some.items()))
    arms, drawn = {}, [("repeated", [original])]
    for name in ("before", *ARMS):
        told, made = arm(asked.base, some, size, name, work)
        own = told["its caption"]
        arms[name] = told
        drawn.append((f"{name}: {own['of it']} of {own['painted']} copy it", list(made[: size.shown])))
    ceiling = nearest([through(base, original)], [original])[0].score
    found = plain({"caption": said, "arms": arms, "through the autoencoder": ceiling, "size": asdict(size)})
    write_atomic(out, json.dumps(found | computing(base), indent=1) + "\n")
    sheet(drawn, f"One picture {size.copies} times", subtitle=said).save(out.with_suffix(".png"))
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
