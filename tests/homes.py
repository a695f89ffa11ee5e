"""Photos to teach, and lessons short enough for a test."""

import io
import json
import logging
import os
import shutil
import socket
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
import uvicorn
from PIL import Image, ImageDraw

REMEMBRANDT = [sys.executable, "-m", "remembrandt"]
SHORT = {"batch": 1, "warmup": 1, "checkpoint_every": 2}
OPTIONS = [word for k, v in SHORT.items() for word in ("--set", f"{k}={v}")]


def photos(folder, count=4, seed=0):
    """`count` photos of a bright ball before a soft background, none like another."""
    folder.mkdir(parents=True)
    draw = np.random.default_rng(seed)
    for k in range(count):
        grain = draw.integers(60, 200, (24, 24, 3)).astype(np.uint8)
        image = Image.fromarray(grain).resize((192, 168), Image.Resampling.BICUBIC)
        x, y, r = draw.integers(50, 110, 3)
        colour = tuple(int(c) for c in draw.integers(0, 255, 3))
        ImageDraw.Draw(image).ellipse((x - r // 2, y - r // 2, x + r // 2, y + r // 2), fill=colour)
        image.save(folder / f"{k}.png")
    return folder


def judged(family, folder):
    """A copy of a family's folder that brings judges, drawn at random: they see something, if nothing sensible."""
    from remembrandt.evaluation import judges

    whole = {"place": ["beach", "forest", "snow"], "style": ["photo", "ink"], "relation": ["", "beside"]}
    shutil.copytree(family, folder)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        readers = judges.Readers(whole, ["dog", "cat", "house"], {"colour": ["red", "blue"]}, width=8)
        judges.save(readers, folder / "judges" / "readers")
        judges.save(judges.Instances(size=16, width=8), folder / "judges" / "instances")
    return folder


@contextmanager
def logged():
    """Inside, `lines()` are what a server would write to stderr."""
    from remembrandt.logs import Line

    written, log = io.StringIO(), logging.getLogger("remembrandt")
    handler, level, silenced = logging.StreamHandler(written), log.level, logging.root.manager.disable
    handler.setFormatter(Line())
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    logging.disable(logging.NOTSET)  # a command that ran in this process has silenced warnings
    try:
        yield lambda: [json.loads(line) for line in written.getvalue().splitlines()]
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        logging.disable(silenced)


@contextmanager
def serving(app):
    """The URL of an app that answers in a thread."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    running = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", lifespan="on"))
    thread = threading.Thread(target=running.run, daemon=True)
    thread.start()
    while not running.started:
        assert thread.is_alive()
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}"
    running.should_exit = True
    thread.join(30)
    assert not thread.is_alive()


def environment() -> dict[str, str]:
    """Of a process of its own, that finds this very package."""
    import remembrandt

    root = str(Path(remembrandt.__file__).parents[1])
    return {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
