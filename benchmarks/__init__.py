"""One command a figure. What every result file says of where it was made stands here, and imports no torch."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

from remembrandt import __version__

PACKAGES = ("torch", "diffusers", "transformers")


def surroundings(**hardware) -> dict:
    """Commit, versions and hardware: all that a figure depends on and the code does not say."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    common = {"device": processor(), "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 2)}
    return {
        "commit": git.stdout.strip() or None,
        "versions": {
            "python": platform.python_version(),
            "remembrandt": __version__,
            **{p: version(p) for p in PACKAGES},
        },
        "hardware": common | hardware,
    }


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()
