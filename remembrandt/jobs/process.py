"""Which process this is, in a word that tells whether it still lives."""

from __future__ import annotations

import os
from pathlib import Path


def me() -> str:
    """This process: its number, when it started, and the boot that it started in."""
    return f"{os.getpid()} {_started(os.getpid())} {_boot()}"


def alive(worker: str) -> bool:
    """Whether the process that called itself `worker` still runs."""
    try:
        pid, started, boot = worker.split(" ")
        number = int(pid)
    except ValueError:
        return False
    if boot != _boot() or not _exists(number):
        return False
    return _started(number) == started


def _exists(pid: int) -> bool:
    if os.name == "nt":
        return _exists_on_windows(pid)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _exists_on_windows(pid: int) -> bool:
    import ctypes

    query, running = 0x1000, 259
    kernel = ctypes.windll.kernel32  # type: ignore[attr-defined]
    handle = kernel.OpenProcess(query, False, pid)
    if not handle:
        return False
    code = ctypes.c_ulong()
    kernel.GetExitCodeProcess(handle, ctypes.byref(code))
    kernel.CloseHandle(handle)
    return code.value == running


def _boot() -> str:
    """Linux's boot id; elsewhere nothing, and the number must do."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return "-"


def _started(pid: int) -> str:
    """In clock ticks since boot: a number may be given to another process, with another start."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "-"
    state, *rest = stat.rpartition(")")[2].split()
    return "-" if state == "Z" else rest[18]
