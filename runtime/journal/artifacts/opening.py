"""Artifacts by their URL."""

from __future__ import annotations

from pathlib import Path

from orchestrator.errors import RunError, described
from orchestrator.redaction import shown
from orchestrator.runtime.journal.artifacts.base import Artifacts
from orchestrator.runtime.journal.artifacts.folder import Folder


def open_artifacts(place: str | Path) -> Artifacts:
    """What keeps artifacts in a folder, or at a URL of fsspec's: ``s3://bucket/runs``, ``memory://runs``.

    Nothing is made or asked for before something is put. Raises ``RunError`` ORCH-R091 for a URL that cannot be opened.
    """
    if isinstance(place, Path) or "://" not in place:
        return Folder(Path(place).expanduser())
    from fsspec.core import url_to_fs
    from fsspec.implementations.local import LocalFileSystem

    from orchestrator.runtime.journal.artifacts.remote import Remote

    try:
        files, root = url_to_fs(place)
    except Exception as error:  # noqa: BLE001 - each of fsspec's file systems raises its own
        raise RunError(
            "ORCH-R091",
            f"artifacts cannot be kept at {shown(place)}",
            why=described(error),
            fix="name a folder, or a URL whose file system fsspec knows and whose package is installed",
        ) from None
    if type(files) is LocalFileSystem:
        return Folder(Path(root))
    return Remote(files, root, place)
