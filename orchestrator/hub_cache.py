"""Files of models in Hugging Face's local cache: never the network.

The cache has a folder for each revision that was ever downloaded, by its hash, and says which of them a branch or tag
means: ``main``, where nobody asks for another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from orchestrator import userdata


def cached(model: str, file: str, revision: str | None = None) -> Iterator[Path]:
    """Where ``file`` of the model with this hub id is, the best guess first.

    That is the revision that is asked for, or ``main``; of others, where that is not there, the newest.
    """
    folder = _hub() / f"models--{model.replace('/', '--')}"
    wanted = _commit(folder, revision or "main")
    try:
        revisions = list((folder / "snapshots").iterdir())
    except (OSError, ValueError):  # no such folder, one that may not be read, or no name of a folder
        return
    written = {path: at for each in revisions if (at := _written_ns(path := each / file)) is not None}
    yield from sorted(written, key=lambda path: (path.parent.name == wanted, written[path], path), reverse=True)


def _written_ns(path: Path) -> int | None:
    """When a file was written; None: it is not there, or may not be looked at."""
    try:
        return path.stat().st_mtime_ns
    except OSError:  # of a link the file, too
        return None


def _hub() -> Path:
    """Where the cache is, as ``huggingface_hub`` finds it."""
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if given := os.environ.get(name):
            return Path(given).expanduser()
    if given := os.environ.get("HF_HOME"):
        return Path(given).expanduser() / "hub"
    above = os.environ.get("XDG_CACHE_HOME")
    return (Path(above).expanduser() if above else userdata.home() / ".cache") / "huggingface" / "hub"


def _commit(folder: Path, revision: str) -> str | None:
    """The hash that a branch, a tag or a hash means."""
    try:
        named = (folder / "refs" / revision).read_text(encoding="utf-8").strip()
    except (OSError, ValueError):  # not there, not text, or no name of a file
        named = revision
    return named if named and Path(named).name == named and "\0" not in named else None
