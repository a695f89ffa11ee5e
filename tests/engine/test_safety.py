"""What a checker decides is what diffusers' decides, and what becomes of a flagged picture is said and never black."""

import shutil

import numpy as np
import pytest
import torch
from diffusers.pipelines.stable_diffusion.safety_checker import StableDiffusionSafetyChecker
from safetensors.torch import load_file, save_file
from torch.nn.functional import normalize
from transformers import CLIPConfig

from remembrandt.engine import safety
from remembrandt.engine.engine import Painted
from remembrandt.family.load import load
from remembrandt.jobs import work
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from remembrandt.training import class_images

SIDE = 32


def pictures(count: int, seed: int = 0) -> list[np.ndarray]:
    """Coarse grain, brighter and darker: none like another to any encoder."""
    draw = np.random.default_rng(seed)
    grain = draw.integers(0, 255, (count, 4, 4, 3)) * draw.uniform(0.2, 1, (count, 1, 1, 3))
    return [np.kron(g, np.ones((16, 16, 1))).astype(np.uint8) for g in grain]


@pytest.fixture(scope="module")
def theirs():
    """diffusers' class on random weights; some of 24 random pictures are flagged, one only by special care."""
    vision = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2,
              "image_size": SIDE, "patch_size": 8, "projection_dim": 16}  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = StableDiffusionSafetyChecker(CLIPConfig(vision_config=vision, projection_dim=16)).eval()
        torch.nn.init.normal_(made.visual_projection.weight)
        for name in ("concept_embeds", "special_care_embeds"):
            torch.nn.init.normal_(getattr(made, name))
    with torch.no_grad():
        embeds = normalize(made.visual_projection(made.vision_model(seen(pictures(24)))[1]))
        for name, share in {"concept": 0.98, "special_care": 0.7}.items():
            cosines = embeds @ normalize(getattr(made, f"{name}_embeds")).T
            getattr(made, f"{name}_embeds_weights").copy_(cosines.quantile(share, 0))
    return made


@pytest.fixture(scope="module")
def folder(theirs, tiny_folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("guarded") / "tiny"
    shutil.copytree(tiny_folder, place)
    theirs.save_pretrained(place / "safety_checker")
    return place


@pytest.fixture(scope="module")
def family(folder):
    return load(folder, device="cpu", precision="fp32")


def seen(some) -> torch.Tensor:
    return safety.preprocessed(some, safety.SEEN, SIDE)


def decided(theirs, some) -> list[bool]:
    images = np.ones((len(some), 8, 8, 3), np.float32)
    return theirs(seen(some), images)[1]


def test_it_decides_as_diffusers_does(theirs, family):
    some = pictures(24) + pictures(40, seed=1)
    wanted = decided(theirs, some)
    assert [bool(flags) for flags in safety.flagged(family, some)] == wanted and 3 < sum(wanted) < 50
    with torch.no_grad():
        kept = theirs.special_care_embeds_weights.clone()
        theirs.special_care_embeds_weights.fill_(2)
        careless = decided(theirs, some)
        theirs.special_care_embeds_weights.copy_(kept)
    assert careless != wanted  # else the special concepts would not have been tested


def test_older_folders_name_the_tower_twice(theirs, folder, family, tmp_path):
    shutil.copytree(folder, tmp_path / "old")
    place = tmp_path / "old" / "safety_checker" / "model.safetensors"
    tensors = {k.replace("vision_model.", "vision_model.vision_model.", 1): v for k, v in load_file(place).items()}
    save_file(tensors | {"vision_model.vision_model.embeddings.position_ids": torch.arange(17)[None]}, place)
    some = pictures(8)
    assert safety.flagged(load(tmp_path / "old"), some) == safety.flagged(family, some)


@pytest.mark.parametrize("policy", safety.POLICIES)
def test_every_policy_says_what_it_did(policy, family, tmp_path):
    some = pictures(24)
    seeing = safety.flagged(family, some)
    told, said = [], []
    facts = {"prompt": "a dog", "negative": "", "steps": 2, "sampler": "ddim", "guidance": 4.0, "size": "64x64"}
    painted = [Painted(p, {**facts, "seed": k}) for k, p in enumerate(some)]
    for one in safety.guarded(family, painted, policy, lambda event: said.append(event.message)):
        k = one.recipe["seed"]
        assert one.recipe["safety"] == policy and one.pixels.shape == some[k].shape
        changed = bool(seeing[k]) and policy in ("blur", "withhold")
        assert np.array_equal(one.pixels, some[k]) != changed and one.pixels.max() > 60
        if seeing[k] and policy != "off":
            assert one.recipe["flagged"] == seeing[k] and "concept" in next(iter(seeing[k]))
            told.append(k)
        kept = work.keep(one, tmp_path, "png")
        assert (kept["path"] is None) == safety.withheld(one) == (policy == "withhold" and bool(seeing[k]))
    assert bool(told) == (policy != "off") and len(said) == len(told)
    assert len(list(tmp_path.iterdir())) == len(some) - len(told) * (policy == "withhold")


def test_it_costs_nothing_where_there_is_none_or_nobody_looks(tiny, folder, tmp_path):
    painted, said = [Painted(pictures(1)[0], {"seed": 1})], []
    [same] = safety.guarded(tiny, painted)
    assert same.recipe == {"seed": 1} and same.pixels is painted[0].pixels
    [told] = safety.guarded(tiny, painted, "blur", lambda event: said.append(event.message))
    assert told.recipe["safety"] == "no checker" and "nothing was looked at" in said[0]
    shutil.copytree(folder, tmp_path / "broken")
    (tmp_path / "broken" / "safety_checker" / "config.json").write_text("{}")
    broken = load(tmp_path / "broken")
    assert safety.guarded(broken, painted, "off")[0].recipe["safety"] == "off"
    with pytest.raises(Wrong, match="safety_checker"):
        safety.guarded(broken, painted)
    with pytest.raises(Wrong, match="Did you mean 'blur'"):
        safety.known("blurr")


def test_pictures_and_class_images_of_a_guarded_family(folder, tmp_path):
    service = Service(Settings(tmp_path / "home", "cpu", "fp32"))
    with pytest.raises(Wrong, match="no safety"):
        service.paint("a dog", model=str(folder), safety="always")
    painted = service.paint("a dog", n=5, seed=1, steps=2, model=str(folder), safety="off")
    family = load(folder)
    judge = safety.checker(family)
    scores = torch.cat([judge.tower(seen([p.pixels])).image_embeds for p in painted])
    unit = normalize(scores)
    judge.known["concept_embeds"][:] = apart = normalize(unit.mean(0) - unit[0], dim=0)
    for name in ("concept_embeds_weights", "special_care_embeds_weights"):
        judge.known[name].fill_(2)
    judge.known["concept_embeds_weights"][:] = (unit @ apart).median()
    made = class_images.paint(family, "a dog", 3, tmp_path / "class")
    assert len(made) == 3 and not any(safety.flagged(family, made))
    numbers = [int(p.stem) for p in sorted((tmp_path / "class").rglob("*.png"))]
    assert numbers[-1] > 2  # some were thrown away, or this could not fail
