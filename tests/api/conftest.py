"""A real server on a tiny family in a home of its own, with two users; lessons run when a test runs them."""

from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from remembrandt.app import build
from remembrandt.service import Service
from remembrandt.settings import Settings
from remembrandt.store import users
from remembrandt.store.rows import User
from remembrandt.store.store import Store
from tests.homes import SHORT, photos, serving

LESSON = {"steps": 2, "options": SHORT}


@dataclass
class Server:
    url: str
    home: Path
    app: object
    alice: User
    bob: User
    tokens: dict[str, str]
    lesson: dict
    shots: Path

    @property
    def service(self) -> Service:
        return Service(Settings(self.home, "cpu", "fp32"))

    def http(self, who: str | None = "alice", token: str = "") -> httpx.Client:
        token = token or (self.tokens[who] if who else "")
        headers = {"authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=120, trust_env=False)

    def work(self, job: str, who: str = "alice") -> dict:
        """What a worker would do with a queued lesson, here and now."""
        owner = getattr(self, who)
        return self.service.of(owner.id).resume(job)


@pytest.fixture(scope="session")
def server(tiny_folder, pictured_folder, tmp_path_factory):
    home = tmp_path_factory.mktemp("served") / "home"
    service = Service(Settings(home, "cpu", "fp32"))
    service.add_family("small", str(tiny_folder))
    service.add_family("eyes", str(pictured_folder))
    store, tokens, people = Store(home, create=True), {}, {}
    for name in ("alice", "bob"):
        people[name], tokens[name] = users.add(store, name)
    shots = photos(tmp_path_factory.mktemp("shots") / "dog")
    lesson = service.of(people["alice"].id).finetune(shots, "dog", name="Briscoe", base="small", **LESSON)
    app = build(service.settings, private_webhooks=True, worker=False, rate=1e6)
    with serving(app) as url:
        yield Server(url, home, app, people["alice"], people["bob"], tokens, lesson, shots)
