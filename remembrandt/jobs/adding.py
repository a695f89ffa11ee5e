"""Families, and controls for them, that a home learns to know by name, or that come from the hub."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from remembrandt.jobs import painters
from remembrandt.settings import Wrong
from remembrandt.store.store import Store

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
#: Of a repository: what is said, and networks of a family, or of a control or an estimator by itself. No whole
#: checkpoints beside the parts.
WANTED = ["*.json", "*.txt", "*.md", "LICENSE*", "*/*.safetensors", "diffusion_pytorch_model*.safetensors"]
WANTED += ["model*.safetensors"]


def add(name: str, source: str, load: Callable[[str], Any], store: Callable[[], Store]) -> dict[str, Any]:
    """Keep `source` under a name; `load` reads a family, and a control is read when it first steers one."""
    if not NAME.fullmatch(name) or name in painters.RESERVED:
        raise Wrong(f"family name {name!r} is taken or not plain letters, digits, '-' and '.'")
    path = Path(source).expanduser()
    spelled = str(path.absolute()) if path.exists() else source
    from remembrandt.family import control

    if not control.is_one(path):
        load(spelled)
    store().add_family(name, spelled)
    return {"name": name, "source": spelled}


def pull(name: str) -> dict[str, Any]:
    """Bring a repository from the hub into its cache."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    repository, _, revision = name.partition("@")
    left = ["*.fp16.*", "*.non_ema.*"]
    try:
        place = snapshot_download(
            repository, revision=revision or None, allow_patterns=WANTED, ignore_patterns=left
        )
    except HFValidationError:
        raise Wrong(f"{name!r} is not the id of a hub repository, such as owner/name") from None
    except (HfHubHTTPError, OSError) as fault:
        raise Wrong(f"{name} could not be pulled: {str(fault).splitlines()[0]}") from None
    return {"name": name, "source": place}
