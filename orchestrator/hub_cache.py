"""Files of models in Hugging Face's local cache: never the network.

The cache has a folder for each revision that was ever downloaded, by its hash, and says which of them a branch or tag
means: ``main``, where nobody asks for another.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orchestrator import userdata


def cached(model: str, file: str, revision: str | None = None) -> Iterator[Path]:
    """Where ``file`` of the model with this hub id is, the best guess first.

    That is the revision that is asked for, or ``main``; of others, where that is not there, the newest.
    """
    folder = _hub() / f"models--{model.replace('/', '--')}"
    wanted = _commit(folder, revision or "main")
    if wanted is not None and (path := folder / "snapshots" / wanted / file).exists():
        yield path
    found: list[tuple[int, Path]] = []
    with suppress(OSError):  # no such folder, or one that may not be read
        there = filter(Path.exists, (folder / "snapshots").glob(f"*/{file}"))  # a link's file may be gone
        found += ((path.stat().st_mtime_ns, path) for path in there)
    yield from (path for _, path in sorted(found, reverse=True) if path.parent.name != wanted)


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
