"""Two thousand pictures and three hundred adapter swaps: does the server's memory stay where it was?

    python -m benchmarks.endurance [--quick] [-o benchmarks/endurance.json]

Ten users with thirty private adapters each ask `remembrandt serve` over HTTP, all at once, for small pictures (64 x 64,
2 steps, samplers by turns, no prompt twice). Each user goes on to the next adapter every seventh picture or so, so that
it is read from the disk: the painter has room for twenty (in life for a GiB, so that it would keep all three hundred).
After every two hundred pictures, when nothing is under way, the memory of the server's process. Some five minutes.
"""

from __future__ import annotations

import json
import re
import shutil
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks import plain, say, surroundings
from benchmarks.served import CATEGORY, Person, Server, arguments, people, place, random_lora, serving
from remembrandt.adapters.shelf import weight
from remembrandt.family.load import load
from remembrandt.report import write_atomic

USERS, LEGS, EACH, SWAPS, FIRST = 10, 10, 20, 3, 2  # legs; of each user and leg pictures and swaps; legs before memory
ROOM, RANK, SIZE, STEPS = 20, 4, (64, 64), 2
SAMPLERS = ("ddim", "euler", "euler-a", "dpmpp-2m")
CALM = 1.0  # seconds, for what follows an answer


def leg(server: Server, crowd: Sequence[Person], number: int, each: int, swaps: int) -> None:
    """`each` pictures of every user, by `swaps` adapters that were not called up before."""

    def user(person: Person) -> None:
        client = person.client(server)
        for k in range(each):
            called = person.words[number * swaps + k * swaps // each]
            count = number * each + k
            client.generate(
                f"a {called} {CATEGORY}, number {count} of {person.name}",
                seed=count,
                sampler=SAMPLERS[count % len(SAMPLERS)],
                steps=STEPS,
                size=SIZE,
            )

    with ThreadPoolExecutor(len(crowd)) as pool:
        list(pool.map(user, crowd))


def metrics(server: Server, person: Person) -> dict[str, float]:
    """What the server counts of its adapters."""
    with person.http(server) as http:
        text = http.get("/metrics").raise_for_status().text
    rows = re.findall(r"^remembrandt_(\S*adapter\S*?)(?:_total)? ([0-9.e+]+)$", text, re.M)
    return {name: float(value) for name, value in rows}


def main(given: Sequence[str] | None = None) -> None:
    asked = arguments(__doc__, "endurance").parse_args(given)
    users, legs, each, swaps = (2, 4, 3, 1) if asked.quick else (USERS, LEGS, EACH, SWAPS)
    shutil.rmtree(asked.work, ignore_errors=True)
    home, family = (asked.work / "home").absolute(), load("pocket", device="cpu", precision="fp32")
    crowd = people(home, users, family, legs * swaps, RANK)
    room = ROOM * weight(random_lora(family, "one", RANK))
    del family
    rows: list[dict[str, Any]] = []
    with serving(home, {"shelf": room}) as server:
        for number in range(legs):
            began = time.monotonic()
            leg(server, crowd, number, each, swaps)
            took = time.monotonic() - began
            time.sleep(CALM)
            told = {"pictures": (number + 1) * each * users, "megabytes": server.memory() / 1e6, "seconds": took}
            rows.append({**told, **metrics(server, crowd[0])})
            say(f"{rows[-1]['pictures']} pictures: {rows[-1]['megabytes']:.0f} MB")
    early, end = rows[FIRST - 1], rows[-1]
    found = {
        "memory, the end over the first 400 (<= 1.03)": end["megabytes"] / early["megabytes"],
        "pictures": end["pictures"],
        "adapters read from the disk": end["adapter_reads"],
        "size": SIZE,
        "steps": STEPS,
        "legs": rows,
        **surroundings(),
    }
    write_atomic(place(asked, "endurance"), json.dumps(plain(found), indent=1) + "\n")
    print(json.dumps(plain({k: v for k, v in found.items() if k not in ("legs", "versions", "hardware")}), indent=1))


if __name__ == "__main__":
    main()
