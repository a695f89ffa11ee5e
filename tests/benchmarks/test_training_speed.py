"""The benchmark of training speed: the same work gives the same losses, and its command runs from end to end."""

import copy
import json
import sys
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler

pytest.importorskip("skia", reason="needs the extra [world]")

from benchmarks import training_speed
from remembrandt.adapters import lora as layers
from remembrandt.adapters.lora import DOWN, UP
from remembrandt.adapters.wear import Worn, wear
from remembrandt.conditions import text
from remembrandt.training import methods
from remembrandt.training.examples import Example, draw
from remembrandt.training.method import Lesson

STEPS, RATE = 50, 3e-4


def lesson() -> Lesson:
    chance = torch.Generator().manual_seed(4)
    means = torch.randn(6, 4, 16, 16, generator=chance)
    photos = [Example(m, 0.1 * m.abs(), "a red dog") for m in means[:3]]
    return Lesson([*photos, *(Example(m, 0.1 * m.abs(), "a dog", kind="class") for m in means[3:])])


def script(family, unet, asked, optimizer, parameters, losses):
    """What the scripts do at every step, on the latents, noise and times that ours draws: photos, then priors."""
    scheduler = DDPMScheduler.from_config(family.scheduler)
    tokens = {p: text.encode(family, [p])[0] for p in ("a dog", "a red dog")}
    for step in range(STEPS):
        drawn = draw(asked.examples, asked.seed, step, 4)
        order = [0, 2, 1, 3]  # photos and priors alternate in ours
        times = torch.tensor([int(m * 1000) for m in drawn.moments])[order]
        latents, noise = drawn.latents[order], drawn.noise[order]
        states = torch.stack([tokens[drawn.prompts[k]] for k in order])
        predicted = unet(scheduler.add_noise(latents, noise, times), times, states).sample
        own, prior = predicted.chunk(2)
        target, target_prior = noise.chunk(2)
        loss = F.mse_loss(own, target) + 1.0 * F.mse_loss(prior, target_prior)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())


def agree(found, wanted):
    assert len(found) == STEPS
    assert max(abs(a / b - 1) for a, b in zip(found, wanted, strict=True)) < 0.01
    moved = abs(sum(wanted[-10:]) / sum(wanted[:10]) - 1)
    assert moved > 0.02  # a network that did not learn would agree as well


def test_all_weights_lose_what_the_script_loses(tiny):
    unet, asked, wanted = copy.deepcopy(tiny.unet).requires_grad_(True), lesson(), []
    optimizer = torch.optim.AdamW(unet.parameters(), lr=RATE, weight_decay=1e-2)
    script(tiny, unet, asked, optimizer, list(unet.parameters()), wanted)
    given = {"steps": STEPS, "batch": 4, "warmup": 0, "dropout": 0.0, "learning_rate": RATE}
    own = replace(tiny, unet=copy.deepcopy(tiny.unet))
    agree(methods.learn(methods.method("dreambooth", given), own, asked).losses, wanted)


def test_lora_loses_what_the_script_loses(tiny):
    """peft's layers, as `train_dreambooth_lora.py` adds them, from the pairs that ours starts from."""
    peft = pytest.importorskip("peft")
    unet, asked, wanted = copy.deepcopy(tiny.unet).requires_grad_(False), lesson(), []
    targets = ["to_k", "to_q", "to_v", "to_out.0"]
    unet.add_adapter(peft.LoraConfig(r=4, lora_alpha=4, target_modules=targets))
    free = layers.start(layers.layers(tiny.unet), 4, asked.seed)
    own = dict(unet.named_modules())
    with torch.no_grad():
        for layer, pair in free.items():
            own[layer].lora_A["default"].weight.copy_(pair[DOWN])
            own[layer].lora_B["default"].weight.copy_(pair[UP])
    parameters = [p for p in unet.parameters() if p.requires_grad]
    script(tiny, unet, asked, torch.optim.AdamW(parameters, lr=5e-3, weight_decay=0.0), parameters, wanted)
    given = {"steps": STEPS, "batch": 4, "warmup": 0, "dropout": 0.0, "learning_rate": 5e-3, **training_speed.LORA}
    learned = methods.learn(methods.method("lora", given), tiny, asked)
    agree(learned.losses, wanted)
    with torch.no_grad(), wear(tiny.unet, [(Worn(learned.adapter),)]):
        x, t, states = torch.ones(1, 4, 16, 16), torch.tensor([500]), text.encode(tiny, ["a red dog"])
        assert torch.allclose(tiny.unet(x, t, states).sample, unet(x, t, states).sample, atol=2e-2)


STANDIN = '''
import argparse, sys, time
from pathlib import Path
parser = argparse.ArgumentParser()
for name in sys.argv[1:]:
    if name.startswith("--") and "=" not in name:
        parser.add_argument(name, action="store_true")
    elif name.startswith("--"):
        parser.add_argument(name.split("=")[0])
asked = parser.parse_args()
assert asked.with_prior_preservation and list(Path(asked.instance_data_dir).iterdir())
assert Path(asked.pretrained_model_name_or_path, "unet").is_dir()
for step in range(int(asked.max_train_steps)):
    time.sleep(0.2)
    print(f"Steps: {step} loss=0.5, lr=5e-6", file=sys.stderr)
'''


def test_from_command_to_picture(judged, tmp_path):
    """A stand-in of 5 steps a second takes the scripts' place."""
    for contest in training_speed.CONTESTS.values():
        (tmp_path / contest.script).write_text(STANDIN)
    out = tmp_path / "speed.json"
    words = ["--tiny", "--base", str(judged), "--work", str(tmp_path / "work"), "-o", str(out)]
    training_speed.main([*words, "--scripts", str(tmp_path), "--python", sys.executable])
    found = json.loads(out.read_text())
    for told in found["steps"].values():
        assert told["steps_a_second"]["theirs"] < 20 and told["mean_loss"]["theirs"] == 0.5
        speeds = told["steps_a_second"]
        assert told["ratio"] == pytest.approx(speeds["ours"] / speeds["theirs"], rel=0.01)
    assert set(found["first subject"]["ratio"]) == {"ours", "ours, their sampler"} and out.with_suffix(".png").is_file()


def test_scripts_that_are_not_there_are_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        training_speed.main(["--scripts", str(tmp_path)])
    assert "train_dreambooth" in capsys.readouterr().err
