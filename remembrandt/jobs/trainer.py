"""The child that trains: `python -m remembrandt.jobs.trainer`.

It reads one line, the job, and writes JSON lines: events, then what it found or what was wrong. It never opens the
database. When its parent's pipe closes, the parent dies or SIGTERM comes, it leaves a checkpoint and exits.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from remembrandt.jobs.files import Files, Home
from remembrandt.report import Event, Progress
from remembrandt.settings import Wrong

GRACE = 9.0  # seconds for the step in hand and the checkpoint; then the last one before must do
NICE = 5  # beside a server that paints on the same processor


def main(given: BinaryIO, told: BinaryIO) -> int:
    """Do the job that `given` names; the exit code is 0 also for what was wrong, as it is told."""
    stop = threading.Event()
    _die_with_parent()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, lambda *_: _stop(stop))
    spec = json.loads(given.readline())
    threading.Thread(target=_watch, args=(given, stop), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(NICE)

    def say(document: dict[str, Any]) -> None:
        try:
            told.write(json.dumps(document, default=str).encode() + b"\n")
            told.flush()
        except OSError:
            _stop(stop)

    return _work(spec, say, _progress(say, stop, spec["share"]))


def _work(spec: dict[str, Any], say, progress: Progress) -> int:
    from remembrandt.jobs.work import WORK
    from remembrandt.training.loop import Diverged

    files = Files(Home(Path(spec["home"])), spec["key"], _loader())
    held = _alone(files.folder)
    try:
        say({"done": WORK[spec["kind"]](spec["request"], files, progress)})
    except KeyboardInterrupt:
        say({"stopped": True})
    except Diverged as fault:
        say({"diverged": str(fault), "step": fault.step})
    except Wrong as fault:
        say({"wrong": str(fault)})
    except Exception as fault:
        traceback.print_exc()
        say({"memory" if _memory(fault) else "fault": f"{type(fault).__name__}: {fault}"})
    finally:
        if held:
            held.close()
    return 0


def _progress(say, stop: threading.Event, share: float) -> Progress:
    """Tells the parent everything; with a `share` below 1, waits after each step for as long as that leaves."""
    last = time.monotonic()

    def progress(event: Event) -> None:
        nonlocal last
        say({"event": {k: v for k, v in asdict(event).items() if v is not None}})
        if share < 1 and event.loss is not None:
            stop.wait(min(10.0, (time.monotonic() - last) * (1 / share - 1)))
        last = time.monotonic()
        if stop.is_set():
            raise KeyboardInterrupt  # which `fit` answers with a checkpoint

    return progress


def _watch(given: BinaryIO, stop: threading.Event) -> None:
    """The parent says no more than one line: what ends this read is its end."""
    given.read()
    _stop(stop)


def _stop(stop: threading.Event) -> None:
    if not stop.is_set():
        stop.set()
        last = threading.Timer(GRACE, os._exit, (75,))
        last.daemon = True
        last.start()


def _memory(fault: Exception) -> bool:
    """Out of memory, or a device that no longer answers: another process may do better."""
    import torch

    lost = getattr(torch, "AcceleratorError", torch.OutOfMemoryError)
    return isinstance(fault, MemoryError | torch.OutOfMemoryError | lost)


def _alone(folder: Path):
    """Wait until no other child is at work there: one that lost its parent may still write its checkpoint."""
    try:
        import fcntl
    except ImportError:  # Windows
        return None
    folder.mkdir(parents=True, exist_ok=True)
    held = (folder / "lock").open("w")
    fcntl.flock(held, fcntl.LOCK_EX)
    return held


def _loader():
    from remembrandt.family.load import load

    loaded: dict[tuple, Any] = {}

    def once(source, device, precision, *, own: bool = False):
        if own:
            return load(source, device=device, precision=precision)
        if (asked := (str(source), device, precision)) not in loaded:
            loaded.clear()
            loaded[asked] = load(source, device=device, precision=precision)
        return loaded[asked]

    return once


def _die_with_parent() -> None:
    """SIGTERM when the parent's thread ends, however it ends; Linux only, elsewhere the pipe must do."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None, use_errno=True).prctl(1, signal.SIGTERM)


if __name__ == "__main__":
    lines = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer
    sys.exit(main(sys.stdin.buffer, lines))
