"""The loop: resume to the bit, also of parameters that not every step moves; stops that lose nothing."""

import json
from dataclasses import replace

import pytest
import torch
from torch.nn import Parameter

from remembrandt.training.loop import Diverged, Plan, fit

PLAN = Plan(steps=9, learning_rate=0.05, warmup=2, decay="cosine", ema=0.9, checkpoint_every=4)


def problem():
    """`always` moves at each step, `rarely` at every third, `never` at none."""
    parts = {name: Parameter(torch.linspace(-1, 1, 5)) for name in ("always", "rarely", "never")}

    def loss(step: int) -> torch.Tensor:
        noise = torch.randn(5, generator=torch.Generator().manual_seed(step))
        value = (parts["always"] - noise).square().sum()
        return value + (parts["rarely"] * noise).sum() if step % 3 == 1 else value

    return parts, loss


def stop_at(step: int):
    def progress(event):
        if event.step == step:
            raise KeyboardInterrupt

    return progress


@pytest.mark.parametrize("cut", [1, 3, 4, 6])
def test_resumed_equals_uninterrupted(tmp_path, cut):
    whole, loss = problem()
    fit(loss, whole, PLAN)
    first, loss = problem()
    with pytest.raises(KeyboardInterrupt):
        fit(loss, first, PLAN, folder=tmp_path, progress=stop_at(cut))
    second, loss = problem()
    outcome = fit(loss, second, PLAN, folder=tmp_path)
    assert outcome.finished and len(outcome.losses) == 9 - cut
    assert all(torch.equal(whole[name], second[name]) for name in whole)


def test_minutes_stop_it_whole(tmp_path):
    parts, loss = problem()
    outcome = fit(loss, parts, Plan(**{**PLAN.__dict__, "minutes": 0.0}), folder=tmp_path)
    assert (outcome.step, outcome.finished) == (0, False)


def test_a_loss_that_is_no_number_is_told():
    parts, _ = problem()
    with pytest.raises(Diverged, match="at step 0"):
        fit(lambda step: parts["always"].sum() * float("nan"), parts, PLAN)


def test_weights_that_are_no_numbers_after_the_last_step_are_told():
    """The loss of the last step is finite; its gradient (of a root at zero) is not."""
    part = Parameter(torch.zeros(3))
    plan = Plan(steps=1, learning_rate=0.1)
    with pytest.raises(Diverged, match="weights became") as fault:
        fit(lambda step: part.sqrt().sum(), {"part": part}, plan)
    assert fault.value.step == 1


def test_other_surroundings_are_told_on_resume(tmp_path):
    parts, loss = problem()
    plan = replace(PLAN, checkpoint_every=0)
    with pytest.raises(KeyboardInterrupt):
        fit(loss, parts, plan, folder=tmp_path, progress=stop_at(4))
    manifest = next(tmp_path.glob("checkpoints/step-*4/manifest.json"))
    facts = json.loads(manifest.read_text())
    assert {"threads", "device", "dtype", "torch", "diffusers", "transformers", "plan"} <= facts["scalars"].keys()

    def messages(**changed) -> list[str]:
        manifest.write_text(json.dumps({**facts, "scalars": {**facts["scalars"], **changed}}))
        said = []
        again, loss = problem()
        fit(loss, again, plan, folder=tmp_path, progress=lambda e: said.append(e.message))
        return [m for m in said if m]

    assert messages() == []
    (told,) = messages(torch="1.0", device="cuda", plan={**facts["scalars"]["plan"], "clip": 9.0})
    assert all(word in told for word in ("torch 1.0, now", "device cuda, now cpu", "the plan's clip"))


def test_accumulated_batches_are_one_step_of_their_mean():
    noise = torch.randn(12, 5, generator=torch.Generator().manual_seed(0))
    apart, together = Parameter(torch.zeros(5)), Parameter(torch.zeros(5))
    plan = Plan(steps=4, learning_rate=0.1, accumulate=3)
    fit(lambda k: (apart - noise[k]).square().sum(), {"p": apart}, plan)
    whole = Plan(steps=4, learning_rate=0.1)
    found = fit(lambda k: (together - noise[3 * k : 3 * k + 3]).square().sum(1).mean(), {"p": together}, whole)
    assert found.step == 4 and torch.allclose(apart, together, atol=1e-6) and together.abs().max() > 0.1
