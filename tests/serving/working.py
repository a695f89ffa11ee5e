"""A worker whose children are forked from this process: they need not import torch for seconds."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from remembrandt.jobs import trainer
from remembrandt.jobs.entering import Ticket
from remembrandt.service import Service
from remembrandt.settings import Settings
from tests.homes import SHORT

PATIENCE = 300  # seconds: the machine may be busy


class Forked:
    """What `child.spawn` gives, of a process that is a copy of this one."""

    def __init__(self, before=lambda: None) -> None:
        (given, self._in), (self._out, told) = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.setpgid(0, 0)
            os.close(self._in)
            os.close(self._out)
            trainer.NICE = 0  # on a busy machine it would take minutes
            try:
                before()
                with os.fdopen(given, "rb") as stdin, os.fdopen(told, "wb") as stdout:
                    os._exit(trainer.main(stdin, stdout))
            finally:
                os._exit(1)
        os.close(given)
        os.close(told)
        self.stdin, self.stdout = os.fdopen(self._in, "wb"), os.fdopen(self._out, "rb")
        self._code: int | None = None

    def wait(self, timeout: float | None = None) -> int:
        import subprocess

        deadline = time.monotonic() + (timeout or PATIENCE)
        while self._code is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self._code = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                raise subprocess.TimeoutExpired("forked", timeout or PATIENCE)
            else:
                time.sleep(0.01)
        return self._code

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)


def forking(*before):
    """A `spawn`: the k-th child first calls the k-th of `before`; children seen so far are in `.born`."""
    waiting = list(before)

    def spawn(folder: Path, more) -> Forked:
        child = Forked(waiting.pop(0) if waiting else lambda: None)
        spawn.born.append(child)
        return child

    spawn.born = []
    return spawn


def on(home: Path, owner: str = "", **rest) -> Service:
    return Service(Settings(home, "cpu", "fp32", **rest), owner)


def ask(service: Service, photos: Path, base: Path | str, steps: int = 4, **rest) -> dict:
    """A short lesson that waits for a worker."""
    more = {"base": str(base), "steps": steps, "options": SHORT, **rest}
    return service.later(Ticket()).finetune(photos, "dog", **more)


def until(true, patience: float = PATIENCE):
    """Wait until `true()` is so, and give it."""
    deadline = time.monotonic() + patience
    while not (found := true()):
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.1)  # each look costs some
    return found


def ended(service: Service, key: str) -> dict:
    return until(lambda: (job := service.job(key))["state"] in ("succeeded", "failed", "canceled") and job)
