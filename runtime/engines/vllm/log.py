"""What an engine's processes have written: vLLM reports failures there and raises something general elsewhere."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

TAIL_BYTES: Final = 256 * 1024
_FAILURE: Final = re.compile(r"((?:\w+\.)*\w*(?:Error|Exception|Interrupt): .+)")
_GENERAL: Final = ("Engine core initialization failed", "EngineCore encountered an issue", "See root cause above")


def own_log() -> Path | None:
    """The file that this process and its children write errors to; None if that is no file."""
    try:
        target = Path("/proc/self/fd/2").readlink()
    except OSError:
        return None
    return target if target.is_file() else None


def last_failure(log: Path | None) -> str | None:
    """The last exception that ``log`` names and that says what went wrong."""
    if log is None:
        return None
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return None
    for line in reversed(lines):
        found = _FAILURE.search(line)
        if found is not None and not any(each in line for each in _GENERAL):
            return found[1].strip()
    return None
