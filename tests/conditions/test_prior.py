"""A diffusion prior: parity with diffusers, its own space and length, re-ranking, and what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import KandinskyPriorPipeline, PriorTransformer, UnCLIPScheduler
from transformers import CLIPTextConfig, CLIPTextModelWithProjection

from remembrandt.conditions import prior
from remembrandt.jobs import imagining
from remembrandt.service import Service
from remembrandt.settings import Settings, Wrong
from tests.conftest import represent, tokenizer

ASKED = {"negative": "", "strengths": {}, "prompt": "a red dog", "seed": 3}


def network(width: int = 32) -> PriorTransformer:
    torch.manual_seed(1)
    made = PriorTransformer(num_attention_heads=4, attention_head_dim=8, num_layers=1, embedding_dim=width)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.ndim == 2 and "time" not in name:  # else all texts sound alike
                gain = 0.5 if "clip_embeddings" in name else 3.0
                torch.nn.init.normal_(parameter, std=gain / parameter.shape[-1] ** 0.5)
            if name in ("prd_embedding", "positional_embedding"):
                torch.nn.init.normal_(parameter)
        made.clip_mean.normal_()
        made.clip_std.normal_().abs_()
    represent(made)
    return made


@pytest.fixture(scope="module")
def karlo(tmp_path_factory):
    """A folder as Karlo's and Kandinsky's priors have."""
    tokens, folder = tokenizer(), tmp_path_factory.mktemp("priors") / "karlo"
    network().save_pretrained(folder / "prior")
    UnCLIPScheduler(clip_sample_range=10.0, prediction_type="sample").save_pretrained(folder / "scheduler")
    config = CLIPTextConfig(
        vocab_size=len(tokens), hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        projection_dim=32, bos_token_id=tokens.bos_token_id, eos_token_id=tokens.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(2)
    tower = CLIPTextModelWithProjection(config)
    torch.nn.init.normal_(tower.get_input_embeddings().weight, std=0.5)
    represent(tower)
    tower.save_pretrained(folder / "text_encoder")
    tokens.save_pretrained(folder / "tokenizer")
    return folder


def test_as_diffusers(karlo, pictured):
    made = prior.opened(pictured, karlo)
    assert made.reader and (made.guidance, made.steps, made.norm) == (4.0, 25, None)
    tower = pictured.image_encoder
    pipeline = KandinskyPriorPipeline(made.network, tower, made.reader[1], made.reader[0], made.scheduler, None)
    pipeline.set_progress_bar_config(disable=True)

    def theirs(seed):
        return pipeline("a red dog", num_inference_steps=25, generator=torch.Generator().manual_seed(seed))[0][0]

    def ours(text="a red dog", seed=3, **other):
        return prior.imagined(replace(made, **other), pictured, text, seed, 1)

    told = theirs(3)
    assert float((ours() - told).norm() / told.norm()) <= 1e-3
    for other in (ours(seed=4), ours("a blue cat in the snow"), ours(guidance=1.0)):
        assert float((other - told).norm() / told.norm()) >= 0.1


def test_candidates_are_ranked_and_lengths_calibrated(karlo, pictured):
    made = prior.opened(pictured, karlo)
    said = made.hear(pictured, ["a red dog"]).embedding[0]

    def nearness(candidates):
        found = prior.imagined(replace(made, norm=7.0), pictured, "a red dog", 3, candidates)
        assert float(found.norm()) == pytest.approx(7.0, rel=1e-4)
        return float(torch.nn.functional.cosine_similarity(found, said, dim=0))

    drawn = [nearness(k) for k in (1, 8)]
    assert drawn[1] > drawn[0]


def test_a_request_imagines(karlo, pictured):
    [one, two] = imagining.asked([{**ASKED, "n": 2}], karlo, None)
    assert (one["n"], one["seed"], two["seed"]) == (1, 3, 4)
    found, told = imagining.imagined(one, pictured)
    assert found.shape == (32,) and told == {"prior": "karlo", "candidates": 2}
    assert not torch.equal(found, imagining.imagined(two, pictured)[0])
    with pytest.raises(Wrong, match="candidates are from 1 to 64"):
        imagining.asked([{**ASKED, "n": 1}], karlo, 65)
    with pytest.raises(Wrong, match="neither a negative prompt"):
        imagining.imagined({**one, "negative": "snow"}, pictured)


def test_a_prior_of_another_space_is_refused(karlo, pictured, tiny, tmp_path):
    other = tmp_path / "wide"
    network(48).save_pretrained(other / "prior")
    with pytest.raises(Wrong, match="gives embeddings of 48 numbers, pictured takes 32"):
        prior.opened(pictured, other)
    own = tmp_path / "own"
    network().save_pretrained(own / "prior")
    (own / "remembrandt.json").write_text(json.dumps({"space": "0" * 64, "norm": 3.0}))
    with pytest.raises(Wrong, match="was trained for another image encoder than that of pictured"):
        prior.opened(pictured, own)
    with pytest.raises(Wrong, match="holds no prior"):
        prior.opened(pictured, tmp_path)
    (own / "remembrandt.json").write_text(json.dumps({"space": prior.space(pictured)}))
    with pytest.raises(Wrong, match=r"the prior of .* cannot be read|scheduler_config.json is missing"):
        prior.opened(pictured, own)
    with pytest.raises(Wrong, match="tiny is steered by text"):
        imagining.imagined({**ASKED, "imagines": {"prior": str(karlo), "candidates": 1}}, tiny)


def test_a_prompt_becomes_pictures(karlo, pictured_folder, tmp_path):
    service = Service(Settings(tmp_path / "home", "cpu", "fp32"))
    asked = {"prior": karlo, "model": str(pictured_folder), "steps": 2, "seed": 5}
    one, two = service.dream("a red dog", n=2, **asked)
    assert (one.recipe["seed"], two.recipe["seed"]) == (5, 6) and one.recipe["prompt"] == "a red dog"
    assert (one.recipe["task"], one.recipe["prior"], one.recipe["candidates"]) == ("variations", "karlo", 2)
    alone = service.dream("a red dog", **{**asked, "seed": 6})[0]
    assert np.abs(alone.pixels.astype(int) - two.pixels).max() <= 2  # each from its own seed
    assert np.abs(service.dream("a blue cat", **asked)[0].pixels.astype(int) - one.pixels).max() > 2
