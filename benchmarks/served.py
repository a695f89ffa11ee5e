"""What the benchmarks of the service share: a server in a process of its own, and users with private adapters.

An adapter needs no lesson here: a LoRA of small random weights, published as a lesson's is.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import httpx
import numpy as np
import psutil
import torch

import remembrandt.pocket
from remembrandt.adapters import adapter as adapters
from remembrandt.adapters import lora
from remembrandt.adapters.adapter import Adapter
from remembrandt.client import Client
from remembrandt.family.family import Family
from remembrandt.jobs.files import Home
from remembrandt.jobs.process import alive, me
from remembrandt.store import users
from remembrandt.store.rows import Concept, Model
from remembrandt.store.store import Store, new_id

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = Path(str(remembrandt.pocket.__file__)).parent / "photos" / "creature"
PATIENCE = 600.0  # seconds: the machine may be busy
CATEGORY, MINE = "dog", "mine"
TRAINERS = ("remembrandt.jobs.trainer", "benchmarks.rigged")
T = TypeVar("T")


def arguments(about: str | None, name: str) -> ArgumentParser:
    """What these benchmarks can be told."""
    parser = ArgumentParser(prog=f"python -m benchmarks.{name}", description=about)
    parser.formatter_class = RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="little of everything, to see that it runs")
    parser.add_argument("--work", type=Path, default=Path(".benchmarks") / name, help="where its homes lie")
    parser.add_argument("-o", "--out", type=Path, help=f"the result; benchmarks/{name}.json")
    return parser


def place(asked, name: str) -> Path:
    """The file of the result; a trial's lies where nobody takes it for a published one."""
    return asked.out or (asked.work / "quick.json" if asked.quick else Path("benchmarks") / f"{name}.json")


# -- the server ------------------------------------------------------------------------------------


@dataclass
class Server:
    """`remembrandt serve` on a home, always at the same port. What it says lies in `server.log` beside the home."""

    home: Path
    precision: str = "fp32"
    port: int = field(default_factory=lambda: _free())
    process: subprocess.Popen | None = None
    starts: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self, rig: Mapping[str, Any] | None = None) -> None:
        """Until it is ready; one that is rigged (`benchmarks.rigged`) may die before."""
        self.starts += 1
        main = ["remembrandt"] if rig is None else ["benchmarks.rigged", json.dumps(rig)]
        words = ["serve", "--home", self.home, "--port", self.port, "--precision", self.precision]
        with (self.home.parent / "server.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *main, *map(str, words)],
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until(lambda: self._ready() or (rig is not None and not self.alive))

    @property
    def alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def _ready(self) -> bool:
        if not self.alive:
            return False if self.process and self.process.returncode == -signal.SIGKILL else self._fell()
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=10, trust_env=False).status_code == 200
        return False

    def _fell(self) -> bool:
        raise SystemExit(f"the server ended: {self.home.parent / 'server.log'} says why")

    def memory(self) -> int:
        """Bytes of it that are in memory."""
        assert self.process
        return psutil.Process(self.process.pid).memory_info().rss

    def trainers(self) -> list[psutil.Process]:
        """Its children that train."""
        if not self.process:
            return []
        with suppress(psutil.Error):
            mine = psutil.Process(self.process.pid).children(recursive=True)
            return [child for child in mine if any(name in child.cmdline() for name in TRAINERS)]
        return []

    def kill(self) -> None:
        assert self.process
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """As Ctrl-C does."""
        if self.process and self.alive:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()


@contextmanager
def serving(home: Path, rig: Mapping[str, Any] | None = None, precision: str = "fp32") -> Iterator[Server]:
    """A server for as long as this lasts."""
    server = Server(home, precision)
    try:
        server.start(rig)
        yield server
    finally:
        server.stop()


def _free() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def until(true: Callable[[], T], patience: float = PATIENCE, pause: float = 0.1) -> T:
    """Wait until `true()` is so, and give it."""
    deadline = time.monotonic() + patience
    while not (found := true()):
        if time.monotonic() > deadline:
            raise SystemExit(f"nothing came in {patience:.0f} s")
        time.sleep(pause)
    return found


# -- its users -------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Person:
    """A user, and the words that call up their own adapters."""

    id: str
    name: str
    token: str
    words: tuple[str, ...] = ()

    def client(self, server: Server) -> Client:
        return Client(server.url, self.token)

    def http(self, server: Server) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.token}"}
        return httpx.Client(base_url=server.url, headers=headers, timeout=120, trust_env=False)


def people(home: Path, count: int, family: Family | None = None, each: int = 1, rank: int = 4) -> list[Person]:
    """`count` users; on a `family` each is given `each` private adapters, all different."""
    store, found = Store(home, create=True), []
    for number in range(count):
        user, token = users.add(store, f"user{number}")
        words = tuple(word(number * each + k) for k in range(each)) if family else ()
        found.append(Person(user.id, user.name, token, words))
        for one in words:
            assert family
            publish(store.of(user.id), Home(home), family, one, random_lora(family, one, rank))
    return found


def word(number: int) -> str:
    """The same number, the same word; never one of a language's."""
    first, second = divmod(number, 20)
    letters = "bcdfghjklmnpqrstvwxz"
    return f"z{letters[first % 20]}{letters[second]}q"


def random_lora(family: Family, seed: str, rank: int, size: float = 0.05) -> Adapter:
    """What a lesson might have taught: it is seen in the picture, and leaves it a picture."""
    draw = torch.Generator().manual_seed(int.from_bytes(seed.encode(), "big"))
    pairs = lora.start(lora.layers(family.unet), rank, 0)
    made = {
        name: {k: size * torch.randn(t.shape, generator=draw) for k, t in sorted(pair.items())}
        for name, pair in pairs.items()
    }
    return Adapter("lora", made)


def publish(store: Store, home: Home, family: Family, word: str, adapter: Adapter) -> Concept:
    """The adapter as a concept of its owner's model, as a lesson leaves it."""
    facts = {"name": family.name, "revision": family.revision, "digest": family.digest, "folder": None}
    base = {"source": str(family.folder), **facts}
    model = store.model(MINE) or Model("", MINE, "private_meta", "gated", base)
    asked = {"scope": model.scope, "model": MINE, "concept": {"identifier": word, "name": None}}
    job = store.enter(new_id(), "finetune", model, lambda used: (word, asked), alive)
    held, key = store.claim(job.id, me(), alive), new_id()
    folder = home.concept(MINE, key)
    adapters.save(adapter, folder, {"base": family.digest})
    concept = Concept(key, held.model or "", word, None, CATEGORY, "lora", home.relative(folder), job.id, 0)
    store.publish(held, concept, base, {"retention": {"published": True, "mean": 1.0}, "steps": 0})
    return concept


def teach(http: httpx.Client, key: str | None = None, **fields: Any) -> httpx.Response:
    """Ask for a lesson on the five photos that come with the package."""
    photos = [("images", (path.name, path.read_bytes(), "image/jpeg")) for path in sorted(PHOTOS.glob("*.jpg"))]
    asked = {"category": CATEGORY, "target_model": "private_meta", "consent": True, **fields}
    headers = {"idempotency-key": key} if key else {}
    return http.post("/finetune", data={k: str(v) for k, v in asked.items()}, files=photos, headers=headers)


# -- figures ---------------------------------------------------------------------------------------


def spread(seconds: list[float]) -> dict[str, float]:
    """Of latencies: how many, the median, the 95th percentile."""
    return {"n": len(seconds), "p50": float(np.percentile(seconds, 50)), "p95": float(np.percentile(seconds, 95))}
