"""One student for all concepts: it comes near its teachers, keeps the base, and sees what a resumed one would see."""

import shutil

import pytest
import torch

from remembrandt.adapters.wear import Worn, wear
from remembrandt.conditions import text
from remembrandt.settings import Wrong
from remembrandt.training import distillation, options
from remembrandt.training.distillation import Distillation
from remembrandt.training.dreambooth import moving
from remembrandt.training.examples import Example
from remembrandt.training.loop import fit
from tests.adapters.helpers import adapter
from tests.conftest import tiny_family

TURNED, BARE = "a brc dog", "a red house"
WORDS = {"brc": torch.full((1, 32), 0.2)}
SHORT = {"batch": 4, "warmup": 5, "checkpoint_every": 2, "learning_rate": 1e-4, "photo_weight": 0.0}


def example(prompt, seed):
    mean = torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(seed))
    return Example(mean, torch.full_like(mean, 0.01), prompt)


SCENES = {"pictures": [example(TURNED, 1)], "base": [example(BARE, 2)]}


class Setting:
    """A teacher whose adapter bites under `TURNED`, and how far a network is from it."""

    def __init__(self, family):
        self.family = family
        self.outfits = {TURNED: (Worn(adapter(family.unet, size=1.0, angle=120.0)),)}

    def learn(self, folder=None, progress=lambda event: None, scenes=SCENES, **given):
        chosen = Distillation(**{**SHORT, **given})
        learner = distillation.student(self.family)
        with moving(learner):
            loss = distillation.distilling(self.family, learner, scenes, self.outfits, WORDS, chosen)
            found = fit(loss, dict(learner.unet.named_parameters()), chosen.plan, folder=folder, progress=progress)
        return learner, found.losses

    @torch.no_grad()
    def apart(self, learner, prompt):
        x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(9))
        times, tokens = torch.tensor([700, 200]), text.encode(self.family, [prompt], WORDS).expand(2, -1, -1)
        with wear(self.family.unet, [self.outfits.get(prompt, ())] * 2):
            wanted = distillation.predicted(self.family, x, times, tokens)
        return float((distillation.predicted(learner, x, times, tokens) - wanted).square().mean())


@pytest.fixture(scope="module")
def setting(tiny):
    return Setting(tiny)


@pytest.fixture(scope="module")
def learned(setting):
    return setting.learn(steps=24)


def test_the_student_comes_near_its_teachers(setting, learned):
    """On latents it has not seen; it starts as the base."""
    learner, losses = learned
    start = distillation.student(setting.family)
    assert setting.apart(start, BARE) == 0 and setting.apart(start, TURNED) > 0.01
    assert setting.apart(learner, TURNED) < 0.7 * setting.apart(start, TURNED)
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])
    assert not any(p.requires_grad for p in learner.unet.parameters())


def test_the_frozen_teacher_stays(setting, learned):
    found = zip(setting.family.unet.parameters(), tiny_family().unet.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in found)
    assert not any(p.requires_grad for p in setting.family.unet.parameters())


def test_the_base_term_keeps_the_base(setting, learned):
    """Without it the same steps move prompts that name nothing: the term has power."""
    free, _ = setting.learn(steps=24, base_weight=0.0, dropout=0.0)
    assert setting.apart(learned[0], BARE) < 0.7 * setting.apart(free, BARE)


def test_photos_pull_towards_their_own_noise(setting):
    """A network of chance sees no noise: told to, its error on the photos falls."""
    scenes = {"photos": SCENES["pictures"], "base": SCENES["base"]}
    found = [setting.learn(steps=6, scenes=scenes, photo_weight=w)[0] for w in (0.0, 5.0)]
    x, eps = scenes["photos"][0].mean, torch.randn(4, 8, 8, generator=torch.Generator().manual_seed(4))
    bar = setting.family.schedule.alphas_cumprod[500].float()
    noisy, tokens = (bar.sqrt() * x + (1 - bar).sqrt() * eps)[None], text.encode(setting.family, [TURNED], WORDS)
    with torch.no_grad():
        errors = [(distillation.predicted(f, noisy, torch.tensor([500]), tokens) - eps).square().mean() for f in found]
    assert errors[1] < errors[0]


def test_a_killed_distillation_leaves_the_same_weights(setting, tmp_path):
    whole, _ = setting.learn(tmp_path / "whole", steps=4)

    def kill(event):
        if event.step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        setting.learn(tmp_path / "cut", progress=kill, steps=4)
    shutil.rmtree(tmp_path / "cut" / "checkpoints" / "step-00000003")  # SIGKILL would not have left it
    steps = []
    again, _ = setting.learn(tmp_path / "cut", progress=lambda event: steps.append(event.step), steps=4)
    assert steps == [3, 4]
    assert all(torch.equal(a, b) for a, b in zip(again.unet.parameters(), whole.unet.parameters(), strict=True))


@pytest.mark.parametrize("terms", [["base"], ["pictures", "base"], ["photos", "pictures", "composed", "base"]])
@pytest.mark.parametrize("batch", [4, 5, 16])
def test_rows_sum_to_the_batch(terms, batch):
    counts = distillation.rows(batch, terms)
    assert sum(counts.values()) == batch and min(counts.values()) > 0
    weights = distillation._weights(counts, Distillation(base_weight=2.0, composed_weight=3.0))
    single = 1.0 if len(terms) > 1 else 0.0
    assert len(weights) == batch
    assert float(weights.sum()) == pytest.approx(single + 2.0 + 3.0 * ("composed" in terms))


def test_options_are_checked():
    assert options.build(Distillation, {"steps": "5"}).steps == 5
    with pytest.raises(Wrong, match="base_weight"):
        options.build(Distillation, {"base_weight": -1})
    assert set(distillation.LARGE) <= {row["name"] for row in options.describe(Distillation)}
