"""What a lesson did to those before it is told also where its weights cannot paint any more."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import numpy as np
import torch

from remembrandt.memory import harm
from remembrandt.memory.library import Concept
from remembrandt.memory.measuring import Subject


def test_weights_that_paint_nothing_finite_are_judged_all_the_same(tiny, tmp_path):
    broken = replace(tiny, unet=deepcopy(tiny.unet))
    with torch.no_grad():
        broken.unet.conv_out.bias.fill_(float("nan"))
    photos = [np.full((128, 128, 3), 90, np.uint8)] * 4
    past = [harm.Past(Subject(Concept("one", "brc", "dog"), "a brc dog", photos), None)]
    told = harm.judge(tiny, broken, past, 0.1, tmp_path)
    assert told["concepts"]["one"]["fidelity"] is None and told["not_measurable"] == ["brc dog"]
    assert not list(tmp_path.glob("one/*.png"))
