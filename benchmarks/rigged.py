"""A server that dies by its own hand at a named point, or whose first trainer does; or one with little room.

    python -m benchmarks.rigged '{"server": "publishing"}' serve --home DIR
    python -m benchmarks.rigged '{"trainer": "torn"}' serve --home DIR
    python -m benchmarks.rigged '{"shelf": 1000000}' serve --home DIR

`benchmarks.killed` and `benchmarks.endurance` start it. The package itself knows nothing of this: parts of it are
replaced before it begins.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from remembrandt.adapters.shelf import Shelf
from remembrandt.jobs import child, trainer
from remembrandt.jobs.worker import Worker
from remembrandt.store import blobs, queue, remembering
from remembrandt.store.store import Store


def die(*_: Any, **__: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def before(owner: Any, name: str) -> Callable[[], None]:
    """Dies when `owner.name` is called."""
    return lambda: setattr(owner, name, die)


def after(owner: Any, name: str) -> Callable[[], None]:
    """Dies when `owner.name` has done something."""

    def rig() -> None:
        do = getattr(owner, name)

        def dying(*given: Any, **more: Any) -> Any:
            found = do(*given, **more)
            return die() if found else found

        setattr(owner, name, dying)

    return rig


def torn() -> None:
    from remembrandt.training import checkpoint

    checkpoint._sync = die  # the tensors lie there, the manifest does not


def worked() -> None:
    from remembrandt.jobs.work import WORK

    done = WORK["finetune"]
    WORK["finetune"] = lambda *given: (done(*given), die())  # type: ignore[assignment,return-value]


#: Where a server dies.
SERVER: Mapping[str, Callable[[], None]] = {
    "claimed": after(queue, "claim"),  # a job is its own, and nothing was done
    "entered": before(remembering, "remember"),  # the job is there, its answer was never sent
    "kept": after(blobs, "add_image"),  # a picture is there, its job does not know
    "publishing": before(Store, "publish"),  # the files of a lesson lie in their place
    "published": after(Store, "publish"),
}
#: Where a trainer dies.
TRAINER: Mapping[str, Callable[[], None]] = {
    "begun": before(trainer, "_work"),
    "torn": torn,  # in the midst of a checkpoint
    "worked": worked,  # all is done, and nobody was told
}


def spawning(point: str) -> Callable[..., Any]:
    """A `child.spawn` whose first child dies at `point`."""
    left = [point]

    def spawn(folder: Path, more: Mapping[str, str]) -> Any:
        if not left:
            return child.spawn(folder, more)
        words = [sys.executable, "-m", "benchmarks.rigged", json.dumps({"is": left.pop()})]
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "log.txt").open("ab") as log:
            piped, env = subprocess.PIPE, {**os.environ, **more}
            return subprocess.Popen(words, env=env, stdin=piped, stdout=piped, stderr=log, process_group=0)

    return spawn


def main() -> None:
    rig = json.loads(sys.argv.pop(1))
    if "is" in rig:
        TRAINER[rig["is"]]()
        lines = os.fdopen(os.dup(1), "wb")
        os.dup2(2, 1)
        sys.exit(trainer.main(sys.stdin.buffer, lines))
    if "server" in rig:
        SERVER[rig["server"]]()
    if "trainer" in rig:
        Worker.__init__.__kwdefaults__["spawn"] = spawning(rig["trainer"])
    if "shelf" in rig:
        Shelf.__init__.__defaults__ = (rig["shelf"],)
    from remembrandt.cli import main as command

    command()


if __name__ == "__main__":
    main()
