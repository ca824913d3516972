"""Every kind of place in which artifacts are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final
from uuid import uuid4

import fsspec
from fsspec.implementations.memory import MemoryFileSystem

from orchestrator.runtime.journal.artifacts.base import Artifacts
from orchestrator.runtime.journal.artifacts.opening import open_artifacts


class InPieces(MemoryFileSystem):
    """A server whose files are seen while they are written, and where a move takes the place of what is there."""

    protocol = "pieces"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    dies_after: int | None = None
    """Bytes of the next write that arrive."""

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        if self.dies_after is not None:
            super().pipe_file(path, value[: self.dies_after])
            raise OSError("the connection is gone")
        super().pipe_file(path, value)


fsspec.register_implementation("pieces", InPieces, clobber=True)

PLACES: Final = ["folder", "file", "memory", "pieces"]


def place(kind: str, folder: Path) -> str:
    """Somewhere with nothing in it, and the path that it has there."""
    if kind == "folder":
        return str(folder / "not" / "made")
    if kind == "file":
        return f"file://{folder}/artefacts 20% ü"
    return f"{kind}://{uuid4().hex}/runs"


def opened(kind: str, folder: Path) -> Artifacts:
    return open_artifacts(place(kind, folder))


def write(artifacts: Artifacts, name: str, data: bytes | None) -> None:
    """Damage what is kept; None removes it."""
    day, _, digest = name.partition("-")
    files, root = fsspec.core.url_to_fs(artifacts.url)
    path = f"{root}/{day}/{digest}"
    if data is None:
        files.rm(path)
    else:
        files.makedirs(f"{root}/{day}", exist_ok=True)
        MemoryFileSystem.pipe_file(files, path, data) if isinstance(files, InPieces) else files.pipe_file(path, data)
