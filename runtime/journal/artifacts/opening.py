"""Artifacts by their URL, or by the store whose runs they are of."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from orchestrator.errors import RunError, described
from orchestrator.redaction import shown
from orchestrator.runtime.journal.artifacts.base import Artifacts
from orchestrator.runtime.journal.artifacts.folder import Folder

VARIABLE: Final = "ORCH_ARTIFACTS"
"""It names the place where the environment has one for all stores."""


def artifacts_of(store_url: str) -> Artifacts | None:
    """Where the large values of a store's runs go: where ``ORCH_ARTIFACTS`` says, else beside the file of a SQLite
    store (``runs.db.artifacts``), which is moved and removed together with it. None of any other store: its runs go on
    on other machines, so their values stay in it.

    Raises ``RunError`` ORCH-R091.
    """
    if given := os.environ.get(VARIABLE):
        return open_artifacts(given)
    path = store_url.removeprefix("sqlite:///")
    return None if path == store_url else Folder(Path(unquote(f"{path}.artifacts")))


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
