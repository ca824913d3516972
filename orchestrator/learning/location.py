"""Where a user's learning store is: what one command has learned, the next one knows.

The file is ``learned.db`` under ``$XDG_DATA_HOME/orchestrator`` (``~/.local/share`` where that is not set); the
environment variable ``ORCH_LEARNED`` names another one, or is ``off``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from orchestrator.userdata import data_folder

VARIABLE: Final = "ORCH_LEARNED"
OFF: Final = "off"


def default_path() -> Path | None:
    """The user's store, whether or not it is there; None when learning is switched off."""
    named = os.environ.get(VARIABLE)
    if named is not None:
        return None if named.strip().lower() in ("", OFF) else Path(named).expanduser()
    return data_folder() / "learned.db"
