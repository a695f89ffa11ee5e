"""The parent's side of the child that trains: it is started, listened to, and ended."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from remembrandt.jobs.runner import Stopped
from remembrandt.report import Event, Progress
from remembrandt.settings import Wrong

POLL = 0.25  # seconds between two looks at whether it is still wanted
GRACE = 10.0  # seconds that it has for its checkpoint
Document = dict[str, Any]


class Process(Protocol):
    """As `subprocess.Popen`: the leader of a process group of its own, with two pipes."""

    pid: int
    stdin: Any
    stdout: Any

    def wait(self, timeout: float | None = None) -> int: ...

    def kill(self) -> None: ...


def spawn(folder: Path, more: Mapping[str, str]) -> Process:
    """A fresh process; what it says beside its answers goes to `log.txt` in the job's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "log.txt").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "remembrandt.jobs.trainer"],
            env={**os.environ, **more},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            process_group=None if os.name == "nt" else 0,  # Ctrl-C at the server is not for it
        )


def run(process: Process, spec: Document, folder: Path, progress: Progress, unwanted: Callable[[], str | None]) -> Any:
    """Give the child its job and tell `progress` what it tells, until it ends; what it found.

    `unwanted()` says "stopping" (it leaves a checkpoint) or "canceled" (it is killed). Raises `Stopped` if it ended
    without a result; what was wrong is raised as it would have been here.
    """
    lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    last: Document = {}
    why, deadline, looked = None, float("inf"), 0.0
    try:
        with suppress(OSError):  # it died at once: its end is told below
            process.stdin.write(json.dumps(spec).encode() + b"\n")
            process.stdin.flush()
        while True:
            try:
                line = lines.get(timeout=POLL)
            except queue.Empty:
                line = b""
            if line is None:
                break
            told = json.loads(line) if line else {}
            if "event" in told:
                progress(_event(told["event"]))
            elif told:
                last = told
            if why is None and time.monotonic() - looked > POLL:
                why, looked = unwanted(), time.monotonic()
                if why == "stopping":
                    deadline = time.monotonic() + GRACE
                    process.stdin.close()
                elif why:
                    break
            if time.monotonic() > deadline:
                break
    finally:
        code = _end(process)
    return _outcome(last, why, code, folder)


def _outcome(last: Document, why: str | None, code: int, folder: Path) -> Any:
    from remembrandt.training.loop import Diverged

    if "done" in last and why != "canceled":
        return last["done"]
    if why:
        raise Stopped(why)
    if "diverged" in last:
        fault = Diverged("", last["step"])
        fault.args = (last["diverged"],)
        raise fault
    if "wrong" in last:
        raise Wrong(last["wrong"])
    if "fault" in last:
        raise RuntimeError(last["fault"])
    said = f"the trainer ended by {signal.Signals(-code).name}" if code < 0 else f"the trainer ended with code {code}"
    if "memory" in last:
        said = f"the trainer ran out of memory: {last['memory']}"
    raise Stopped("died", said, reached(folder))


def reached(folder: Path) -> str | None:
    """The newest checkpoint under a job's folder."""
    found = [(p.stat().st_mtime_ns, p.relative_to(folder).as_posix()) for p in folder.glob("**/checkpoints/step-*")]
    return max(found)[1] if found else None


def _read(pipe: Any, lines: queue.SimpleQueue) -> None:
    with suppress(OSError, ValueError):
        for line in pipe:
            if line.endswith(b"\n"):  # half a line is that of a child that was killed in the midst of it
                lines.put(line)
    lines.put(None)


def _event(told: Document) -> Event:
    preview = told.pop("preview", None)
    return Event(**told, preview=preview and Path(preview))


def _end(process: Process) -> int:
    """Whatever still runs is killed, with all that it started."""
    with suppress(OSError):
        process.stdin.close()
    try:
        return process.wait(timeout=0.5)
    except subprocess.TimeoutExpired:
        pass
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (AttributeError, OSError):
        process.kill()
    return process.wait()
