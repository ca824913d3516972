"""Where a result goes that could not be shown."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from orchestrator.userdata import data_folder


def save_result(text: str) -> Path | None:
    """Write to a new file that only the user can read, and tell where; None where no place takes it.

    The places are the user's data folder, the current one, and the one for temporary files.
    """
    for folder in (_users, Path.cwd, tempfile.gettempdir):
        path: Path | None = None
        try:
            descriptor, name = tempfile.mkstemp(prefix="orch-", suffix=".json", dir=folder())
            path = Path(name)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            if path is not None:
                path.unlink(missing_ok=True)
            continue
        return path
    return None


def _users() -> Path:
    results = data_folder() / "results"
    results.mkdir(parents=True, exist_ok=True)
    return results
