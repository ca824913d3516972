"""How wide what a command prints may be."""

from __future__ import annotations

import os
import shutil
from typing import Final

from orchestrator.cli.streams import result_stream

LEAST: Final = 20
"""Cells; nothing can be read in fewer."""


def width() -> int | None:
    """Cells of the terminal that stdout goes to. A file or pipe has no width, so nothing is left out of what goes
    there, unless ``COLUMNS`` gives it one."""
    if not result_stream().isatty() and not os.environ.get("COLUMNS", "").isdecimal():
        return None
    return max(LEAST, shutil.get_terminal_size().columns)
