"""Where this user's own files are: what was measured, learned or saved for later.

They stand under ``$XDG_DATA_HOME/orchestrator``, ``~/.local/share/orchestrator`` where that is not set. A container
that runs under an id of its own has no home at all: then it is the folder for temporary files.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path


def home() -> Path:
    """The user's home, or a folder of theirs among the temporary files."""
    try:
        return Path.home()
    except RuntimeError:  # no HOME, and an id without an entry in the user database
        return Path(tempfile.gettempdir()) / f"orchestrator-{os.getuid()}"


def data_folder() -> Path:
    """Whether or not it is there."""
    given = os.environ.get("XDG_DATA_HOME")
    return (Path(given) if given else home() / ".local" / "share") / "orchestrator"
