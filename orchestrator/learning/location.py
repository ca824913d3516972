"""Where a user's learning store is: what one command has learned, the next one knows.

The file is ``learned.db`` under ``$XDG_DATA_HOME/orchestrator`` (``~/.local/share`` where that is not set); the
environment variable ``ORCH_LEARNED`` names another one, or is ``off``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

VARIABLE: Final = "ORCH_LEARNED"
OFF: Final = "off"


def default_path() -> Path | None:
    """The user's store, whether or not it is there; None when learning is switched off."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return None if named.strip().lower() in ("", OFF) else Path(named).expanduser()
    data = os.environ.get("XDG_DATA_HOME")
    return (Path(data) if data else Path.home() / ".local" / "share") / "orchestrator" / "learned.db"
