"""How long a picture takes that is asked for while a lesson trains.

    python -m benchmarks.while_learning [--quick] [-o benchmarks/while_learning.json]

One user asks `remembrandt serve` for one picture after another over HTTP: while the server is idle, while it teaches
another user's five photos in its child process, and idle again. Nothing is set: model, lesson and the share of the
machine are the defaults. Some four minutes.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Sequence
from typing import Any

from benchmarks import plain, say, surroundings
from benchmarks.served import Person, Server, arguments, people, place, serving, spread, teach, until
from remembrandt.client import Client
from remembrandt.report import write_atomic

PICTURES, WARM = 40, 3
LESSON = 100_000  # steps: more than there is time for
PROMPT, STEPS = "a red dog on the beach", 20


def painted(client: Client, count: int, first: int, steps: int) -> list[float]:
    """Seconds of each picture, asked for one after another."""
    seconds = []
    for seed in range(first, first + count):
        began = time.perf_counter()
        client.generate(PROMPT, seed=seed, steps=steps)
        seconds.append(time.perf_counter() - began)
    return seconds


def taught(job: dict[str, Any]) -> int:
    """Steps of the lesson so far."""
    if job["error"] or job["state"] not in ("queued", "running"):
        raise SystemExit(f"the lesson went wrong: {job}")
    return job["step"] if job["stage"] == "teaching" else 0


def measure(server: Server, painter: Person, pupil: Person, pictures: int, steps: int) -> dict[str, Any]:
    client, http = painter.client(server), pupil.http(server)
    painted(client, WARM, 0, steps)
    say("idle")
    idle = painted(client, pictures // 2, 100, steps)
    answer = teach(http, max_train_steps=LESSON)
    answer.raise_for_status()
    lesson = f"/jobs/{answer.json()['id']}"
    say("a lesson begins")
    before, began = until(lambda: taught(http.get(lesson).json())), time.monotonic()
    learning = painted(client, pictures, 200, steps)
    after, took = http.get(lesson).json(), time.monotonic() - began
    assert after["state"] == "running" and after["step"] > before, after
    http.post(f"{lesson}/cancel").raise_for_status()
    until(lambda: http.get(lesson).json()["state"] == "canceled" and not server.trainers())
    say("idle again")
    idle += painted(client, pictures - pictures // 2, 300, steps)
    return {
        "p95, learning over idle (<= 3)": spread(learning)["p95"] / spread(idle)["p95"],
        "idle": spread(idle),
        "learning": {**spread(learning), "steps taught a second": (after["step"] - before) / took},
        "seconds": {"idle": idle, "learning": learning},
    }


def main(given: Sequence[str] | None = None) -> None:
    asked = arguments(__doc__, "while_learning").parse_args(given)
    shutil.rmtree(asked.work, ignore_errors=True)
    home = (asked.work / "home").absolute()
    painter, pupil = people(home, 2)
    with serving(home, precision="fp32") as server:
        found = measure(server, painter, pupil, *((2, 2) if asked.quick else (PICTURES, STEPS)))
    found |= {"prompt": PROMPT, "steps": STEPS, "precision": server.precision, **surroundings()}
    write_atomic(place(asked, "while_learning"), json.dumps(plain(found), indent=1) + "\n")
    print(json.dumps(plain({k: v for k, v in found.items() if k != "seconds"}), indent=1))


if __name__ == "__main__":
    main()
